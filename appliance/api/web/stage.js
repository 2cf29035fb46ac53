/* The live picture, drawn on a canvas, or the reason why there is none. */

import { $, wait } from "./elements.js";
import { request } from "./key.js";
import { text as words } from "./texts.js";

const STILL_MS = 1000, STILLS = 15; // still pictures, before the stream is requested again

let playing = null;

/* Whether the picture is shown. */
export const plays = () => playing !== null;

/* Shows the stream until `pause`. */
export function play() {
  playing = new AbortController();
  show(playing.signal);
  $("blind").hidden = true;
  $("picture").hidden = false;
}

/* Ends the stream and clears the picture. */
export function pause() {
  playing?.abort();
  playing = null;
  $("blind").hidden = false;
  $("picture").hidden = true;
  $("stream-note").textContent = "";
  $("picture").width = 0; // clears the canvas
}

/* Shows the reason in place of the picture. */
export function blind({ text, advice }) {
  pause();
  $("blind").querySelector("strong").textContent = text;
  $("blind").querySelector("span").textContent = advice;
}

/* Gives the stage the picture's aspect ratio. */
export function shape(width, height) {
  if (width && height) $("stage").style.setProperty("--ratio", width / height);
}

/* Draws the stream; an <img> would not report when its stream ends. */
async function show(signal) {
  let again = false;
  try {
    const response = await request("/camera/stream.mjpg", { signal });
    again = response.status === 503;
    $("stream-note").textContent = again ? words("page.streams_taken") : "";
    for await (const jpeg of again ? stills(signal) : jpegsOf(response)) {
      const picture = await createImageBitmap(jpeg);
      if (!signal.aborted) draw(picture);
    }
  } catch { again = false; }
  if (signal.aborted) return;
  if (again) play();
  else pause(); // the next health report starts it again, or says why not
}

function draw(picture) {
  const canvas = $("picture");
  if (canvas.width !== picture.width) canvas.width = picture.width;
  if (canvas.height !== picture.height) canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

/* Yields still pictures. */
async function* stills(signal) {
  for (let count = 0; count < STILLS; count++) {
    const response = await request("/camera/frame.jpg", { signal });
    if (!response.ok) throw new Error(response.statusText);
    yield await response.blob();
    await wait(STILL_MS);
  }
}

/* Yields the parts of a multipart/x-mixed-replace response, each of which must have a Content-Length. */
export async function* jpegsOf(response) {
  if (!response.ok) throw new Error(response.statusText);
  const reader = response.body.getReader();
  let buffer = new Uint8Array(), size = 0;
  for (;;) {
    const end = size ? -1 : endOfHead(buffer);
    if (end >= 0) {
      size = Number(/content-length: *(\d+)/i.exec(new TextDecoder().decode(buffer.subarray(0, end)))[1]);
      buffer = buffer.subarray(end);
    } else if (size && buffer.length >= size) {
      yield new Blob([buffer.subarray(0, size)]);
      buffer = buffer.subarray(size);
      size = 0;
    } else {
      const { done, value } = await reader.read();
      if (done) return;
      const both = new Uint8Array(buffer.length + value.length);
      both.set(buffer);
      both.set(value, buffer.length);
      buffer = both;
    }
  }
}

/* Returns the offset just behind the first empty line; -1 when there is none. */
function endOfHead(bytes) {
  const at = bytes.findIndex((_, i) => bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10);
  return at < 0 ? -1 : at + 4;
}
