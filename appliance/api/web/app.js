"use strict";

const STATUS = { ok: "Everything works", starting: "Starting", fault: "Needs attention", silent: "Does not answer", locked: "Wants a key" };
const ADVICE = {
  loading: "This takes some seconds after the start.",
  starting: "The first picture takes some seconds.",
  no_camera: "Check its cable; it is opened by itself. “rpicam-hello --list-cameras” and “ls /dev/video*” list what the system sees.",
  no_frames: "Check its cable. It is opened again by itself; if that does not help, switch the device off and on.",
  dark: "Take away what covers the lens, or switch on the light. (A bare surface looks alike.)",
  frozen: "Somebody may hold a photo before the lens, or the camera hangs: plug it in again.",
  blurred: "Clean the lens, and check its focus (camera.autofocus, camera.lens_position).",
  wrong_size: "Set camera.width and camera.height to a size that this camera has.",
  unusable: "Run “appliance selftest” on the device, then install it again.",
  keys_damaged: "Put keys.json back from a backup, or remove it and make new keys.",
  calibration_damaged: "Put calibration.json back from a backup, or run “appliance calibrate … --reset” and calibrate again.",
  none: "It answers about posted photos all the same. To use a camera, set camera.driver in the configuration.",
};
const FINE = { state: "ok", text: "Everything works.", advice: "Camera and models do what they should." };
const SILENT = { state: "silent", text: "The device does not answer.", advice: "This page tries again by itself." };
const CONNECTING = { state: "loading", text: "Connecting to the device …", advice: "" };
const BLIND = new Set(["starting", "no_camera", "no_frames", "frozen"]);
const HINTS = {
  "INF-01": "Larger than this device takes, or sent damaged. Try a smaller file.",
  "INF-02": "Whole numbers from 1, and minsize not above maxsize.",
  "INF-03": "The file is empty.",
  "INF-04": "It must be a whole JPEG or PNG that is not too large.",
  "INF-06": ADVICE.unusable,
  "INF-07": ADVICE.unusable,
  "INF-08": "Models are loading, or too much is asked at once. Try again in a moment.",
  "INF-09": "At most 1,000 faces can be asked for.",
  "INF-10": "minsize and maxsize are at most 65,535.",
  "INF-17": "Every frame must show a face of at least 48 pixels.",
  "INF-22": "It must be a zip without a password. Or choose four pictures.",
  "INF-23": "Files in the zip are named 1, 2, 3, 4 with .jpg, .jpeg or .png.",
  "INF-24": "Exactly four pictures are wanted.",
  "INF-25": "It is switched off in the device’s configuration, or your key does not open it.",
  "INF-26": "The expiry date in the device’s configuration has passed.",
};
const MEND = { size: "come closer", sharpness: "hold still, or clean the lens", light: "more light, from the front", pose: "look at the camera" };
const POOR = 0.7; // overall quality below which it is said what to mend
const LIVE_FROM = 0.5, SAME_FROM = 0.5;
const STALE_MS = 2000, POLL_MS = 3000, RETRY_MS = 3000, STILL_MS = 1000, STILLS = 15, LOGGED = 60, ANNOUNCE_MS = 4000;

const $ = (id) => document.getElementById(id);
const counted = (count) => (count === 1 ? "One face." : `${count || "No"} faces.`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const percent = (share) => `${Math.round(share * 100)} %`;
const degrees = (angle) => `${angle < -0.5 ? "−" : angle >= 0.5 ? "+" : ""}${Math.abs(Math.round(angle))}°`;

const angles = ({ yaw, pitch, roll }) => `yaw ${degrees(yaw)}  pitch ${degrees(pitch)}  roll ${degrees(roll)}`;

function make(tag, options = {}, ...children) {
  const { data = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

function drawn(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/* Every question goes through here; the browser adds the key, from a cookie. */
async function ask(path, options = {}) {
  const begun = performance.now(), given = keysGiven;
  const response = await fetch(path, { cache: "no-store", ...options });
  const body = await response.json();
  if (response.status === 401 && given === keysGiven) lock(); // not for what was asked before a key was given
  const stages = [...(response.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return { body, status: response.status, ok: response.ok, stages, took: performance.now() - begun };
}

/* ---- The key ---- */

let keysGiven = 0;

/* Whether this browser was given a key; the key itself no script can see. */
function keyed() {
  try { return localStorage.getItem("keyed") !== null; } catch { return false; } // a browser that keeps nothing
}

function lock() {
  if ($("locked").open) return;
  end();
  $("status").dataset.status = "locked";
  $("status").textContent = STATUS.locked;
  $("unlock-outcome").textContent = "";
  $("locked").showModal();
}

async function unlock(event) {
  event.preventDefault();
  const headers = { Authorization: `Bearer ${$("key").value.trim()}` };
  const response = await fetch("/key", { method: "POST", headers }).catch(() => null);
  if (!response?.ok) {
    $("unlock-outcome").textContent = refusalOf(response);
    $("key").select();
    return;
  }
  keysGiven++;
  $("key").value = "";
  localStorage.setItem("keyed", "yes");
  $("forget").hidden = false;
  $("locked").close();
  begin();
}

function refusalOf(response) {
  const later = response?.headers.get("Retry-After");
  if (!response) return SILENT.text;
  if (later) return `Too many wrong keys. Again in ${later} s.`;
  return response.status === 403 ? "This key does not open the live page: it needs the scope “live”." : "This key is not known here.";
}

async function forget() {
  await ask("/key", { method: "DELETE" });
  localStorage.removeItem("keyed");
  $("forget").hidden = true;
  poll();
}

/* ---- Faces on a picture ---- */

const scaling = new ResizeObserver((entries) => entries.forEach(({ target }) => scaleText(target)));

/* A CSS pixel in pixels of the picture; of a drawing that is not on the page, 1. */
function pixelOf(svg) {
  return svg.clientWidth ? svg.viewBox.baseVal.width / svg.clientWidth : 1;
}

/* Texts and bars keep their size on the screen. */
function scaleText(svg) {
  svg.style.setProperty("--px", pixelOf(svg));
}

function drawFaces(svg, width, height, faces) {
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
  mark.append(drawn("text", { x: box.x, y: Math.max(box.y - 7 * px, 15 * px) }, title));
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

/* The head's right, up and forward, turned by yaw, pitch and roll as the contract defines them, seen orthographically. */
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

/* ---- Live: health by question and by event, picture, faces ---- */

const live = {
  timers: [], report: null, unanswered: 0, events: null, playing: null,
  faces: 0, facesAt: 0, liveness: new Map(),
};

function begin() {
  if (document.hidden || live.timers.length) return;
  live.timers = [setInterval(poll, POLL_MS), setInterval(forgetStale, STALE_MS / 4)];
  poll();
  listen();
}

function end() {
  live.timers.forEach(clearInterval);
  live.timers = [];
  hangUp();
  pause();
  clearFaces();
  live.liveness.clear();
}

async function poll() {
  try {
    const { body } = await ask("/healthz", { signal: AbortSignal.timeout(POLL_MS) });
    if (body.status) heardHealth(body);
  } catch {
    live.unanswered++;
    showHealth();
  }
}

function listen() {
  hangUp();
  const source = live.events = new EventSource("/events");
  source.onopen = () => { $("nobody").textContent = "Nobody."; };
  source.onerror = () => {
    $("nobody").textContent = "Not known: the device does not answer, or tells too many others already.";
    hangUp();
    poll();
    setTimeout(() => live.timers.length && !live.events && listen(), RETRY_MS);
  };
  const handlers = { health: heardHealth, faces: showFaces, appeared, left, liveness: judged };
  for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
}

function hangUp() {
  live.events?.close();
  live.events = null;
}

function heardHealth(report) {
  if (live.report?.status !== report.status) announce(STATUS[report.status]);
  live.unanswered = 0;
  live.report = report;
  showHealth();
}

function showHealth() {
  if (!live.timers.length) return;
  const { report } = live;
  const silent = live.unanswered > 1; // one answer may be late
  const status = silent ? "silent" : report?.status ?? "starting";
  const troubles = silent ? [SILENT] : report ? troublesOf(report) : [CONNECTING];
  $("unreachable").hidden = !silent;
  $("demonstration").hidden = !report?.camera?.demonstration;
  $("status").dataset.status = status;
  $("status").textContent = STATUS[status];
  $("health").replaceChildren(...troubles.map(troubleItem));
  shapeStage(report?.camera?.width, report?.camera?.height);
  if (silent || !report?.camera || BLIND.has(report.camera.state)) showBlind(troubles);
  else if (!live.playing) play();
  for (const button of document.querySelectorAll(".from-camera")) button.disabled = !live.playing;
  if (report) showFacts(report);
}

function troublesOf({ reasons, camera }) {
  const adviceOn = ({ part, state }) => ADVICE[state] ?? (part === "models" ? ADVICE.unusable : "");
  const troubles = reasons.map((reason) => ({ ...reason, advice: adviceOn(reason) }));
  if (!camera) troubles.push({ part: "camera", state: "none", text: "This device has no camera.", advice: ADVICE.none });
  return troubles.length ? troubles : [FINE];
}

function troubleItem({ state, text, advice }) {
  return make("li", { data: { state } }, make("strong", {}, text), ` ${advice}`);
}

function showBlind(troubles) {
  pause();
  const { text, advice } = troubles.find(({ part }) => part === "camera") ?? troubles[0];
  $("blind").querySelector("strong").textContent = text;
  $("blind").querySelector("span").textContent = advice;
}

function play() {
  live.playing = new AbortController();
  show(live.playing.signal);
  $("blind").hidden = true;
  $("picture").hidden = false;
}

function pause() {
  live.playing?.abort();
  live.playing = null;
  $("blind").hidden = false;
  $("picture").hidden = true;
  $("stream-note").textContent = "";
  $("picture").width = 0; // forgets what it shows
}

/* The stream, drawn here: an <img> tells nobody when its stream has ended. */
async function show(signal) {
  let again = false;
  try {
    const response = await fetch("/camera/stream.mjpg", { cache: "no-store", signal });
    again = response.status === 503;
    $("stream-note").textContent = again ? "Every live stream is taken: one picture a second." : "";
    for await (const jpeg of again ? stills(signal) : jpegsOf(response)) {
      const picture = await createImageBitmap(jpeg);
      if (!signal.aborted) draw(picture);
    }
  } catch { again = false; }
  if (signal.aborted) return;
  if (again) play();
  else pause(); // the next report brings it back, or says why not
}

function draw(picture) {
  const canvas = $("picture");
  if (canvas.width !== picture.width) canvas.width = picture.width;
  if (canvas.height !== picture.height) canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

/* A picture now and then, before the stream is asked for again. */
async function* stills(signal) {
  for (let count = 0; count < STILLS; count++) {
    const response = await fetch("/camera/frame.jpg", { cache: "no-store", signal });
    if (!response.ok) throw new Error(response.statusText);
    yield await response.blob();
    await wait(STILL_MS);
  }
}

/* The parts of a multipart/x-mixed-replace stream, each with its Content-Length. */
async function* jpegsOf(response) {
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

/* Where the first empty line is over; -1 when there is none. */
function endOfHead(bytes) {
  const at = bytes.findIndex((_, i) => bytes[i] === 13 && bytes[i + 1] === 10 && bytes[i + 2] === 13 && bytes[i + 3] === 10);
  return at < 0 ? -1 : at + 4;
}

function shapeStage(width, height) {
  if (width && height) $("stage").style.setProperty("--ratio", width / height);
}

function showFaces({ faces, width, height }) {
  for (const { id } of faces) meet(id);
  const known = faces.map((face) => ({ ...face, live: live.liveness.get(face.id) }));
  live.facesAt = performance.now();
  shapeStage(width, height);
  drawFaces($("overlay"), width, height, known.map((face) => ({ ...face, title: `Face ${face.id}${verdict(face.live, " · ")}` })));
  listFaces(known);
}

function forgetStale() {
  if (performance.now() - live.facesAt > STALE_MS) clearFaces();
}

function clearFaces() {
  $("overlay").replaceChildren();
  listFaces([]);
}

function listFaces(faces) {
  if (faces.length !== live.faces) announce(counted(faces.length));
  live.faces = faces.length;
  $("nobody").hidden = faces.length > 0;
  $("present").replaceChildren(...faces.map(presence));
}

function presence({ id, pose, quality, live: confidence }) {
  const turns = Object.entries(pose).map(([name, angle]) => make("span", {}, `${name} `, make("b", {}, degrees(angle))));
  return make("li", { data: { face: id } },
    make("strong", {}, `Face ${id}`),
    make("span", { className: "verdict" }, verdict(confidence) || "liveness: looking …"),
    meter(confidence ?? 0, LIVE_FROM, "Liveness"),
    make("span", { className: "angles figures" }, ...turns),
    make("span", { className: "quality" }, "picture quality ", make("b", {}, percent(quality.overall)), quality.overall < POOR ? `: ${MEND[quality.weakest]}` : ""));
}

function verdict(confidence, before = "") {
  return confidence === undefined ? "" : `${before}${confidence >= LIVE_FROM ? "live" : "not live"} ${percent(confidence)}`;
}

function meter(share, threshold, label) {
  const bar = make("span", { className: share >= threshold ? "good" : "bad" });
  bar.style.width = percent(share).replace(" ", "");
  const range = { ariaLabel: label, ariaValueNow: share.toFixed(2), ariaValueMin: 0, ariaValueMax: 1 };
  const scale = make("span", { className: "bar", role: "meter", ...range }, bar);
  scale.style.setProperty("--threshold", `${threshold * 100}%`);
  return scale;
}

function appeared({ id, time }, how = "appeared") {
  log(new Date(time), `Face ${id} ${how}`);
  live.liveness.set(id, undefined);
}

function left({ id, time, seconds }) {
  log(new Date(time), `Face ${id} left after ${seconds.toFixed(1)} s${verdict(live.liveness.get(id), ", ")}`);
  live.liveness.delete(id);
}

/* A face that was there before this page was. */
function meet(id) {
  if (!live.liveness.has(id)) appeared({ id, time: Date.now() }, "is there");
}

function judged({ id, confidence }) {
  meet(id);
  live.liveness.set(id, confidence);
}

function log(time, text) {
  const clock = make("time", { dateTime: time.toISOString() }, time.toLocaleTimeString([], { hour12: false }));
  $("log").prepend(make("li", {}, clock, ` ${text}`));
  while ($("log").childElementCount > LOGGED) $("log").lastElementChild.remove();
}

/* Screen readers hear the newest of what changed, not every glance away. */
function announce(text) {
  announce.next = text;
  announce.timer ??= setTimeout(() => {
    announce.timer = undefined;
    $("announcement").textContent = announce.next;
  }, ANNOUNCE_MS);
}

/* ---- Facts ---- */

const VERSION_SECONDS = 30; // an operating point may change while the device runs

let version = null;
let versionAsked = -Infinity;

async function showFacts(report) {
  const camera = report.camera;
  const age = camera?.frame_age_ms == null ? "–" : `${Math.round(camera.frame_age_ms)} ms`;
  const old = performance.now() - versionAsked > VERSION_SECONDS * 1000;
  if ((!version || old) && report.reasons.every(({ state }) => state !== "loading")) {
    versionAsked = performance.now();
    version = (await ask("/version").then(({ ok, body }) => (ok ? body : null), () => null)) ?? version;
    if (version) $("models").replaceChildren(...version.models.map(modelRow));
  }
  $("stream-facts").textContent = camera?.width ? `${camera.width} × ${camera.height} · ${camera.fps} fps · ${age} old` : "";
  const facts = {
    Camera: camera?.driver ?? "none",
    Picture: camera?.width ? `${camera.width} × ${camera.height}, ${camera.fps} a second` : "–",
    "Newest frame": camera ? `number ${camera.frames}, ${age} old` : "–",
    "Camera re-opened": camera ? `${camera.reopened} times` : "–",
    "Running for": duration(report.uptime_s),
    Runtime: version ? `${version.runtime.name} ${version.runtime.version}` : "–",
    Versions: version ? `API ${version.api_version}, engine ${version.sdk_version}` : "–",
    Liveness: version ? (version.liveness_mode === "MULTI" ? "four frames (MULTI)" : version.liveness_mode) : "–",
    "Operating point": version ? operatingPoints(version.calibration) : "–",
    Address: location.origin,
  };
  $("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function operatingPoints(calibration) {
  const points = Object.entries(calibration).map(([kind, point]) => [kind, operatingPoint(point)]);
  const alike = new Set(points.map(([, words]) => words)).size === 1;
  return alike ? points[0][1] : points.map(([kind, words]) => `${kind} ${words}`).join(", ") || "–";
}

function operatingPoint({ source, ignored, date, wanted }) {
  if (source === "shipped") return ignored ? `shipped (the calibration is ${ignored})` : "shipped";
  const day = new Date(date).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  const rates = Object.entries(wanted).map(([name, share]) => `${name.toUpperCase()} ${Number((100 * share).toPrecision(3))} %`);
  return `calibrated ${day} (${rates.join(", ")})`;
}

function modelRow({ name, file, sha256, precision, licence }) {
  const cells = [name, precision, licence, file].map((text) => make("td", {}, text));
  return make("tr", {}, ...cells, make("td", {}, make("code", { title: sha256 }, `${sha256.slice(0, 12)}…`)));
}

function duration(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

/* ---- Try it: each returns what is to be shown of a panel's files ---- */

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
  const crops = make("div", { className: "crops" }, ...found.map((face, index) => crop(face, `Face ${index + 1}`)));
  return { answer, words: counted(found.length), shown: [await framed(photo, faces), crops], curl: curlRaw(`/alignedfaces${query}`, photo) };
}

async function trySimilarity(photos) {
  const path = "/alignedfaces?detectcount=1";
  const names = ["image_a", "image_b"], form = new FormData(), crops = make("div", { className: "crops" });
  const extract = `grep -o '"image_data":"[^"]*' | cut -d'"' -f4 | base64 -d`;
  const lines = photos.map((photo, index) => `${curlRaw(path, photo)} |\n  ${extract} > ${names[index]}.rgb`);
  lines.push(`${curl()} ${quoted(`${location.origin}/similarity/v2`)} -F image_a=@image_a.rgb -F image_b=@image_b.rgb`);
  const result = { shown: [crops], curl: lines.join("\n") };
  for (const [index, photo] of photos.entries()) {
    const answer = await post(path, photo);
    const [face] = answer.body.aligned_faces ?? [];
    if (!face) return { ...result, answer, failed: true, words: `Photo ${"AB"[index]}${answer.ok ? " shows no face." : ":"}` };
    crops.append(crop(face, `Photo ${"AB"[index]}`));
    form.append(names[index], new Blob([bytesOf(face.image_data)]), `${names[index]}.rgb`);
  }
  const answer = await post("/similarity/v2", form);
  const { similarity = 0 } = answer.body;
  if (answer.ok) crops.append(gauge(similarity, SAME_FROM, "Similarity"));
  const words = `${similarity >= SAME_FROM ? "The same person" : "Different people"}: ${similarity.toFixed(3)} (the same from ${SAME_FROM}).`;
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
  if (answer.ok) shown.push(gauge(confidence, LIVE_FROM, "Confidence"));
  if (files.length > 1) shown.push(make("button", { type: "button", onclick: () => save(zipped) }, `Save ${zipped.name}`));
  const line = `${curl()} ${quoted(`${location.origin}/liveness/multiframe`)} -F ${quoted(`images=@${formFile(zipped.name)}`)}`;
  return { answer, shown, curl: line, words: `${confidence >= LIVE_FROM ? "Live" : "Not live"}: ${confidence.toFixed(3)} (live from ${LIVE_FROM}).` };
}

/* A photo with its faces; nothing when the browser cannot show it. */
async function framed(photo, faces) {
  const image = make("img", { alt: photo.name, src: URL.createObjectURL(photo) });
  try { await image.decode(); } catch { return ""; }
  const svg = drawn("svg", { class: "overlay", "aria-hidden": "true" });
  const { naturalWidth: width, naturalHeight: height } = image;
  scaling.observe(svg);
  requestAnimationFrame(() => drawFaces(svg, width, height, faces)); // when it has a size
  return make("figure", { className: "photo" }, image, svg);
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function crop({ image_width: width, image_height: height, image_data: data }, label) {
  const canvas = make("canvas", { width, height, role: "img", ariaLabel: label });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  bytesOf(data).forEach((value, i) => { image.data[i + Math.floor(i / 3)] = value; });
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  context.putImageData(image, 0, 0);
  return make("figure", {}, canvas, make("figcaption", {}, label));
}

function gauge(share, threshold, label) {
  const figure = make("b", { className: "figures" }, share.toFixed(3));
  return make("div", { className: "gauge" }, make("span", {}, label), meter(share, threshold, label), figure);
}

/* ---- Panels ---- */

function setUpPanel(panel) {
  const inputs = [...panel.querySelectorAll("input[type=file]")];
  const state = { panel, inputs, files: [], turn: 0 };
  inputs.forEach((input, slot) => {
    const drop = input.closest(".drop");
    input.onchange = () => { take(state, slot, [...input.files]); input.value = ""; };
    drop.ondragover = () => drop.classList.add("over");
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = ({ dataTransfer }) => { drop.classList.remove("over"); take(state, slot, [...dataTransfer.files]); };
  });
  panel.querySelectorAll("input[name]").forEach((input) => { input.onchange = () => run(state); });
  panel.querySelector(".from-camera").onclick = async () => {
    try {
      take(state, inputs.length - 1, await cameraFrames(inputs[0].multiple ? 4 : 1));
    } catch (error) {
      present(panel, { failed: true, words: `The camera gave no picture (${error.message}).`, shown: [] });
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
  for (let number = 1; number <= count; number++) {
    const response = await fetch("/camera/frame.jpg", { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    frames.push(new File([await response.blob()], count > 1 ? `${number}.jpg` : "frame.jpg", { type: "image/jpeg" }));
    if (number < count) await wait(350);
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
    result = { failed: true, words: `The device did not answer (${error.message}).`, shown: [] };
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
  const { return_code: code, return_msg: message } = answer?.body.return_msg ?? {};
  const refused = answer && code !== "INF-00";
  const reason = `${code} ${message} ${HINTS[code] ?? "A fault of the device: its log says more."}`;
  part(".outcome").textContent = refused ? [failed ? words : "", reason].join(" ").trim() : words;
  part(".outcome").classList.toggle("bad", failed || Boolean(refused));
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

function timing({ status, stages, took }) {
  const inside = stages.filter(([, name]) => name !== "total").map(([, name, ms]) => `${name} ${Number(ms).toFixed(1)}`).join(", ");
  const total = stages.find(([, name]) => name === "total")?.[2];
  return `HTTP ${status} · ${Number(total).toFixed(1)} ms in the device (${inside}) · ${Math.round(took)} ms in all`;
}

/* JSON with long arrays and texts shortened, and small objects on one line. */
function legible(value) {
  const text = JSON.stringify(shortened(value), null, 2);
  return text.replace(/\{\n[^{}[\]]*\}/g, (object) => (object.length < 160 ? object.replace(/\n\s*/g, " ") : object));
}

function shortened(value) {
  if (typeof value === "string") return value.length > 80 ? `${value.slice(0, 32)}… ${value.length.toLocaleString("en")} characters` : value;
  if (Array.isArray(value) && value.length > 4) return [...value.slice(0, 2).map(shortened), `… ${value.length - 2} more`];
  if (Array.isArray(value)) return value.map(shortened);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shortened(each)]));
}

/* Whoever asks from elsewhere needs a key there, too. */
const curl = () => (keyed() ? 'curl -s -H "X-API-Key: $KEY" -X POST' : "curl -s -X POST");
const curlRaw = (path, file) => `${curl()} ${quoted(location.origin + path)} --data-binary ${quoted(`@${file.name}`)}`;
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
/* In -F, curl itself gives a meaning to some characters of a file's name. */
const formFile = (name) => (/^[\w.-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`);

async function copy(button) {
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch { // over plain HTTP from another machine browsers have no clipboard object
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function save(file) {
  const url = URL.createObjectURL(file);
  make("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/* ---- A zip of stored files, named by their order ---- */

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});
const crc32 = (bytes) => ~bytes.reduce((crc, byte) => (crc >>> 8) ^ CRC[(crc ^ byte) & 255], -1) >>> 0;

/* Little-endian numbers, each given as [bytes, value]. */
function packed(...numbers) {
  return Uint8Array.from(numbers.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255)));
}

async function zip(files) {
  const body = [], directory = [];
  let offset = 0;
  for (const [index, file] of files.entries()) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(`${index + 1}.${bytes[0] === 0x89 ? "png" : "jpg"}`);
    const [crc, size] = [[4, crc32(bytes)], [4, bytes.length]];
    const common = packed([2, 20], [2, 0], [2, 0], [2, 0], [2, 33], crc, size, size, [2, name.length], [2, 0]); // stored, 1 January 1980
    const entry = [packed([4, 0x04034b50]), common, name, bytes];
    directory.push(packed([4, 0x02014b50], [2, 20]), common, packed([2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name);
    offset += entry.reduce((sum, part) => sum + part.length, 0);
    body.push(...entry);
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const tail = packed([4, 0x06054b50], [4, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new File([...body, ...directory, tail], "frames.zip", { type: "application/zip" });
}

/* ---- Start ---- */

/* Or the browser would leave for what is dropped, or put it into the field itself. */
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
document.querySelectorAll(".panel").forEach(setUpPanel);
for (const name of ["points", "axes"]) $(name).onchange = () => $("overlay").classList.toggle(`no-${name}`, !$(name).checked);
scaling.observe($("overlay"));
$("unlock").onsubmit = unlock;
$("locked").oncancel = (event) => event.preventDefault();
$("forget").onclick = forget;
$("forget").hidden = !keyed();
document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
begin();
