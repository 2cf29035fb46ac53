/* Enrolment, step by step: who, pictures, done. */

import { $, announce, make, percent } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, gallery, keep, placeOf, refresh, send, wordsOf } from "./gallery.js";
import { ARROWS, POSES, PROMPTS, guide } from "./guidance.js";
import { shape } from "./shapes.js";
import { templateItem } from "./templates.js";
import { mark } from "./watch.js";

const HOLD_MS = 700; // a good picture must last so long
const STAND_MS = 1800; // the device's own word stands so long before the camera's next
const DRIFT = 0.08; // of the face's width, beyond which it does not hold still
const STEPS = ["step-who", "step-pictures", "step-done"];

const DOUBTS = {
  duplicate: {
    leave: "allow_duplicate", title: "This face is known already",
    words: (name, other) => `It looks like ${other}, who is enrolled already. If ${name} is the same person, one entry is enough.`,
    note: "Two people with one face cannot be told apart: neither of them is let through.",
    stop: "Do not enrol it", go: "They are two people: enrol it",
  },
  not_the_same_person: {
    leave: "allow_mismatch", title: "Is this the same person?",
    words: (name) => `This face is not like the other pictures of ${name}.`,
    note: "A wrong picture lets somebody else pass under this name.",
    stop: "Do not enrol it", go: "It is the same person: enrol it",
  },
};

let fields = null, moved = () => {};
let queue = Promise.resolve(); // what is enrolled just now; it never rejects
const shots = { step: 0, person: null, pose: "front", taken: {}, warnings: [], allowed: [], busy: 0, since: null, at: null, stands: 0, turn: 0 };

/* Sets the wizard up; `stepped` is called when the step has changed. */
export function setUpEnrolment({ stepped }) {
  moved = stepped;
  fields = fieldsOf($("step-who"));
  $("step-who").onsubmit = addPerson;
  $("photos").onchange = () => { addPhotos([...$("photos").files]); $("photos").value = ""; };
  const zone = $("photos").closest(".drop");
  zone.ondragover = () => zone.classList.add("over");
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = ({ dataTransfer }) => { zone.classList.remove("over"); addPhotos([...dataTransfer.files]); };
  $("take").onclick = takePicture;
  $("finish").onclick = finish;
  $("next").onclick = startAnew;
  $("again").onclick = () => addPictures(shots.person);
  startAnew();
}

/* Whether the camera's picture is wanted. */
export const takesPictures = () => shots.step === 1;

/* Goes to the pictures of somebody who is enrolled already. */
export function addPictures(person) {
  Object.assign(shots, { person, taken: {}, warnings: [], allowed: [], stands: 0, turn: shots.turn + 1 });
  choose("front");
  $("poses-title").textContent = `${person.name} (${person.id})`;
  $("shot-outcome").textContent = "";
  $("photo-outcomes").replaceChildren();
  tell("wait", "nobody", "Looking …");
  go(1, $("poses-title"));
}

/* What the camera sees: guidance, and a picture when it is good for a moment. */
export function guided(seen) {
  mark(seen, seen.faces.map(({ id, box }) => ({ id, box })));
  if (shots.busy || performance.now() < shots.stands) return;
  const prompt = shots.pose ? guide(seen, shots.pose) : null;
  if (prompt || !shots.pose || !steady(seen.faces[0])) shots.since = null;
  if (prompt) return tell("go", prompt);
  if (!shots.pose) return tell("good", "done", "All pictures are taken");
  shots.since ??= performance.now();
  const held = performance.now() - shots.since;
  tell("good", "hold_still", PROMPTS.hold_still, held / HOLD_MS);
  if (held >= HOLD_MS && $("by-itself").checked && !document.querySelector("dialog[open]")) takePicture();
}

/* There is no picture just now. */
export function unsighted() {
  shots.since = null;
  if (!shots.busy && performance.now() >= shots.stands) tell("wait", "blind", "Waiting for the camera …");
}

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
  moved();
  focused?.focus();
}

async function addPerson(event) {
  event.preventDefault();
  const person = fields.read();
  if (!person) return;
  const button = $("step-who").querySelector("button.main");
  button.disabled = true;
  const answer = await send("POST", "/people", person);
  button.disabled = false;
  if (answer?.ok) {
    keep(answer.body.person);
    addPictures(answer.body.person);
  } else if (answer?.reason === "person_exists") {
    fields.refuse("id: Somebody has this id already. To give them more pictures, find them among the people.");
  } else if (gallery.keyless && answer) {
    fields.refuse("Your key does not open this: give one with the scope “admin” above.");
  } else {
    fields.refuse(wordsOf(answer));
  }
}

/* ---- Pictures ---- */

function choose(pose) {
  Object.assign(shots, { pose, since: null });
  $("poses").replaceChildren(...Object.entries(POSES).map(([name, title]) => {
    const template = shots.taken[name];
    const button = make("button", { type: "button", className: "pose", data: { pose: name }, onclick: () => choose(name) },
      shape(template ? "granted" : name === "front" ? "nobody" : name), make("b", {}, title),
      make("span", { className: "quiet" }, template ? `taken, ${percent(template.quality)}` : name === pose ? "now" : "to do"));
    button.setAttribute("aria-current", name === pose ? "step" : "false");
    return make("li", { className: template ? "taken" : "" }, button);
  }));
}

async function takePicture() {
  if (shots.busy || !shots.person) return;
  const { turn } = shots, pose = shots.pose ?? "front";
  tell("good", "hold_still", PROMPTS.hold_still, 1);
  const answer = await enrolled(cameraPath(pose), {});
  if (turn !== shots.turn) return;
  shots.since = null;
  shots.stands = performance.now() + STAND_MS;
  if (answer.template) {
    shots.taken[pose] = answer.template;
    tell("good", "taken", "Thank you", 1);
    announce(`${POSES[pose]} is taken.`);
    $("shot-outcome").textContent = "";
    choose(Object.keys(POSES).find((name) => !shots.taken[name]) ?? null);
    if (!shots.pose) setTimeout(() => turn === shots.turn && shots.step === 1 && !shots.pose && finish(), STAND_MS);
  } else if (PROMPTS[answer.reason]) {
    tell("stop", answer.reason);
    $("shot-outcome").textContent = "";
  } else {
    if (answer.text) $("by-itself").checked = false; // it would be refused again and again
    $("shot-outcome").textContent = answer.text;
    tell("wait", "stopped", "Wait a moment");
  }
}

/* Enrols from what is posted, one after the other; gives the template, or why there is none. */
function enrolled(path, options) {
  shots.busy++;
  const { person: { id }, allowed, turn } = shots;
  const answered = queue.then(() => post({ id, allowed, turn }, path, options)).finally(() => { shots.busy--; });
  queue = answered.catch(() => {});
  return answered;
}

/* What the device doubts is asked of people, never assumed. */
async function post({ id, allowed, turn }, path, options) {
  const attempt = () => askGallery(placeOf(id, path(allowed)), { method: "POST", ...options });
  let answer = await attempt();
  while (turn === shots.turn && DOUBTS[answer?.reason] && !allowed.includes(answer.reason)) {
    if (!(await overruled(answer))) break;
    allowed.push(answer.reason);
    answer = await attempt();
  }
  if (!answer?.ok) return { reason: answer?.reason, text: wordsOf(answer) };
  const { template, warnings } = answer.body;
  if (turn === shots.turn) {
    shots.warnings.push(...warnings);
    shots.person = { ...shots.person, templates: [...shots.person.templates, template] };
    keep(shots.person);
  }
  return { template };
}

const cameraPath = (pose) => (allowed) => `/templates/camera?${new URLSearchParams([["pose", pose], ...leave(allowed)])}`;
const photoPath = (allowed) => `/templates?${new URLSearchParams(leave(allowed))}`;
const leave = (allowed) => allowed.map((reason) => [DOUBTS[reason].leave, "1"]);

/* Whether a person says that it is right all the same. */
function overruled({ reason, body }) {
  const { title, words, note, stop, go: onwards } = DOUBTS[reason];
  const dialog = $("doubt");
  $("doubt-title").textContent = title;
  $("doubt-words").textContent = words(shots.person.name, nameOf(body.person));
  $("doubt-note").textContent = note;
  $("doubt-stop").textContent = stop;
  $("doubt-go").textContent = onwards;
  return new Promise((decided) => {
    $("doubt-stop").onclick = () => dialog.close("stop");
    $("doubt-go").onclick = () => dialog.close("go");
    dialog.onclose = () => decided(dialog.returnValue === "go");
    dialog.returnValue = "";
    dialog.showModal();
  });
}

function nameOf(id) {
  const known = gallery.people?.find((person) => person.id === id);
  return known ? `${known.name} (${id})` : id ?? "somebody";
}

function addPhotos(files) {
  if (!shots.person) return;
  for (const file of files) {
    const line = make("li", { data: { state: "busy" } }, `${file.name}: looking …`);
    $("photo-outcomes").append(line);
    enrolled(photoPath, { body: file }).then(({ template, text }) => {
      line.dataset.state = template ? "taken" : "refused";
      line.textContent = `${template ? "✓" : "✕"} ${file.name}: ${template ? `taken, quality ${percent(template.quality)}` : text}`;
    });
  }
}

/* The prompt in large words; `held` 0..1 is how much of the moment is over. */
function tell(kind, code, words = PROMPTS[code], held = 0) {
  const prompt = $("prompt");
  $("hold").firstElementChild.style.width = `${Math.min(1, held) * 100}%`;
  if (prompt.dataset.code === code && prompt.dataset.kind === kind) return; // or it would be read out again
  Object.assign(prompt.dataset, { kind, code });
  prompt.replaceChildren(...(ARROWS[code] ? [shape(ARROWS[code])] : []), make("span", {}, words));
}

/* ---- Done ---- */

/* What was given already is enrolled first. */
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
  $("done-title").textContent = count ? `${person.name} is enrolled` : `${person.name} has no picture yet`;
  const seen = new Map(warnings.map((warning) => [`${warning.kind} ${warning.person}`, warning]));
  const lines = [...seen.values()].map(({ kind, person: id }) =>
    make("li", { data: { kind } }, kind === "duplicate" ? `Enrolled although the face is taken for ${nameOf(id)}'s.` : `Looks like ${nameOf(id)}: at the door they may be told apart with difficulty. More pictures help.`));
  if (!count) lines.push(make("li", { data: { kind: "empty" } }, "Without one nobody is recognised: add pictures, or erase the entry."));
  $("warnings").replaceChildren(...lines);
  $("done-templates").replaceChildren(...person.templates.map((template) => templateItem(template)));
  go(2, $("done-title"));
  refresh();
}
