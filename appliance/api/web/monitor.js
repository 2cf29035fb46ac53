/* The view of the door: the people in front of the camera, and the decisions. */

import { problemText } from "./advice.js";
import { $, announce, copyable, described, make } from "./elements.js";
import { askDevice, gallery, onGallery, refusalText } from "./gallery.js";
import { address } from "./key.js";
import { REASONS } from "./kiosk_facts.js";
import { shape } from "./shapes.js";
import { followed } from "./step.js";
import { clock, day, group, number, percent, text } from "./texts.js";
import { mark, watches } from "./watch.js";

const NO_SCOPE = text("door.no_scope");
const IDENTIFY_MS = 1000; // between two requests
const FRESH_MS = 2500; // how long names are shown on the picture
const KEPT = 50; // decisions
const TOLD_MS = 10_000; // how long the outcome of an opening is shown
const COUNT_MS = 100; // how often the remaining validity of a decision is updated

const TITLES = group("unidentified"), TEXTS = group("unidentified_details"), RESULTS = group("result");
const DIRECTIONS = group("direction"), FACTS = group("decision_fact");

const seen = { faces: [], at: -Infinity, timer: null, asking: false };
let wanted = () => true, counting = null;

/* Sets up the view; `shown` returns whether it is shown. */
export function setUpMonitor({ shown }) {
  wanted = shown;
  $("identify").onclick = () => identify();
  $("identifying").onchange = watchDoor;
  $("decide").onsubmit = decide;
  $("open").onclick = open;
  showPeople([{ title: text("door.looking"), text: "" }]);
  onGallery(() => { if (seen.faces.length) showPeople(seen.faces.map(identified)); });
}

/* Starts identifying the people in front of the camera, or stops it when that is not wanted. */
export function watchDoor() {
  clearTimeout(seen.timer);
  if (watches() && wanted() && $("identifying").checked) identify().then(() => { seen.timer = setTimeout(watchDoor, IDENTIFY_MS); });
}

/* Marks the faces of an event, with the names found for them lately. */
export function markNamed(event) {
  const named = performance.now() - seen.at < FRESH_MS ? seen.faces : [];
  mark(event, event.faces.map(({ id, box }) => ({ id, box, title: titleOf(named.find((face) => centredIn(face.box, box))) })));
}

/* Shows the newest decisions of the device's log. */
export async function showDecisions() {
  const answer = await askDevice(`/access/decisions?count=${KEPT}`);
  $("decisions-note").textContent = answer?.ok ? (answer.body.decisions.length ? "" : text("door.no_decisions")) : answer?.status === 401 ? "" : obstacle(answer);
  if (answer?.ok) $("decisions").replaceChildren(...answer.body.decisions.map((decision) => decisionItem(decision)));
}

/* Adds a new decision to those shown. */
export function addDecision(decision) {
  if ($("decisions").querySelector(`[data-id="${decision.id}"]`)) return; // it was in the log already
  $("decisions-note").textContent = "";
  $("decisions").prepend(decisionItem(decision, true));
  while ($("decisions").childElementCount > KEPT) $("decisions").lastElementChild.remove();
  announce(`${RESULTS[decision.result]}. ${reasonText(decision)}`);
}

/* ---- The door itself ---- */

const ALARMS = new Set(["forced", "held", "tamper", "fire"]); // reasons of the health's part "door" that its inputs report

/* Shows the state of the door, of a device that has a relay or inputs. */
export function showLock(door) {
  $("lock").hidden = !door;
  if (!door) return;
  if ($("lock-state").textContent !== lockWords(door)) $("lock-state").textContent = lockWords(door);
  $("open").hidden = door.relay === null;
}

/* Shows the alarms among the reasons of the health. */
export function showAlarms(reasons) {
  const texts = reasons.filter(({ part, state }) => part === "door" && ALARMS.has(state)).map(problemText);
  if ($("alarms").dataset.texts === texts.join()) return;
  $("alarms").dataset.texts = texts.join();
  $("alarms").replaceChildren(...texts.map((words) => make("li", {}, words)));
}

/* Returns the state of a door in words: of its contact and of its lock, as far as the device has them. */
export function lockWords({ open: opened, relay }) {
  const contact = opened === null ? null : text(opened ? "door.is_open" : "door.is_shut");
  const lock = relay === null ? null : text(relay ? "door.is_unlocked" : "door.is_locked");
  return [contact, lock].filter(Boolean).join(" · ") || text("door.no_state");
}

async function open() {
  $("open").disabled = true;
  const answer = await askDevice("/access/open", { method: "POST" });
  $("open").disabled = false;
  $("open-outcome").classList.toggle("bad", !answer?.ok);
  $("open-outcome").textContent = answer?.ok ? text("door.opened") : answer?.status === 403 ? NO_SCOPE : refusalText(answer);
  setTimeout(() => { $("open-outcome").textContent = ""; }, TOLD_MS);
}

/* Why there is no answer; "" when the page shows above that the gallery is switched off. */
const obstacle = (answer) => (answer?.status === 406 ? "" : refusalText(answer));

/* ---- People in front of the camera ---- */

async function identify() {
  if (seen.asking) return;
  seen.asking = true;
  const answer = await askDevice("/identify");
  seen.asking = false;
  if (!watches()) return;
  seen.faces = answer?.ok ? answer.body.faces : [];
  seen.at = performance.now();
  if (seen.faces.length) showPeople(seen.faces.map(identified));
  else if (answer?.ok) showPeople([{ title: text("door.no_face"), text: "" }]);
  else showPeople([{ title: text("door.not_known"), text: obstacle(answer) }]);
}

function showPeople(lines) {
  const shown = JSON.stringify(lines.map(({ result, title }) => [result, title]));
  if ($("who").dataset.shown !== shown) announce(lines.map(({ title }) => title).join(", "));
  $("who").dataset.shown = shown;
  $("who").replaceChildren(...lines.map(({ result = "neutral", title, text: words }) =>
    make("li", { data: { result } }, shape(result), make("strong", {}, title), make("span", {}, words))));
}

function identified({ result, person, similarity }) {
  if (person) return { result, title: person.name, text: [person.id, ...person.groups, text("door.similarity", { share: percent(similarity) })].join(" · ") };
  return { result, title: TITLES[result], text: gallery.people?.length === 0 ? text("door.no_people") : TEXTS[result] };
}

const titleOf = (face) => (face ? TITLES[face.result] ?? face.person.name : "");

/* Whether the centre of one box is inside another. */
export function centredIn(inner, outer) {
  const [x, y] = [inner.x + inner.width / 2, inner.y + inner.height / 2];
  return x > outer.x && x < outer.x + outer.width && y > outer.y && y < outer.y + outer.height;
}

/* ---- Decisions ---- */

function decisionItem({ id, time, result, reason, text: words, person, direction }, fresh = false) {
  const moment = new Date(time);
  const today = moment.toDateString() === new Date().toDateString();
  return make("li", { className: fresh ? "fresh" : "", data: { id, result } }, shape(result === "void" ? "denied" : result),
    make("time", { dateTime: time, className: "figures" }, today ? clock(moment) : `${day(moment, { day: "numeric", month: "short" })} ${clock(moment)}`),
    make("b", { className: "word" }, RESULTS[result]), make("span", { className: "whom" }, person?.name ?? "–"),
    make("span", { className: "quiet" }, DIRECTIONS[direction]), make("span", { className: "reason" }, reasonText({ result, reason, text: words })));
}

/* Returns the reason of a decision as a sentence. */
const reasonText = ({ result, reason, text: words }) => (result === "void" ? text("door.void") : REASONS[reason] ?? words);

/* Requests a decision with a nonce of its own, as a door does. */
async function decide(event) {
  event.preventDefault();
  const button = $("decide").querySelector("button");
  const nonce = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const direction = new FormData($("decide")).get("direction");
  button.disabled = true;
  $("decision").setAttribute("aria-busy", "true");
  const first = await askDevice("/access/decide", { method: "POST", body: JSON.stringify({ nonce, direction }) });
  $("decision").removeAttribute("aria-busy");
  $("decision").hidden = false;
  clearInterval(counting);
  const answer = await followed(first, $("decision"));
  button.disabled = false;
  if (!answer?.body.decision) {
    $("decision").replaceChildren(make("p", { className: "outcome bad", role: "alert" }, answer?.status === 403 ? NO_SCOPE : refusalText(answer)));
    return;
  }
  showDecision(answer.body, nonce);
  showDecisions();
}

function showDecision({ decision, token }, nonce) {
  const { result, person, frames } = decision;
  const valid = make("span", { className: "figures" });
  const times = frames.map((time) => make("li", {}, make("time", { dateTime: time }, clock(time, 3))));
  const rows = {
    person: person ? `${person.name} (${person.id})` : text("door.not_identified"), reason: decision.reason, direction: DIRECTIONS[decision.direction],
    ...(frames.length && { frames: make("ol", { className: "frames-times figures" }, ...times) }),
    issued: clock(decision.issued, 3), valid, id: decision.id, device: decision.device, nonce: decision.nonce,
  };
  const question = `curl -s ${address()}/access/key > door-key.json`;
  $("decision").replaceChildren(
    make("p", { className: "verdict", data: { result }, role: "alert" }, shape(result), make("strong", {}, RESULTS[result]), make("span", {}, reasonText(decision))),
    make("dl", { className: "facts" }, ...described(FACTS, rows)),
    copyable(text("door.token"), token),
    make("p", { className: "quiet" }, text("door.verify")),
    copyable(text("door.commands"), `${question}\n${verifyLine(token, nonce)}`));
  const expires = performance.now() + (Date.parse(decision.expires) - Date.parse(decision.issued));
  const count = () => {
    const left = expires - performance.now();
    valid.textContent = left > 0 ? text("door.valid_for", { seconds: number(Math.round(left / 100) / 10, 1) }) : text("door.expired", { time: clock(decision.expires, 3) });
    if (left <= 0) clearInterval(counting);
  };
  count();
  counting = setInterval(count, COUNT_MS);
}

const verifyLine = (token, nonce) => `appliance verify-decision --key door-key.json --nonce=${nonce} ${token}`;

/* Returns bytes in URL-safe base64 without padding (RFC 4648, section 5). */
export const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
