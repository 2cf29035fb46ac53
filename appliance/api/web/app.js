/* The live page. */

import { $, LIVE_FROM, announce, counted, degrees, ignoreDrops, make, meter, percent, verdict } from "./elements.js";
import { showFacts } from "./facts.js";
import { setUpKey } from "./key.js";
import { keepScaled } from "./marks.js";
import { plays } from "./stage.js";
import { setUpPanel } from "./trial.js";
import { begin, end, lock, mark, poll, setUpWatch, troubleItem } from "./watch.js";

const REMEDIES = { size: "come closer", sharpness: "hold still, or clean the lens", light: "more light from the front", pose: "look at the camera", visibility: "uncover the face" };
const POOR = 0.7; // the overall quality below which a remedy is shown, as for templates
const LOGGED = 60; // entries

const EMPTY = {
  waiting: "Waiting for the device.",
  none: "No face in view.",
  stale: "No current data.",
  lost: "Not known: the device does not answer, or too many pages are open already.",
  locked: "Not known: a key is required.",
};

const liveness = new Map(); // confidences by face number
let shown = 0;

function showReport(report, troubles) {
  $("health").replaceChildren(...troubles.map(troubleItem));
  for (const button of document.querySelectorAll(".from-camera")) button.disabled = !plays();
  if (report) showFacts(report);
}

function showFaces(seen) {
  for (const { id } of seen.faces) meet(id);
  const known = seen.faces.map((face) => ({ ...face, live: liveness.get(face.id) }));
  mark(seen, known.map((face) => ({ ...face, title: `Face ${face.id}${verdict(face.live, " · ")}` })));
  listFaces(known, "none");
}

/* Lists the faces in view; without any, says why in the words of `empty`. */
function listFaces(faces, empty) {
  if (faces.length !== shown) announce(counted(faces.length));
  shown = faces.length;
  $("empty").hidden = faces.length > 0;
  $("empty").textContent = EMPTY[empty];
  $("present").replaceChildren(...faces.map(presence));
}

function presence({ id, pose, quality, live: confidence }) {
  const turns = Object.entries(pose).map(([name, angle]) => make("span", {}, `${name} `, make("b", {}, degrees(angle))));
  return make("li", { data: { face: id } },
    make("strong", {}, `Face ${id}`),
    make("span", { className: "verdict" }, verdict(confidence) || "checking liveness …"),
    confidence === undefined ? make("span", { className: "bar" }) : meter(confidence, LIVE_FROM, "Liveness"),
    make("span", { className: "angles figures" }, ...turns),
    make("span", { className: "quality" }, "picture quality ", make("b", {}, percent(quality.overall)), quality.overall < POOR ? `: ${REMEDIES[quality.weakest]}` : ""));
}

function appeared({ id, time }, how = "appeared") {
  log(new Date(time), `Face ${id} ${how}`);
  liveness.set(id, undefined);
}

function left({ id, time, seconds }) {
  log(new Date(time), `Face ${id} left after ${seconds.toFixed(1)} s${verdict(liveness.get(id), ", ")}`);
  liveness.delete(id);
}

/* Logs a face that was in view before this page was opened. */
function meet(id) {
  if (!liveness.has(id)) appeared({ id, time: Date.now() }, "is in view");
}

function judged({ id, confidence }) {
  meet(id);
  liveness.set(id, confidence);
}

function log(time, text) {
  const clock = make("time", { dateTime: time.toISOString() }, time.toLocaleTimeString("en-GB"));
  $("log").prepend(make("li", {}, clock, ` ${text}`));
  while ($("log").childElementCount > LOGGED) $("log").lastElementChild.remove();
}

ignoreDrops();
document.querySelectorAll(".panel").forEach(setUpPanel);
for (const name of ["points", "axes"]) $(name).onchange = () => $("overlay").classList.toggle(`no-${name}`, !$(name).checked);
keepScaled($("overlay"));
setUpWatch({
  events: { faces: showFaces, appeared, left, liveness: judged },
  report: showReport,
  cleared: (why) => listFaces([], why),
  ended: () => liveness.clear(),
});
setUpKey({ locked: lock, opened: begin, forgotten: poll });
document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
begin();
