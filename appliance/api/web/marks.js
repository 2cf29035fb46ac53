/* Faces drawn on a picture. */

import { LIVE_FROM, degrees, drawn, make } from "./elements.js";
import { group } from "./texts.js";

export const ANGLES = group("angle");
const angles = (pose) => Object.entries(pose).map(([name, angle]) => `${ANGLES[name]} ${degrees(angle)}`).join("  ");

let resized = null;

/* Keeps texts and bars of a drawing at their size on the screen when the drawing is resized. */
export function keepScaled(svg) {
  resized ??= new ResizeObserver((entries) => entries.forEach(({ target }) => scaleText(target)));
  resized.observe(svg);
}

/* Returns the length of a CSS pixel in pixels of the picture; 1 for a drawing that is not on the page. */
function pixelOf(svg) {
  return svg.clientWidth ? svg.viewBox.baseVal.width / svg.clientWidth : 1;
}

function scaleText(svg) {
  svg.style.setProperty("--px", pixelOf(svg));
}

/* Draws faces in place of those drawn before. */
export function drawFaces(svg, width, height, faces) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  scaleText(svg);
  svg.replaceChildren(...faces.map((face) => faceMark(face, pixelOf(svg))));
}

function faceMark({ id, box, landmark, pose, title, live }, px) {
  const mark = drawn("g", { "data-face": id, class: "face" });
  const frame = { x: box.x, y: box.y, width: box.width, height: box.height, rx: 3 * px };
  mark.append(drawn("rect", { ...frame, class: "casing" }), drawn("rect", { ...frame, class: "box" }));
  if (landmark) mark.append(drawn("path", { class: "points", d: landmark.lm_points.map(({ x, y }) => `M${x} ${y}h0`).join("") }));
  if (pose) mark.append(...axes(box, pose));
  if (title) mark.append(drawn("text", { x: box.x, y: Math.max(box.y - 7 * px, 15 * px) }, title));
  const below = box.y + box.height;
  if (live !== undefined) {
    const meter = { x: box.x, y: below + 5 * px, height: 5 * px, rx: 2.5 * px };
    mark.append(drawn("rect", { ...meter, width: box.width, class: "meter" }));
    mark.append(drawn("rect", { ...meter, width: box.width * live, class: live >= LIVE_FROM ? "meter good" : "meter bad" }));
  }
  if (pose && box.width > 110 * px) {
    mark.append(drawn("text", { x: box.x, y: below + 24 * px, class: "pose" }, angles(pose)));
  }
  return mark;
}

/* Returns the head's right, up and forward axes, turned by the contract's yaw, pitch and roll and projected orthographically. */
function axes(box, pose) {
  const [y, p, r] = [pose.yaw, pose.pitch, pose.roll].map((angle) => (angle * Math.PI) / 180);
  const { sin, cos } = Math;
  const tips = {
    right: [cos(y) * cos(r), -cos(p) * sin(r) - sin(p) * sin(y) * cos(r)],
    up: [cos(y) * sin(r), cos(p) * cos(r) - sin(p) * sin(y) * sin(r)],
    forward: [sin(y), sin(p) * cos(y)],
  };
  const [x0, y0, length] = [box.x + box.width / 2, box.y + box.height / 2, box.width * 0.42];
  return Object.entries(tips).map(([name, [x, up]]) =>
    drawn("path", { class: `axis ${name}`, d: `M${x0} ${y0}l${x * length} ${-up * length}` }));
}

/* Returns the bytes of base64. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/* Returns an aligned face of the API, drawn, with its label. */
export function crop({ image_width: width, image_height: height, image_data: data }, label) {
  const canvas = make("canvas", { width, height, role: "img", ariaLabel: label });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  bytesOf(data).forEach((value, i) => { image.data[i + Math.floor(i / 3)] = value; });
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  context.putImageData(image, 0, 0);
  return make("figure", {}, canvas, make("figcaption", {}, label));
}
