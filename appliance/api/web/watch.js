/* How the device is and what it sees, for as long as somebody looks: health by question and by event, picture, faces. */

import { ADVICE, BLIND, CONNECTING, FINE, SILENT, STATUS } from "./advice.js";
import { $, announce, make } from "./elements.js";
import { ask } from "./key.js";
import { drawFaces } from "./marks.js";
import * as stage from "./stage.js";

const STALE_MS = 2000, POLL_MS = 3000, RETRY_MS = 3000;

const state = { timers: [], report: null, unanswered: 0, events: null, facesAt: 0 };
let page = null;

/* Sets up what the page does with what is heard: `events` by their names, `report` with the health, `opened` and `lost` when
   the events begin and end, `cleared` when no faces are known any more, `ended` when nobody looks; `wanted` says whether the
   picture is. */
export function setUpWatch(given) {
  page = { events: {}, report() {}, opened() {}, lost() {}, cleared() {}, ended() {}, wanted: () => true, ...given };
}

/* Begins to look. */
export function begin() {
  if (document.hidden || state.timers.length) return;
  state.timers = [setInterval(poll, POLL_MS), setInterval(forgetStale, STALE_MS / 4)];
  poll();
  listen();
}

/* Looks no longer. */
export function end() {
  state.timers.forEach(clearInterval);
  state.timers = [];
  hangUp();
  stage.pause();
  clear();
  page.ended();
}

/* Whether somebody looks. */
export const watches = () => state.timers.length > 0;

/* Asks for the health now. */
export async function poll() {
  try {
    const { body } = await ask("/healthz", { signal: AbortSignal.timeout(POLL_MS) });
    if (body.status) heardHealth(body);
  } catch {
    state.unanswered++;
    showHealth();
  }
}

/* Draws the faces of an event on the picture. */
export function mark({ width, height }, faces) {
  state.facesAt = performance.now();
  stage.shape(width, height);
  drawFaces($("overlay"), width, height, faces);
}

/* Shows what the newest report says. */
export function showHealth() {
  if (!watches()) return;
  const { report } = state;
  const silent = state.unanswered > 1; // one answer may be late
  const status = silent ? "silent" : report?.status ?? "starting";
  const troubles = silent ? [SILENT] : report ? troublesOf(report) : [CONNECTING];
  $("unreachable").hidden = !silent;
  $("demonstration").hidden = !report?.camera?.demonstration;
  $("status").dataset.status = status;
  $("status").textContent = STATUS[status];
  stage.shape(report?.camera?.width, report?.camera?.height);
  if (silent || !report?.camera || BLIND.has(report.camera.state)) stage.blind(troubles.find(({ part }) => part === "camera") ?? troubles[0]);
  else if (!page.wanted()) stage.pause();
  else if (!stage.plays()) stage.play();
  page.report(report, troubles);
}

/* A line about what is wrong. */
export function troubleItem({ state: name, text, advice }) {
  return make("li", { data: { state: name } }, make("strong", {}, text), ` ${advice}`);
}

function listen() {
  hangUp();
  const source = state.events = new EventSource("/events");
  source.onopen = () => page.opened();
  source.onerror = () => {
    page.lost();
    hangUp();
    poll();
    setTimeout(() => watches() && !state.events && listen(), RETRY_MS);
  };
  for (const [name, handle] of Object.entries({ health: heardHealth, ...page.events })) {
    source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
  }
}

function hangUp() {
  state.events?.close();
  state.events = null;
}

function heardHealth(report) {
  if (state.report?.status !== report.status) announce(STATUS[report.status]);
  state.unanswered = 0;
  state.report = report;
  showHealth();
}

function troublesOf({ reasons, camera }) {
  const adviceOn = ({ part, state: name }) => ADVICE[name] ?? (part === "models" ? ADVICE.unusable : "");
  const troubles = reasons.map((reason) => ({ ...reason, advice: adviceOn(reason) }));
  if (!camera) troubles.push({ part: "camera", state: "none", text: "This device has no camera.", advice: ADVICE.none });
  return troubles.length ? troubles : [FINE];
}

function forgetStale() {
  if (performance.now() - state.facesAt > STALE_MS) clear();
}

function clear() {
  $("overlay").replaceChildren();
  page.cleared();
}
