/* The enrolment wizard: person, pictures, done. */

import { $, announce, make, onFiles, percent } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, gallery, keep, pathOf, refresh, refusalText, send } from "./gallery.js";
import { ARROWS, POSES, PROMPTS, guide } from "./guidance.js";
import { shape } from "./shapes.js";
import { templateItem } from "./templates.js";
import { mark } from "./watch.js";

const HOLD_MS = 700; // how long the face must be good before a picture is taken
const STAND_MS = 1800; // how long an answer of the device is shown before the next prompt
const DRIFT = 0.08; // the movement between two events, as a share of the face's width, from which a head is not still
const STEPS = ["step-person", "step-pictures", "step-done"];

const DOUBTS = {
  duplicate: {
    override: "allow_duplicate", title: "This face is already enrolled",
    words: (name, other) => `It looks like ${other}. If ${name} is the same person, one entry is enough.`,
    note: "Two entries with the same face cannot be distinguished, so neither is granted access.",
    stop: "Do not enrol", go: "Enrol as another person",
  },
  not_the_same_person: {
    override: "allow_mismatch", title: "Is this the same person?",
    words: (name) => `This face does not resemble the other pictures of ${name}.`,
    note: "With a wrong picture, another person is granted access under this name.",
    stop: "Do not enrol", go: "Same person: enrol",
  },
};

let fields = null, stepChanged = () => {};
let queue = Promise.resolve(); // the enrolments under way, one after the other; it never rejects
const shots = { step: 0, person: null, pose: "front", taken: {}, warnings: [], allowed: [], busy: 0, since: null, at: null, stands: 0, turn: 0 };

/* Sets up the wizard; `stepped` is called when the step has changed. */
export function setUpEnrolment({ stepped }) {
  stepChanged = stepped;
  fields = fieldsOf($("step-person"));
  $("step-person").onsubmit = addPerson;
  onFiles($("photos"), addPhotos);
  $("take").onclick = takePicture;
  $("finish").onclick = finish;
  $("next").onclick = startAnew;
  $("again").onclick = () => addPictures(shots.person);
  startAnew();
}

/* Whether the wizard shows the camera's picture. */
export const takesPictures = () => shots.step === 1;

/* Goes to the step of the pictures, for a person in the gallery. */
export function addPictures(person) {
  Object.assign(shots, { person, taken: {}, warnings: [], allowed: [], stands: 0, turn: shots.turn + 1 });
  choose("front");
  $("poses-title").textContent = `${person.name} (${person.id})`;
  $("shot-outcome").textContent = "";
  $("photo-outcomes").replaceChildren();
  prompt("wait", "looking", "Looking …");
  go(1, $("poses-title"));
}

/* Shows a prompt for the faces of an event, and takes a picture once they are good for HOLD_MS. */
export function guideTo(seen) {
  mark(seen, seen.faces.map(({ id, box }) => ({ id, box })));
  if (shots.busy || performance.now() < shots.stands) return;
  const code = shots.pose ? guide(seen, shots.pose) : null;
  if (code || !shots.pose || !steady(seen.faces[0])) shots.since = null;
  if (code) return prompt("go", code);
  if (!shots.pose) return prompt("good", "done", "All pictures are taken");
  shots.since ??= performance.now();
  const held = performance.now() - shots.since;
  prompt("good", "hold_still", PROMPTS.hold_still, held / HOLD_MS);
  if (held >= HOLD_MS && $("automatic").checked && !document.querySelector("dialog[open]")) takePicture();
}

/* Shows that there are no current faces. */
export function waitForFaces() {
  shots.since = null;
  if (!shots.busy && performance.now() >= shots.stands) prompt("wait", "blind", "One moment …");
}

/* Whether a face has hardly moved since the last event. */
function steady({ box }) {
  const before = shots.at;
  shots.at = box;
  return before && Math.hypot(box.x - before.x, box.y - before.y) < DRIFT * box.width;
}

function startAnew() {
  Object.assign(shots, { person: null, turn: shots.turn + 1 });
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
  stepChanged();
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
  } else if (answer?.reason === "person_exists") {
    fields.refuse("id: This id is taken. To add pictures to that person, find them in the list of people.");
  } else if (gallery.keyless && answer) {
    fields.refuse("Managing people needs an admin key; enter one above.");
  } else {
    fields.refuse(refusalText(answer));
  }
}

/* ---- Pictures ---- */

function choose(pose) {
  Object.assign(shots, { pose, since: null });
  $("poses").replaceChildren(...Object.entries(POSES).map(([name, title]) => {
    const template = shots.taken[name];
    const button = make("button", { type: "button", className: "pose", data: { pose: name }, onclick: () => choose(name) },
      shape(template ? "granted" : name === "front" ? "neutral" : name), make("b", {}, title),
      make("span", { className: "quiet" }, template ? `taken, quality ${percent(template.quality)}` : name === pose ? "now" : "to do"));
    button.setAttribute("aria-current", name === pose ? "step" : "false");
    return make("li", { className: template ? "taken" : "" }, button);
  }));
}

async function takePicture() {
  if (shots.busy || !shots.person) return;
  const { turn } = shots, pose = shots.pose ?? "front";
  prompt("good", "hold_still", PROMPTS.hold_still, 1);
  const answer = await enrol(cameraPath(pose), {});
  if (turn !== shots.turn) return;
  shots.since = null;
  shots.stands = performance.now() + STAND_MS;
  if (answer.template) {
    shots.taken[pose] = answer.template;
    prompt("good", "taken", "Thank you", 1);
    announce(`${POSES[pose]}: picture taken.`);
    $("shot-outcome").textContent = "";
    choose(Object.keys(POSES).find((name) => !shots.taken[name]) ?? null);
    if (!shots.pose) setTimeout(() => turn === shots.turn && shots.step === 1 && !shots.pose && finish(), STAND_MS);
  } else if (PROMPTS[answer.reason]) {
    prompt("stop", answer.reason);
    $("shot-outcome").textContent = "";
  } else {
    if (answer.text) $("automatic").checked = false; // it would be refused every time
    $("shot-outcome").textContent = answer.text;
    prompt("wait", "stopped", "Wait a moment");
  }
}

/* Enrols a picture after those before it; returns the template, or the reason and text of the refusal. */
function enrol(path, options) {
  shots.busy++;
  const { person: { id }, allowed, turn } = shots;
  const answered = queue.then(() => post({ id, allowed, turn }, path, options)).finally(() => { shots.busy--; });
  queue = answered.catch(() => {});
  return answered;
}

/* Posts a picture; where the device has a doubt, the operator decides. */
async function post({ id, allowed, turn }, path, options) {
  const attempt = () => askGallery(pathOf(id, path(allowed)), { method: "POST", ...options });
  let answer = await attempt();
  while (turn === shots.turn && DOUBTS[answer?.reason] && !allowed.includes(answer.reason)) {
    if (!(await overrules(answer))) break;
    allowed.push(answer.reason);
    answer = await attempt();
  }
  if (!answer?.ok) return { reason: answer?.reason, text: refusalText(answer) };
  const { template, warnings } = answer.body;
  if (turn === shots.turn) {
    shots.warnings.push(...warnings);
    shots.person = { ...shots.person, templates: [...shots.person.templates, template] };
    keep(shots.person);
  }
  return { template };
}

const cameraPath = (pose) => (allowed) => `/templates/camera?${new URLSearchParams([["pose", pose], ...overrides(allowed)])}`;
const photoPath = (allowed) => `/templates?${new URLSearchParams(overrides(allowed))}`;
const overrides = (allowed) => allowed.map((reason) => [DOUBTS[reason].override, "1"]);

/* Whether the operator overrules a doubt. */
function overrules({ reason, body }) {
  const { title, words, note, stop, go: onwards } = DOUBTS[reason];
  const dialog = $("doubt");
  $("doubt-title").textContent = title;
  $("doubt-words").textContent = words(shots.person.name, nameOf(body.person));
  $("doubt-note").textContent = note;
  $("doubt-stop").textContent = stop;
  $("doubt-go").textContent = onwards;
  return new Promise((resolve) => {
    $("doubt-stop").onclick = () => dialog.close("stop");
    $("doubt-go").onclick = () => dialog.close("go");
    dialog.onclose = () => resolve(dialog.returnValue === "go");
    dialog.returnValue = "";
    dialog.showModal();
  });
}

function nameOf(id) {
  const known = gallery.people?.find((person) => person.id === id);
  return known ? `${known.name} (${id})` : id ?? "another person";
}

function addPhotos(files) {
  if (!shots.person) return;
  for (const file of files) {
    const line = make("li", { data: { state: "busy" } }, `${file.name}: checking …`);
    $("photo-outcomes").append(line);
    enrol(photoPath, { body: file }).then(({ template, text }) => {
      line.dataset.state = template ? "taken" : "refused";
      line.textContent = `${template ? "✓" : "✕"} ${file.name}: ${template ? `added, quality ${percent(template.quality)}` : text}`;
    });
  }
}

/* Shows a prompt; `held` (0..1) is the share of HOLD_MS that has passed. */
function prompt(kind, code, words = PROMPTS[code], held = 0) {
  const line = $("prompt");
  $("hold").firstElementChild.style.width = `${Math.min(1, held) * 100}%`;
  if (line.dataset.code === code && line.dataset.kind === kind) return; // or screen readers would repeat it
  Object.assign(line.dataset, { kind, code });
  line.replaceChildren(...(ARROWS[code] ? [shape(ARROWS[code])] : []), make("span", {}, words));
}

/* ---- Done ---- */

/* Waits for the enrolments under way, then shows the result. */
async function finish() {
  const { turn } = shots;
  shots.busy++;
  $("finish").disabled = true;
  await queue;
  $("finish").disabled = false;
  shots.busy--;
  if (turn !== shots.turn) return;
  const { person, warnings } = shots;
  shots.turn++;
  const count = person.templates.length;
  $("done-title").textContent = count ? `${person.name} is enrolled` : `${person.name} has no pictures yet`;
  const seen = new Map(warnings.map((warning) => [`${warning.kind} ${warning.person}`, warning]));
  const lines = [...seen.values()].map(({ kind, person: id }) =>
    make("li", { data: { kind } }, kind === "duplicate" ? `Enrolled although the face matches ${nameOf(id)}.` : `Looks like ${nameOf(id)}. The door may confuse the two; more pictures help.`));
  if (!count) lines.push(make("li", { data: { kind: "empty" } }, "A person without pictures is not recognised: add pictures, or erase the entry."));
  $("warnings").replaceChildren(...lines);
  $("done-templates").replaceChildren(...person.templates.map((template) => templateItem(template)));
  go(2, $("done-title"));
  refresh();
}
