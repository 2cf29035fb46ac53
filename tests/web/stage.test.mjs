import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { jpegsOf } from "../../appliance/api/web/stage.js";

const HEAD = (size) => `\r\n--frame\r\nContent-Type: image/jpeg\r\ncontent-length:${size}\r\n\r\n`;
const PICTURES = [Buffer.from("\r\n\r\nwith an empty line"), Buffer.from([0xff, 0xd8, 0, 13, 10]), Buffer.alloc(5000, 7)];
const STREAM = Buffer.concat(PICTURES.flatMap((picture) => [Buffer.from(HEAD(picture.length)), picture]));

const inPieces = (bytes, size) => new Response(new ReadableStream({
  start(controller) {
    for (let at = 0; at < bytes.length; at += size) controller.enqueue(new Uint8Array(bytes.subarray(at, at + size)));
    controller.close();
  },
}));

async function picturesIn(response) {
  const found = [];
  for await (const picture of jpegsOf(response)) found.push(Buffer.from(await picture.arrayBuffer()));
  return found;
}

test("the pictures of a stream are found wherever it is cut", async () => {
  for (const size of [1, 2, 3, 7, 64, 4096, STREAM.length]) assert.deepEqual(await picturesIn(inPieces(STREAM, size)), PICTURES, `${size}`);
});

test("a picture that is cut off is left out", async () => {
  assert.deepEqual(await picturesIn(inPieces(STREAM.subarray(0, -1), 512)), PICTURES.slice(0, 2));
});

test("a refused stream is an error", async () => {
  await assert.rejects(picturesIn(new Response("", { status: 503, statusText: "Service Unavailable" })), /Service Unavailable/);
});
