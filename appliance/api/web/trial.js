/* The live page's panels for trying out the endpoints. */

import { explained } from "./advice.js";
import { $, LIVE_FROM, announce, copy, counted, drawn, make, meter, onFiles, save, wait } from "./elements.js";
import { address, ask, keyed, request } from "./key.js";
import { bytesOf, crop, drawFaces, keepScaled } from "./marks.js";
import { number, text } from "./texts.js";
import { zip } from "./zip.js";

const SAME_FROM = 0.5; // the similarity from which two faces count as one person: the contract's operating point
const FRAME_MS = 350; // between the four frames of a liveness check

/* By endpoint: takes a panel's files, posts them, and returns the answer, its summary (`words`), elements to show and the curl lines. */
const ENDPOINTS = { faces: tryFaces, alignedfaces: tryAlignedFaces, similarity: trySimilarity, liveness: tryLiveness };
const post = (path, body) => ask(path, { method: "POST", body });

async function tryFaces([photo], query) {
  const answer = await post(`/faces${query}`, photo);
  const faces = (answer.body.faces ?? []).map((face, index) => ({ ...face, id: index + 1, title: `${index + 1}` }));
  return { answer, words: counted(faces.length), shown: [await framed(photo, faces)], curl: curlRaw(`/faces${query}`, photo) };
}

async function tryAlignedFaces([photo], query) {
  const answer = await post(`/alignedfaces${query}`, photo);
  const found = answer.body.aligned_faces ?? [];
  const faces = found.map(({ box }, index) => ({ box, id: index + 1, title: `${index + 1}` }));
  const crops = make("div", { className: "crops" }, ...found.map((face, index) => crop(face, text("face.title", { id: index + 1 }))));
  return { answer, words: counted(found.length), shown: [await framed(photo, faces), crops], curl: curlRaw(`/alignedfaces${query}`, photo) };
}

async function trySimilarity(photos) {
  const path = "/alignedfaces?detectcount=1";
  const names = ["image_a", "image_b"], labels = [text("try.photo_a"), text("try.photo_b")], form = new FormData(), crops = make("div", { className: "crops" });
  const extract = `grep -o '"image_data":"[^"]*' | cut -d'"' -f4 | base64 -d`;
  const lines = photos.map((photo, index) => `${curlRaw(path, photo)} |\n  ${extract} > ${names[index]}.rgb`);
  lines.push(`${curl()} ${quoted(`${address()}/similarity/v2`)} -F image_a=@image_a.rgb -F image_b=@image_b.rgb`);
  const result = { shown: [crops], curl: lines.join("\n") };
  for (const [index, photo] of photos.entries()) {
    const answer = await post(path, photo);
    const [face] = answer.body.aligned_faces ?? [];
    if (!face) return { ...result, answer, failed: true, words: answer.ok ? text("try.no_face", { photo: labels[index] }) : labels[index] };
    crops.append(crop(face, labels[index]));
    form.append(names[index], new Blob([bytesOf(face.image_data)]), `${names[index]}.rgb`);
  }
  const answer = await post("/similarity/v2", form);
  const { similarity = 0 } = answer.body;
  if (answer.ok) crops.append(gauge(similarity, SAME_FROM, text("try.similarity")));
  const words = text(similarity >= SAME_FROM ? "try.same" : "try.different", { value: number(similarity, 3), threshold: SAME_FROM });
  return { ...result, answer, words };
}

async function tryLiveness(files) {
  const zipped = files.length > 1 ? await zip(files) : files[0];
  const form = new FormData();
  form.append("images", zipped, zipped.name);
  const answer = await post("/liveness/multiframe", form);
  const { confidence = 0 } = answer.body;
  const frames = files.length > 1 ? await Promise.all(files.map((file) => framed(file, []))) : [];
  const shown = [make("div", { className: "frames" }, ...frames)];
  if (answer.ok) shown.push(gauge(confidence, LIVE_FROM, text("try.confidence")));
  if (files.length > 1) shown.push(make("button", { type: "button", onclick: () => save(zipped) }, text("try.save", { name: zipped.name })));
  const line = `${curl()} ${quoted(`${address()}/liveness/multiframe`)} -F ${quoted(`images=@${formFile(zipped.name)}`)}`;
  return { answer, shown, curl: line, words: text(confidence >= LIVE_FROM ? "try.live" : "try.not_live", { value: number(confidence, 3), threshold: LIVE_FROM }) };
}

/* Returns a photo with its faces; "" when the browser cannot show it. */
async function framed(photo, faces) {
  const image = make("img", { alt: photo.name, src: URL.createObjectURL(photo) });
  try { await image.decode(); } catch { return ""; }
  const svg = drawn("svg", { class: "overlay", "aria-hidden": "true" });
  const { naturalWidth: width, naturalHeight: height } = image;
  keepScaled(svg);
  requestAnimationFrame(() => drawFaces(svg, width, height, faces)); // once it has a size
  return make("figure", { className: "photo" }, image, svg);
}

function gauge(share, threshold, label) {
  const figure = make("b", { className: "figures" }, number(share, 3));
  return make("div", { className: "gauge" }, make("span", {}, label), meter(share, threshold, label), figure);
}

/* ---- Panels ---- */

/* Sets up a panel. */
export function setUpPanel(panel) {
  const inputs = [...panel.querySelectorAll("input[type=file]")];
  const state = { panel, inputs, files: [], turn: 0 };
  inputs.forEach((input, slot) => {
    onFiles(input, (files) => take(state, slot, files));
  });
  panel.querySelectorAll("input[name]").forEach((input) => { input.onchange = () => run(state); });
  panel.querySelector(".from-camera").onclick = async () => {
    try {
      take(state, inputs.length - 1, await cameraFrames(inputs[0].multiple ? 4 : 1));
    } catch (error) {
      present(panel, { failed: true, words: text("try.no_picture", { error: error.message }), shown: [] });
    }
  };
}

function take(state, slot, files) {
  if (!files.length) return;
  if (state.inputs[0].multiple) state.files = files.sort(byName);
  else files.slice(0, state.inputs.length - slot).forEach((file, index) => { state.files[slot + index] = file; });
  state.inputs.forEach((input, index) => {
    const name = input.multiple ? state.files.map((file) => file.name).join(", ") : state.files[index]?.name;
    if (name) input.closest(".drop").querySelector("span").textContent = name;
  });
  run(state);
}

const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });

async function cameraFrames(count) {
  const frames = [];
  for (let index = 1; index <= count; index++) {
    const response = await request("/camera/frame.jpg");
    if (!response.ok) throw new Error(response.statusText);
    frames.push(new File([await response.blob()], count > 1 ? `${index}.jpg` : "frame.jpg", { type: "image/jpeg" }));
    if (index < count) await wait(FRAME_MS);
  }
  return frames;
}

async function run(state) {
  if (state.inputs.some((_, slot) => !state.files[slot])) return;
  const turn = ++state.turn;
  const { panel } = state;
  panel.setAttribute("aria-busy", "true");
  const filled = [...panel.querySelectorAll("input[name]")].filter(({ value }) => value);
  const options = filled.map(({ name, value }) => [name, value]);
  const query = options.length ? `?${new URLSearchParams(options)}` : "";
  let result;
  try {
    result = await ENDPOINTS[panel.dataset.endpoint]([...state.files], query);
  } catch (error) {
    result = { failed: true, words: text("try.no_answer", { error: error.message }), shown: [] };
  }
  if (turn !== state.turn) return;
  panel.removeAttribute("aria-busy");
  present(panel, result);
}

function present(panel, { answer, words, shown, curl, failed = false }) {
  panel.querySelectorAll(".photo img").forEach(({ src }) => URL.revokeObjectURL(src));
  panel.querySelector(".answer")?.remove();
  const view = $("answer").content.cloneNode(true);
  const part = (selector) => view.querySelector(selector);
  const refused = answer?.ok === false;
  part(".outcome").textContent = refused ? [failed ? `${words}:` : "", explained(answer.body.return_msg)].join(" ").trim() : words;
  part(".outcome").classList.toggle("bad", failed || refused);
  part(".shown").append(...shown);
  part(".curl").hidden = !curl;
  part(".curl pre").textContent = curl ?? "";
  part(".copy").onclick = ({ currentTarget }) => copy(currentTarget);
  part("details").hidden = !answer;
  if (answer) {
    part(".timing").textContent = timing(answer);
    part(".json").textContent = legible(answer.body);
  }
  panel.append(view);
  announce(panel.querySelector(".outcome").textContent);
}

/* Returns an answer's status and times in words: on the device, by its Server-Timing, and as this page measured it. */
export function timing({ status, stages, took }) {
  const times = new Map(stages.map(([, name, ms]) => [name, Number(ms).toFixed(1)]));
  const total = times.get("total");
  times.delete("total");
  const inside = [...times].map(([name, ms]) => `${name} ${ms}`).join(", ");
  const device = total === undefined ? [] : [text("try.on_device", { ms: total }) + (inside && ` (${inside})`)];
  return [`HTTP ${status}`, ...device, text("try.in_total", { ms: Math.round(took) })].join(" · ");
}

/* Returns indented JSON with long arrays and strings shortened, and small objects on one line. */
export function legible(value) {
  const json = JSON.stringify(shortened(value), null, 2);
  return json.replace(/\{\n[^{}[\]]*\}/g, (object) => (object.length < 160 ? object.replace(/\n\s*/g, " ") : object));
}

function shortened(value) {
  if (typeof value === "string") return value.length > 80 ? `${value.slice(0, 32)}… ${text("try.characters", { count: value.length })}` : value;
  if (Array.isArray(value) && value.length > 4) return [...value.slice(0, 2).map(shortened), `… ${text("try.more", { count: value.length - 2 })}`];
  if (Array.isArray(value)) return value.map(shortened);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shortened(each)]));
}

/* Where this browser needs a key, so does curl. */
const curl = () => (keyed() ? 'curl -s -H "X-API-Key: $KEY" -X POST' : "curl -s -X POST");
const curlRaw = (path, file) => `${curl()} ${quoted(address() + path)} --data-binary ${quoted(`@${file.name}`)}`;

/* Returns a text quoted for a POSIX shell, if it needs quotes. */
export const quoted = (words) => (/^[\w@%+=:,./-]+$/.test(words) ? words : `'${words.replaceAll("'", "'\\''")}'`);

/* Returns a file name as curl takes it in -F, where some characters have a meaning of their own. */
export const formFile = (name) => (/^[\w.-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`);
