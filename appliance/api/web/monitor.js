/* The view of the door: the people in front of the camera, and the decisions. */

import { $, announce, copy, described, make, percent } from "./elements.js";
import { askDevice, gallery, onGallery, refusalText } from "./gallery.js";
import { address } from "./key.js";
import { shape } from "./shapes.js";
import { mark, watches } from "./watch.js";

const NO_SCOPE = "This browser is signed in with a key that does not have the scope “decide”.";
const IDENTIFY_MS = 1000; // between two requests
const FRESH_MS = 2500; // how long names are shown on the picture
const KEPT = 50; // decisions
const TOLD_MS = 10_000; // how long the outcome of an opening is shown
const COUNT_MS = 100; // how often the remaining validity of a decision is updated

const TITLES = { unknown: "Unknown", ambiguous: "Ambiguous" };
const TEXTS = { unknown: "Not enrolled.", ambiguous: "The face resembles two people equally." };
const RESULTS = { granted: "Granted", denied: "Denied", void: "Void" };

const seen = { faces: [], at: -Infinity, timer: null, asking: false };
let wanted = () => true, counting = null;

/* Sets up the view; `shown` returns whether it is shown. */
export function setUpMonitor({ shown }) {
  wanted = shown;
  $("identify").onclick = () => identify();
  $("identifying").onchange = watchDoor;
  $("decide").onsubmit = decide;
  $("open").onclick = open;
  showPeople([{ title: "Looking …", text: "" }]);
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
  $("decisions-note").textContent = answer?.ok ? (answer.body.decisions.length ? "" : "None yet.") : answer?.status === 401 ? "" : obstacle(answer);
  if (answer?.ok) $("decisions").replaceChildren(...answer.body.decisions.map((decision) => decisionItem(decision)));
}

/* Adds a new decision to those shown. */
export function addDecision(decision) {
  if ($("decisions").querySelector("time")?.dateTime === decision.time) return; // it was in the log already
  $("decisions-note").textContent = "";
  $("decisions").prepend(decisionItem(decision, true));
  while ($("decisions").childElementCount > KEPT) $("decisions").lastElementChild.remove();
  announce(`${RESULTS[decision.result]}. ${decision.text}`);
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
  const texts = reasons.filter(({ part, state }) => part === "door" && ALARMS.has(state)).map(({ text }) => text);
  if ($("alarms").dataset.texts === texts.join()) return;
  $("alarms").dataset.texts = texts.join();
  $("alarms").replaceChildren(...texts.map((text) => make("li", {}, text)));
}

/* Returns the state of a door in words: of its contact and of its lock, as far as the device has them. */
export function lockWords({ open: opened, relay }) {
  const words = [opened === null ? null : opened ? "open" : "shut", relay === null ? null : relay ? "unlocked" : "locked"].filter(Boolean).join(", ");
  return words ? `${words[0].toUpperCase()}${words.slice(1)}.` : "Neither a door contact nor a relay works.";
}

async function open() {
  $("open").disabled = true;
  const answer = await askDevice("/access/open", { method: "POST" });
  $("open").disabled = false;
  $("open-outcome").classList.toggle("bad", !answer?.ok);
  $("open-outcome").textContent = answer?.ok ? "Opened." : answer?.status === 403 ? NO_SCOPE : refusalText(answer);
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
  else if (answer?.ok) showPeople([{ title: "No face in view", text: "" }]);
  else showPeople([{ title: "Not known", text: obstacle(answer) }]);
}

function showPeople(lines) {
  const words = JSON.stringify(lines.map(({ result, title }) => [result, title]));
  if ($("who").dataset.words !== words) announce(lines.map(({ title }) => title).join(", "));
  $("who").dataset.words = words;
  $("who").replaceChildren(...lines.map(({ result = "neutral", title, text }) =>
    make("li", { data: { result } }, shape(result), make("strong", {}, title), make("span", {}, text))));
}

function identified({ result, person, similarity }) {
  if (person) return { result, title: person.name, text: [person.id, ...person.groups, `similarity ${percent(similarity)}`].join(" · ") };
  return { result, title: TITLES[result], text: gallery.people?.length === 0 ? "No people are enrolled yet." : TEXTS[result] };
}

const titleOf = (face) => (face ? TITLES[face.result] ?? face.person.name : "");

/* Whether the centre of one box is inside another. */
export function centredIn(inner, outer) {
  const [x, y] = [inner.x + inner.width / 2, inner.y + inner.height / 2];
  return x > outer.x && x < outer.x + outer.width && y > outer.y && y < outer.y + outer.height;
}

/* ---- Decisions ---- */

function decisionItem({ time, result, text, person, direction }, fresh = false) {
  const moment = new Date(time);
  const today = moment.toDateString() === new Date().toDateString();
  const clock = moment.toLocaleTimeString("en-GB");
  return make("li", { className: fresh ? "fresh" : "", data: { result } }, shape(result === "void" ? "denied" : result),
    make("time", { dateTime: time, className: "figures" }, today ? clock : `${moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`),
    make("b", { className: "word" }, RESULTS[result]), make("span", { className: "whom" }, person?.name ?? "–"),
    make("span", { className: "quiet" }, direction), make("span", { className: "reason" }, text));
}

/* Requests a decision with a nonce of its own, as a door does. */
async function decide(event) {
  event.preventDefault();
  const button = $("decide").querySelector("button");
  const nonce = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const direction = new FormData($("decide")).get("direction");
  button.disabled = true;
  $("decision").setAttribute("aria-busy", "true");
  const answer = await askDevice("/access/decide", { method: "POST", body: JSON.stringify({ nonce, direction }) });
  button.disabled = false;
  $("decision").removeAttribute("aria-busy");
  $("decision").hidden = false;
  clearInterval(counting);
  if (!answer?.ok) {
    $("decision").replaceChildren(make("p", { className: "outcome bad", role: "alert" }, answer?.status === 403 ? NO_SCOPE : refusalText(answer)));
    return;
  }
  showDecision(answer.body, nonce);
  showDecisions();
}

function showDecision({ decision, token }, nonce) {
  const { result, text, person, frames } = decision;
  const valid = make("span", { className: "figures" });
  const times = frames.map((time) => make("li", {}, make("time", { dateTime: time }, clockOf(time))));
  const rows = {
    Person: person ? `${person.name} (${person.id})` : "not identified", Reason: decision.reason, Direction: decision.direction,
    ...(frames.length && { Frames: make("ol", { className: "frames-times figures" }, ...times) }),
    Issued: clockOf(decision.issued), Valid: valid, Id: decision.id, Device: decision.device, Nonce: decision.nonce,
  };
  const question = `curl -s ${address()}/access/key > door-key.json`;
  $("decision").replaceChildren(
    make("p", { className: "verdict", data: { result }, role: "alert" }, shape(result), make("strong", {}, RESULTS[result]), make("span", {}, text)),
    make("dl", { className: "facts" }, ...described(rows)),
    shownText("Token", token),
    make("p", { className: "quiet" }, "A door verifies the token once, within two seconds, with the device's public key, its own nonce and its own clock. To verify this token:"),
    shownText("Commands", `${question}\n${verifyLine(token, nonce)}`));
  const expires = performance.now() + (Date.parse(decision.expires) - Date.parse(decision.issued));
  const count = () => {
    const left = expires - performance.now();
    valid.textContent = left > 0 ? `for ${(left / 1000).toFixed(1)} s` : `until ${clockOf(decision.expires)} (expired)`;
    if (left <= 0) clearInterval(counting);
  };
  count();
  counting = setInterval(count, COUNT_MS);
}

const verifyLine = (token, nonce) => `appliance verify-decision --key door-key.json --nonce=${nonce} ${token}`;

function shownText(label, text) {
  return make("div", { className: "curl" }, make("span", {}, label),
    make("button", { type: "button", className: "copy", onclick: ({ currentTarget }) => copy(currentTarget) }, "Copy"),
    make("pre", { tabIndex: 0, role: "region", ariaLabel: label }, text));
}

/* Returns the time of day with milliseconds, in this browser's time zone; `time` is as in 2026-11-28T18:39:57.025Z. */
export const clockOf = (time) => `${new Date(time).toLocaleTimeString("en-GB")}.${time.slice(20, 23)}`;

/* Returns bytes in URL-safe base64 without padding (RFC 4648, section 5). */
export const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
