/* The live page. */

import { $, LIVE_FROM, announce, counted, degrees, ignoreDrops, make, meter, verdict } from "./elements.js";
import { showFacts } from "./facts.js";
import { setUpKey } from "./key.js";
import { ANGLES, keepScaled } from "./marks.js";
import { plays } from "./stage.js";
import { clock, group, percent, text } from "./texts.js";
import { setUpPanel } from "./trial.js";
import { begin, end, lock, mark, poll, setUpWatch, troubleItem } from "./watch.js";

const REMEDIES = group("remedy"), EMPTY = group("empty");
const POOR = 0.7; // the overall quality below which a remedy is shown, as for templates
const LOGGED = 60; // entries

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
  mark(seen, known.map((face) => ({ ...face, title: `${titleOf(face.id)}${verdict(face.live, " · ")}` })));
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

const titleOf = (id) => text("face.title", { id: `${id}` });

function presence({ id, pose, quality, live: confidence }) {
  const turns = Object.entries(pose).map(([name, angle]) => make("span", {}, `${ANGLES[name]} `, make("b", {}, degrees(angle))));
  return make("li", { data: { face: id } },
    make("strong", {}, titleOf(id)),
    make("span", { className: "verdict" }, verdict(confidence) || text("face.checking")),
    confidence === undefined ? make("span", { className: "bar" }) : meter(confidence, LIVE_FROM, text("face.liveness")),
    make("span", { className: "angles figures" }, ...turns),
    make("span", { className: "quality" }, `${text("face.quality")} `, make("b", {}, percent(quality.overall)), quality.overall < POOR ? `: ${REMEDIES[quality.weakest]}` : ""));
}

function appeared({ id, time }, key = "face.appeared") {
  log(new Date(time), text(key, { id: `${id}` }));
  liveness.set(id, undefined);
}

function left({ id, time, seconds }) {
  log(new Date(time), text("face.left", { id: `${id}`, seconds }) + verdict(liveness.get(id), " · "));
  liveness.delete(id);
}

/* Logs a face that was in view before this page was opened. */
function meet(id) {
  if (!liveness.has(id)) appeared({ id, time: Date.now() }, "face.in_view");
}

function judged({ id, confidence }) {
  meet(id);
  liveness.set(id, confidence);
}

function log(time, words) {
  const moment = make("time", { dateTime: time.toISOString() }, clock(time));
  $("log").prepend(make("li", {}, moment, ` ${words}`));
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
setUpKey({ scopes: ["recognise", "live"], locked: lock, opened: begin, forgotten: poll });
document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
begin();
