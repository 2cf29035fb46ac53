/* The door: who stands there now, and what was decided. */

import { $, announce, copy, make, percent } from "./elements.js";
import { asked, gallery, onGallery, wordsOf } from "./gallery.js";
import { shape } from "./shapes.js";
import { mark, watches } from "./watch.js";

const LOOK_MS = 1000; // between two looks at who stands there
const FRESH_MS = 2500; // how long their names are written on the picture
const KEPT = 50;
const HOLDS_MS = 100; // how often the time that an answer still holds is counted down

const NOBODY = { result: "nobody", title: "Nobody", text: "No face is seen." };
const TITLES = { unknown: "Unknown", ambiguous: "Ambiguous" };
const TEXTS = { unknown: "Not one of those who are enrolled.", ambiguous: "Too much alike to say which of two people." };
const WORDS = { granted: "Granted", denied: "Denied" };

const seen = { faces: [], at: -Infinity, timer: null, asking: false };
let wanted = () => true, counting = null;

/* Sets the monitor up; `shown` says whether somebody looks at it. */
export function setUpMonitor({ shown }) {
  wanted = shown;
  $("look").onclick = () => look();
  $("looking").onchange = watchDoor;
  $("decide").onsubmit = decide;
  showWho([]);
  onGallery(() => seen.faces.length || showWho([]));
}

/* Begins to look at who stands there, or ends it. */
export function watchDoor() {
  clearTimeout(seen.timer);
  if (watches() && wanted() && $("looking").checked) look().then(() => { seen.timer = setTimeout(watchDoor, LOOK_MS); });
}

/* Draws the faces of an event, with the names that were found for them. */
export function watched(event) {
  const named = performance.now() - seen.at < FRESH_MS ? seen.faces : [];
  mark(event, event.faces.map(({ id, box }) => ({ id, box, title: titleOf(named.find((face) => within(face.box, box))) })));
}

/* The newest decisions, from the device's record. */
export async function showDecisions() {
  const answer = await asked(`/access/decisions?count=${KEPT}`);
  $("decisions-note").textContent = answer?.ok ? (answer.body.decisions.length ? "" : "None yet.") : answer?.status === 401 ? "" : wordsOf(answer);
  if (answer?.ok) $("decisions").replaceChildren(...answer.body.decisions.map((decision) => decisionItem(decision)));
}

/* A decision as it is made. */
export function decided(decision) {
  if ($("decisions").querySelector("time")?.dateTime === decision.time) return; // the record was faster
  $("decisions-note").textContent = "";
  $("decisions").prepend(decisionItem(decision, true));
  while ($("decisions").childElementCount > KEPT) $("decisions").lastElementChild.remove();
  announce(`${WORDS[decision.result]}. ${decision.text}`);
}

/* ---- Who stands here now ---- */

async function look() {
  if (seen.asking) return;
  seen.asking = true;
  const answer = await asked("/identify");
  seen.asking = false;
  if (!watches()) return;
  seen.faces = answer?.ok ? answer.body.faces : [];
  seen.at = performance.now();
  showWho(seen.faces, answer?.ok === false || !answer ? wordsOf(answer) : "");
}

function showWho(faces, trouble = "") {
  const alone = trouble ? { result: "nobody", title: "Not known", text: trouble } : NOBODY;
  const lines = faces.length ? faces.map(described) : [alone];
  const words = JSON.stringify(lines.map(({ result, title }) => [result, title]));
  if ($("who").dataset.words !== words) announce(lines.map(({ title }) => title).join(", "));
  $("who").dataset.words = words;
  $("who").replaceChildren(...lines.map(({ result, title, text }) =>
    make("li", { data: { result } }, shape(result), make("strong", {}, title), make("span", {}, text))));
}

function described({ result, person, similarity }) {
  if (person) return { result, title: person.name, text: [person.id, ...person.groups, `similarity ${percent(similarity)}`].join(" · ") };
  return { result, title: TITLES[result], text: gallery.people?.length === 0 ? "Nobody is enrolled yet: everyone is a stranger." : TEXTS[result] };
}

const titleOf = (face) => (face ? TITLES[face.result] ?? face.person.name : "");

function within(inner, outer) {
  const [x, y] = [inner.x + inner.width / 2, inner.y + inner.height / 2];
  return x > outer.x && x < outer.x + outer.width && y > outer.y && y < outer.y + outer.height;
}

/* ---- Decisions ---- */

function decisionItem({ time, result, text, person, direction }, fresh = false) {
  const moment = new Date(time);
  const today = moment.toDateString() === new Date().toDateString();
  const clock = moment.toLocaleTimeString([], { hour12: false });
  return make("li", { className: fresh ? "fresh" : "", data: { result } }, shape(result),
    make("time", { dateTime: time, className: "figures" }, today ? clock : `${moment.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`),
    make("b", { className: "word" }, WORDS[result]), make("span", { className: "whom" }, person?.name ?? "–"),
    make("span", { className: "quiet" }, direction), make("span", { className: "reason" }, text));
}

/* Asks with a nonce of its own, as a door does. */
async function decide(event) {
  event.preventDefault();
  const button = $("decide").querySelector("button");
  const nonce = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const direction = new FormData($("decide")).get("direction");
  button.disabled = true;
  $("ruling").setAttribute("aria-busy", "true");
  const answer = await asked("/access/decide", { method: "POST", body: JSON.stringify({ nonce, direction }) });
  button.disabled = false;
  $("ruling").removeAttribute("aria-busy");
  $("ruling").hidden = false;
  clearInterval(counting);
  if (!answer?.ok) {
    $("ruling").replaceChildren(make("p", { className: "outcome bad", role: "alert" }, wordsOf(answer)));
    return;
  }
  showRuling(answer.body, nonce);
  showDecisions();
}

function showRuling({ decision, token }, nonce) {
  const { result, text, person } = decision;
  const holds = make("span", { className: "figures" });
  const rows = {
    Person: person ? `${person.name} (${person.id})` : "nobody identified", Rule: decision.reason, Direction: decision.direction,
    Frames: make("ol", { className: "frames-times figures" }, ...decision.frames.map((time) => make("li", {}, make("time", { dateTime: time }, clockOf(time))))),
    Issued: clockOf(decision.issued), Holds: holds, Id: decision.id, Device: decision.device, Nonce: decision.nonce,
  };
  const question = `curl -s ${location.origin}/access/key > door-key.json`;
  $("ruling").replaceChildren(
    make("p", { className: "verdict", data: { result }, role: "alert" }, shape(result), make("strong", {}, WORDS[result]), make("span", {}, text)),
    make("dl", { className: "facts" }, ...Object.entries(rows).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    shownText("The token", token),
    make("p", { className: "quiet" }, "A door checks it with the device's public key, its own nonce and its own clock: once, within two seconds. This one is checked by:"),
    shownText("How to verify it", `${question}\n${verifyLine(token, nonce)}`));
  const expires = performance.now() + (Date.parse(decision.expires) - Date.parse(decision.issued));
  const count = () => {
    const left = expires - performance.now();
    holds.textContent = left > 0 ? `${(left / 1000).toFixed(1)} s more` : `until ${clockOf(decision.expires)}: over`;
    if (left <= 0) clearInterval(counting);
  };
  count();
  counting = setInterval(count, HOLDS_MS);
}

const verifyLine = (token, nonce) => `appliance verify-decision --key door-key.json --nonce=${nonce} ${token}`;

function shownText(label, text) {
  return make("div", { className: "curl" }, make("span", {}, label),
    make("button", { type: "button", className: "copy", onclick: ({ currentTarget }) => copy(currentTarget) }, "Copy"),
    make("pre", { tabIndex: 0, role: "region", ariaLabel: label }, text));
}

const clockOf = (time) => `${new Date(time).toLocaleTimeString([], { hour12: false })}.${time.slice(20, 23).padEnd(3, "0")}`;
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
