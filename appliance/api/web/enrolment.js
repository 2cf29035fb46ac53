/* The enrolment wizard: person, pictures, done. */

import { $, announce, make, onFiles } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, gallery, keep, pathOf, refresh, refusalText, send } from "./gallery.js";
import { ARROWS, POSES, PROMPTS, guide } from "./guidance.js";
import { crop } from "./marks.js";
import { shape } from "./shapes.js";
import { templateItem } from "./templates.js";
import { mark } from "./watch.js";
import { percent, text } from "./texts.js";

const HOLD_MS = 700; // how long the face must be good before a picture is taken
const STAND_MS = 1800; // how long an answer of the device is shown before the next prompt
const DRIFT = 0.08; // the movement between two events, as a share of the face's width, from which a head is not still
const STEPS = ["step-person", "step-pictures", "step-done"];

const OVERRIDES = { duplicate: "allow_duplicate", not_the_same_person: "allow_mismatch" }; // by the reason of a doubt

let fields = null, stepChanged = () => {};
let queue = Promise.resolve(); // the requests under way, one after the other; it never rejects
const shots = { step: 0, person: null, camera: false, pose: "front", captures: [], allowed: [], busy: 0, since: null, at: null, stands: 0, turn: 0 };

/* Sets up the wizard; `stepped` is called when the step has changed. */
export function setUpEnrolment({ stepped }) {
  stepChanged = stepped;
  fields = fieldsOf($("step-person"));
  $("step-person").onsubmit = addPerson;
  onFiles($("photos"), addPhotos);
  $("take").onclick = takePicture;
  $("start-camera").onclick = startCamera;
  $("choose").onclick = () => $("photos").click();
  $("stop-camera").onclick = () => { stopCamera(); $("start-camera").focus(); };
  $("finish").onclick = finish;
  $("next").onclick = startAnew;
  $("again").onclick = () => addPictures(shots.person);
  startAnew();
}

/* Whether the wizard shows the camera's picture. */
export const takesPictures = () => shots.step === 1 && shots.camera;

/* Goes to the step of the pictures, for a person in the gallery. */
export function addPictures(person) {
  Object.assign(shots, { person, camera: false, captures: [], allowed: [], stands: 0, turn: shots.turn + 1 });
  $("captures-title").textContent = text("enrol.pictures_of", person);
  $("shot-outcome").textContent = "";
  $("photo-outcomes").replaceChildren();
  showCaptures();
  go(1, $("captures-title"));
}

/* Shows whether the camera of a health report can enrol people. */
export function showCamera(camera) {
  const note = text(!camera ? "enrol.no_camera" : camera.demonstration ? "enrol.demonstration" : camera.stored ? "enrol.stored" : "enrol.not_started");
  if ($("start-note").textContent === note) return;
  $("start-note").textContent = note;
  $("start-camera").disabled = !camera || camera.stored;
  if (!shots.camera) promptToStart();
}

/* Stops the camera: no picture is taken until it is started again. */
export function stopCamera() {
  if (!shots.camera) return;
  shots.camera = false;
  showShooting();
}

function startCamera() {
  Object.assign(shots, { camera: true, since: null, stands: 0 });
  showShooting();
  $("stop-camera").focus({ preventScroll: true });
}

function showShooting() {
  $("start").hidden = shots.camera;
  for (const id of ["enrol-scene", "shooting"]) $(id).hidden = !shots.camera;
  if (shots.camera) prompt("wait", "looking", text("door.looking"));
  else promptToStart();
  stepChanged();
}

function promptToStart() {
  if ($("start-camera").disabled) $("prompt").hidden = true;
  else prompt("wait", "start", text("enrol.start_or_choose"));
}

/* Shows a prompt for the faces of an event, and takes a picture once they are good for HOLD_MS. */
export function guideTo(seen) {
  mark(seen, seen.faces.map(({ id, box }) => ({ id, box })));
  if (shots.busy || performance.now() < shots.stands) return;
  const code = shots.pose ? guide(seen, shots.pose) : null;
  if (code || !shots.pose || !steady(seen.faces[0])) shots.since = null;
  if (code) return prompt("go", code);
  if (!shots.pose) return prompt("good", "done", text("enrol.all_taken"));
  shots.since ??= performance.now();
  const held = performance.now() - shots.since;
  prompt("good", "hold_still", PROMPTS.hold_still, held / HOLD_MS);
  if (held >= HOLD_MS && $("automatic").checked && !document.querySelector("dialog[open]")) takePicture();
}

/* Shows that there are no current faces. */
export function waitForFaces() {
  shots.since = null;
  if (shots.camera && !shots.busy && performance.now() >= shots.stands) prompt("wait", "blind", text("enrol.moment"));
}

/* Whether a face has hardly moved since the last event. */
function steady({ box }) {
  const before = shots.at;
  shots.at = box;
  return before && Math.hypot(box.x - before.x, box.y - before.y) < DRIFT * box.width;
}

function startAnew() {
  Object.assign(shots, { person: null, camera: false, turn: shots.turn + 1 });
  fields.fill(null);
  go(0);
  if (!$("view-enrol").hidden) fields.focusFirst();
}

function go(step, focused) {
  shots.step = step;
  STEPS.forEach((id, index) => { $(id).hidden = index !== step; });
  [...$("steps").children].forEach((item, index) => {
    item.className = index < step ? "past" : "";
    if (index === step) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  showShooting();
  focused?.focus();
}

async function addPerson(event) {
  event.preventDefault();
  const person = fields.read();
  if (!person) return;
  const button = $("step-person").querySelector("button.main");
  button.disabled = true;
  const answer = await send("POST", "/people", person);
  button.disabled = false;
  if (answer?.ok) {
    keep(answer.body.person);
    addPictures(answer.body.person);
  } else {
    fields.refuse(answer);
  }
}

/* ---- Pictures ---- */

function choose(pose) {
  Object.assign(shots, { pose, since: null });
  $("poses").replaceChildren(...Object.entries(POSES).map(([name, title]) => {
    const taken = shots.captures.find((each) => each.pose === name);
    const button = make("button", { type: "button", className: "pose", data: { pose: name }, onclick: () => choose(name) },
      shape(taken ? "granted" : name === "front" ? "neutral" : name), make("b", {}, title),
      make("span", { className: "quiet" }, text(`pose_state.${taken ? "taken" : name === pose ? "now" : "to_do"}`)));
    button.setAttribute("aria-current", name === pose ? "step" : "false");
    return make("li", { className: taken ? "taken" : "" }, button);
  }));
}

async function takePicture() {
  if (shots.busy || !shots.person) return;
  const { turn } = shots, pose = shots.pose ?? "front";
  prompt("good", "hold_still", PROMPTS.hold_still, 1);
  const answer = await enqueue(() => capture(`/camera?pose=${pose}`));
  if (turn !== shots.turn) return;
  shots.since = null;
  shots.stands = performance.now() + STAND_MS;
  $("shot-outcome").textContent = "";
  if (answer?.ok) {
    prompt("good", "taken", text("enrol.thanks"), 1);
    announce(text("enrol.picture_taken", { pose: POSES[pose] }));
    hold({ ...answer.body, title: POSES[pose], pose });
  } else if (PROMPTS[answer?.reason]) {
    prompt("stop", answer.reason);
  } else {
    if (answer) $("automatic").checked = false; // it would be refused every time
    $("shot-outcome").textContent = refusalText(answer);
    prompt("wait", "refused", text("enrol.moment"));
  }
  if (!shots.camera) promptToStart();
}

/* Makes a request after those before it. */
function enqueue(request) {
  shots.busy++;
  const { turn } = shots;
  const answered = queue.then(() => (turn === shots.turn ? request() : null)).finally(() => { shots.busy--; });
  queue = answered.catch(() => {});
  return answered;
}

/* Requests a capture, which the device holds until it is confirmed. */
const capture = (path, options) => askGallery(pathOf(shots.person.id, `/captures${path}`), { method: "POST", ...options });

/* Adds a capture to those that are shown; it takes the place of one in the same pose. */
function hold(taken) {
  shots.captures = [...shots.captures.filter(({ pose }) => !pose || pose !== taken.pose), taken];
  showCaptures();
}

function drop(taken) {
  shots.captures = shots.captures.filter((each) => each !== taken);
  showCaptures();
}

/* Shows the captures, and whose they will be. */
function showCaptures() {
  const { person, captures } = shots, count = captures.length;
  $("captures").replaceChildren(...captures.map((each) => make("li", {},
    crop(each.face, `${each.title}, ${percent(each.quality.overall)}`),
    make("button", { type: "button", onclick: () => drop(each), ariaLabel: text("enrol.remove", each) }, text("page.remove")))));
  $("captures-note").textContent = text(count ? "enrol.check" : "enrol.none_yet", person);
  $("finish").textContent = text("enrol.finish", { name: person.name, count });
  choose(Object.keys(POSES).find((name) => !captures.some(({ pose }) => pose === name)) ?? null);
}

/* Makes a template of a capture; where the device has a doubt, the operator decides. Returns the last answer. */
async function confirm({ capture: name }) {
  const { person: { id }, allowed, turn } = shots;
  for (;;) {
    const overrides = new URLSearchParams(allowed.map((reason) => [OVERRIDES[reason], "1"]));
    const answer = await askGallery(pathOf(id, `/captures/${name}/confirm?${overrides}`), { method: "POST" });
    if (turn !== shots.turn || !OVERRIDES[answer?.reason] || allowed.includes(answer.reason) || !(await overrules(answer))) return answer;
    allowed.push(answer.reason);
  }
}

/* Whether the operator overrules a doubt. */
async function overrules({ reason, body }) {
  const values = { name: shots.person.name, other: nameOf(body.person) };
  for (const part of ["title", "words", "note", "go"]) $(`doubt-${part}`).textContent = text(`doubt.${reason}_${part}`, values);
  for (const choice of ["stop", "go"]) $(`doubt-${choice}`).onclick = () => $("doubt").close(choice);
  return (await chosen($("doubt"))) === "go";
}

/* Shows a dialog; returns what it is closed with. */
function chosen(dialog) {
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

function nameOf(id) {
  const known = gallery.people?.find((person) => person.id === id);
  return known ? `${known.name} (${id})` : id ?? text("enrol.another_person");
}

function addPhotos(files) {
  if (!shots.person) return;
  stopCamera();
  for (const file of files) addPhoto(file);
}

async function addPhoto(file) {
  const { turn } = shots;
  const line = make("li", { data: { state: "busy" } }, text("enrol.checking", { file: file.name }));
  $("photo-outcomes").append(line);
  const answer = await enqueue(() => capturePhoto(file));
  if (turn !== shots.turn) return;
  line.dataset.state = answer?.ok ? "taken" : "refused";
  line.textContent = answer?.ok ? `✓ ${file.name}` : `✕ ${file.name}: ${refusalText(answer)}`;
  if (answer?.ok) hold({ ...answer.body, title: file.name });
}

/* Requests a capture of a photo; where it shows several people, the operator chooses. */
async function capturePhoto(file) {
  const answer = await capture("", { body: file });
  if (answer?.reason !== "more_than_one") return answer;
  const box = await chosenFace(file, answer.body.faces);
  return box ? capture(`?face=${(box.x + box.width / 2).toFixed(1)},${(box.y + box.height / 2).toFixed(1)}`, { body: file }) : answer;
}

/* Returns the box of the face that the operator chooses in a photo; undefined for none. */
async function chosenFace(file, faces) {
  const image = make("img", { alt: file.name, src: URL.createObjectURL(file) });
  try { await image.decode(); } catch { return undefined; }
  const { naturalWidth: width, naturalHeight: height } = image;
  const boxes = [...faces].sort((a, b) => a.x - b.x);
  const buttons = boxes.map((box, index) => {
    const label = text("enrol.face_of", { index: index + 1, count: boxes.length });
    const button = make("button", { type: "button", className: "face-choice", ariaLabel: label, onclick: () => $("which").close(String(index)) }, make("span", {}, String(index + 1)));
    const place = { left: box.x / width, top: box.y / height, width: box.width / width, height: box.height / height };
    for (const [name, share] of Object.entries(place)) button.style[name] = `${100 * share}%`;
    button.style.zIndex = String(boxes.filter((other) => other.width > box.width).length);
    return button;
  });
  $("which-title").textContent = text("enrol.which", shots.person);
  $("which-photo").replaceChildren(image, ...buttons);
  $("which-none").onclick = () => $("which").close("");
  const choice = await chosen($("which"));
  URL.revokeObjectURL(image.src);
  return choice ? boxes[choice] : undefined;
}

/* Shows a prompt; `held` (0..1) is the share of HOLD_MS that has passed. */
function prompt(kind, code, words = PROMPTS[code], held = 0) {
  const line = $("prompt");
  line.hidden = false;
  $("hold").firstElementChild.style.width = `${Math.min(1, held) * 100}%`;
  if (line.dataset.code === code && line.dataset.kind === kind) return; // or screen readers would repeat it
  Object.assign(line.dataset, { kind, code });
  line.replaceChildren(...(ARROWS[code] ? [shape(ARROWS[code])] : []), make("span", {}, words));
}

/* ---- Done ---- */

/* Enrols the captures that are shown, then shows the result. Those that come later or could not be answered stay. */
async function finish() {
  const { turn, captures } = shots, warnings = [], refused = [];
  stopCamera();
  shots.busy++;
  $("finish").disabled = true;
  await queue;
  let unanswered = "";
  for (const each of captures) {
    const answer = turn === shots.turn ? await confirm(each) : null;
    if (turn !== shots.turn) break;
    if (answer?.ok) {
      const { template, warnings: found } = answer.body;
      warnings.push(...found);
      shots.person = { ...shots.person, templates: [...shots.person.templates, template] };
      keep(shots.person);
    } else if ([404, 409].includes(answer?.status)) {
      refused.push(`${each.title}: ${refusalText(answer)}`);
    } else {
      unanswered = refusalText(answer);
      break;
    }
    drop(each);
  }
  $("finish").disabled = false;
  shots.busy--;
  if (turn !== shots.turn) return;
  $("shot-outcome").textContent = [...refused, unanswered].join(" ").trim();
  if (!shots.captures.length) showDone(warnings, refused);
}

function showDone(warnings, refused) {
  const { person } = shots;
  shots.turn++;
  const count = person.templates.length;
  $("done-title").textContent = text(count ? "enrol.enrolled" : "enrol.without_pictures", person);
  const seen = new Map(warnings.map((warning) => [`${warning.kind} ${warning.person}`, warning]));
  const lines = [...seen.values()].map(({ kind, person: id }) =>
    make("li", { data: { kind } }, text(`alike.${kind}`, { other: nameOf(id) })));
  lines.push(...refused.map((what) => make("li", { data: { kind: "refused" } }, text("enrol.not_enrolled", { what }))));
  if (!count) lines.push(make("li", { data: { kind: "empty" } }, text("enrol.empty")));
  $("warnings").replaceChildren(...lines);
  $("done-templates").replaceChildren(...person.templates.map((template) => templateItem(template)));
  go(2, $("done-title"));
  refresh();
}
