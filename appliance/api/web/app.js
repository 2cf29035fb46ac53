/* The live page. */

import { $, LIVE_FROM, announce, counted, degrees, make, meter, percent, verdict } from "./elements.js";
import { showFacts } from "./facts.js";
import { setUpKey } from "./key.js";
import { scaling } from "./marks.js";
import { plays } from "./stage.js";
import { setUpPanel } from "./trial.js";
import { begin, end, mark, poll, setUpWatch, troubleItem } from "./watch.js";

const MEND = { size: "come closer", sharpness: "hold still, or clean the lens", light: "more light, from the front", pose: "look at the camera" };
const POOR = 0.7; // overall quality below which it is said what to mend
const LOGGED = 60;

const liveness = new Map(); // by the number of a face
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
  listFaces(known);
}

function listFaces(faces) {
  if (faces.length !== shown) announce(counted(faces.length));
  shown = faces.length;
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

function appeared({ id, time }, how = "appeared") {
  log(new Date(time), `Face ${id} ${how}`);
  liveness.set(id, undefined);
}

function left({ id, time, seconds }) {
  log(new Date(time), `Face ${id} left after ${seconds.toFixed(1)} s${verdict(liveness.get(id), ", ")}`);
  liveness.delete(id);
}

/* A face that was there before this page was. */
function meet(id) {
  if (!liveness.has(id)) appeared({ id, time: Date.now() }, "is there");
}

function judged({ id, confidence }) {
  meet(id);
  liveness.set(id, confidence);
}

function log(time, text) {
  const clock = make("time", { dateTime: time.toISOString() }, time.toLocaleTimeString([], { hour12: false }));
  $("log").prepend(make("li", {}, clock, ` ${text}`));
  while ($("log").childElementCount > LOGGED) $("log").lastElementChild.remove();
}

/* Or the browser would leave for what is dropped, or put it into the field itself. */
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
document.querySelectorAll(".panel").forEach(setUpPanel);
for (const name of ["points", "axes"]) $(name).onchange = () => $("overlay").classList.toggle(`no-${name}`, !$(name).checked);
scaling.observe($("overlay"));
setUpWatch({
  events: { faces: showFaces, appeared, left, liveness: judged },
  report: showReport,
  opened: () => { $("nobody").textContent = "Nobody."; },
  lost: () => { $("nobody").textContent = "Not known: the device does not answer, or tells too many others already."; },
  cleared: () => listFaces([]),
  ended: () => liveness.clear(),
});
setUpKey({ locked: end, opened: begin, forgotten: poll });
document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
begin();
