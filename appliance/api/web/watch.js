/* The state of the device and what its camera sees, while the page is visible: health (polled and by events), picture, faces. */

import { ADVICE, BLIND, CONNECTING, DEMONSTRATION, FINE, LOCKED, NO_CAMERA, SILENT, STATUS, problemText } from "./advice.js";
import { $, announce, make } from "./elements.js";
import { ask, isLocked } from "./key.js";
import { drawFaces } from "./marks.js";
import * as stage from "./stage.js";

const STALE_MS = 2000, POLL_MS = 3000, RETRY_MS = 3000;

const state = { timers: [], report: null, unanswered: 0, events: null, facesAt: 0 };
let page = null;

/* Sets the page's callbacks: `events` by event name, `report` for the health, `cleared` when no faces are known any more (with
   "waiting", "stale", "lost" or "locked"), `ended` when the page stops watching; `wanted` returns whether the picture is shown. */
export function setUpWatch(given) {
  page = { events: {}, report() {}, cleared() {}, ended() {}, wanted: () => true, ...given };
}

/* Starts watching. */
export function begin() {
  if (document.hidden || watches() || isLocked()) return;
  state.timers = [setInterval(poll, POLL_MS), setInterval(forgetStale, STALE_MS / 4)];
  poll();
  listen();
}

/* Stops watching. */
export function end(why = "waiting") {
  state.timers.forEach(clearInterval);
  state.timers = [];
  hangUp();
  stage.pause();
  clear(why);
  page.ended();
}

/* Stops watching until a key is entered. */
export function lock() {
  end("locked");
  stage.blind(LOCKED);
  page.report(null, [LOCKED]);
}

/* Whether the page is watching. */
export const watches = () => state.timers.length > 0;

/* Asks for the health now. */
export async function poll() {
  try {
    const { body } = await ask("/healthz", { signal: AbortSignal.timeout(POLL_MS) });
    if (body.status) onHealth(body);
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

/* Shows the newest health report. */
export function showHealth() {
  if (!watches()) return;
  const { report } = state;
  const silent = state.unanswered > 1; // a single answer may be late
  const status = silent ? "silent" : statusOf(report);
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

/* Returns a list item about one trouble. */
export function troubleItem({ state: name, text, advice }) {
  return make("li", { data: { state: name } }, make("strong", {}, text), ` ${advice}`);
}

function listen() {
  hangUp();
  const source = state.events = new EventSource("./events");
  source.onopen = () => clear("waiting");
  source.onerror = () => {
    clear("lost");
    hangUp();
    poll();
    setTimeout(() => watches() && !state.events && listen(), RETRY_MS);
  };
  for (const [name, handle] of Object.entries({ health: onHealth, ...page.events })) {
    source.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
  }
}

function hangUp() {
  state.events?.close();
  state.events = null;
}

function onHealth(report) {
  if (statusOf(state.report) !== statusOf(report)) announce(STATUS[statusOf(report)]);
  state.unanswered = 0;
  state.report = report;
  showHealth();
}

/* Returns the key of STATUS for a report: a demonstration that works is not a device that works. */
function statusOf(report) {
  return report?.status === "ok" && report.camera?.demonstration ? "demonstration" : report?.status ?? "starting";
}

function troublesOf({ reasons, camera }) {
  const adviceOn = ({ part, state: name }) => ADVICE[name] ?? (part === "models" ? ADVICE.unusable : "");
  const troubles = reasons.map((reason) => ({ ...reason, text: problemText(reason), advice: adviceOn(reason) }));
  if (!camera) troubles.push(NO_CAMERA);
  return troubles.length ? troubles : [camera.demonstration ? DEMONSTRATION : FINE];
}

function forgetStale() {
  if (state.events?.readyState === EventSource.OPEN && performance.now() - state.facesAt > STALE_MS) clear("stale");
}

function clear(why) {
  $("overlay").replaceChildren();
  page.cleared(why);
}
