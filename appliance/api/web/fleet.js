/* The page of the fleet: its devices, and where people are known. */

import { SILENT, STATUS } from "./advice.js";
import { $, codePicture, described, make, openDialog } from "./elements.js";
import { duration } from "./facts.js";
import { refusalText } from "./gallery.js";
import { askOwn, giveOwn, isLocked, keyDialog, setUpKey } from "./key.js";
import { clock, day, group, text } from "./texts.js";

const POLL_MS = 3000, SHOWN = 50;
const MINUTE_MS = 60_000;
const SOON_MS = 1200; // devices have a second to answer
const GONE_S = 90; // a device writes its record every 30 s at least
const FACTS = group("fleet_fact"), RESULTS = group("result"), REASONS = group("reason"), DIRECTIONS = group("direction");

let timer = null, reading = false, again = false, asking = false;

/* Shows the fleet now, and then every few seconds while the page is visible. */
async function show() {
  again = true;
  if (reading) return;
  clearTimeout(timer);
  reading = true;
  while (again) {
    again = false;
    let answer = null;
    try { answer = await askOwn(`/fleet.json?limit=${SHOWN}&query=${encodeURIComponent($("search").value)}`); } catch { /* shown as silent */ }
    if (!again) take(answer);
  }
  reading = false;
  if (!document.hidden && !isLocked()) timer = setTimeout(show, asking ? SOON_MS : POLL_MS);
}

function take(answer) {
  $("keyless").hidden = ![401, 403].includes(answer?.status);
  if (answer?.status === 401) return;
  const trouble = troubleOf(answer);
  $("trouble").hidden = !trouble;
  $("trouble").textContent = trouble;
  $("status").dataset.status = !answer ? "silent" : answer.ok && !answer.body.fleet ? "starting" : trouble || !answer.ok ? "fault" : "ok";
  $("status").textContent = !answer ? STATUS.silent : answer.ok ? text(answer.body.fleet ? (answer.body.reached ? "fleet.connected" : "fleet.unreachable") : "fleet.none") : STATUS.locked;
  if (!answer?.ok) return;
  const { fleet, device, devices, people, total } = answer.body;
  $("devices").hidden = $("known").hidden = !fleet;
  asking = answer.body.reached && devices.some((each) => each.online === null);
  $("fleet-name").textContent = [text("fleet.name", { id: fleet }), ...onlineWords(devices)].join(" · ");
  $("device-list").replaceChildren(...devices.map((each) => deviceItem(each, each.device === device)));
  const names = Object.fromEntries(devices.map((each) => [each.device, each.name]));
  $("people-list").replaceChildren(...people.map((person) => personItem(person, names)));
  $("people-count").textContent = text("people.count", { count: total });
  $("more").textContent = total > people.length ? text("people.more", { count: total - people.length }) : "";
}

/* Returns what is wrong with the fleet as a sentence, or "". */
function troubleOf(answer) {
  if (!answer) return SILENT.text;
  if (!answer.ok) return answer.status === 403 ? "" : answer.body.text ?? answer.body.return_msg.return_msg;
  return !answer.body.fleet ? text("fleet.none_details") : answer.body.reached ? "" : text("fleet.unreachable_details");
}

/* Returns the status of a device: its own, or "silent" if it does not answer, or has said nothing for some time. */
export const statusOf = ({ status, seen_s: seen, online }) => (online ?? seen <= GONE_S ? status : "silent");

/* Returns when a device was there, in words. */
export function seenWords({ seen_s: seen, online }) {
  if (online) return text("fleet.online");
  const values = { time: duration(seen) };
  return online === null ? text("fleet.seen", values) : text("fleet.offline", values);
}

/* Returns how many devices are there, in words, once that is known. */
const onlineWords = (devices) => (devices.some((each) => each.online === null) ? [] : [text("fleet.count", { online: devices.filter((each) => each.online).length, all: devices.length })]);

/* Returns how far a device is behind the fleet, in words. */
export function lagWords({ behind, unshared, differing }) {
  const parts = [behind && text("fleet.behind", { count: behind }), unshared && text("fleet.unshared", { count: unshared }), differing && text("fleet.differing", { count: differing })];
  return parts.filter(Boolean).join(", ") || text("fleet.in_step");
}

/* Returns where a person is known, in words; `names` are those of the devices by id. */
export function placeWords({ state, missing }, names) {
  if (state === "differs") return text("fleet.differs");
  const listed = missing.map((id) => names[id] ?? id).join(", ");
  if (state === "unshared") return text("fleet.here_only");
  return missing.length ? text("fleet.missing", { devices: listed }) : text("fleet.everywhere");
}

/* Returns a device's last decision in words; the day only if it is not today. */
export function decisionWords({ time, result, reason, direction }) {
  const today = new Date(time).toDateString() === new Date().toDateString();
  const when = today ? clock(time) : `${day(time)} ${clock(time)}`;
  return [`${RESULTS[result]} (${DIRECTIONS[direction]})`, ...(result === "denied" ? [REASONS[reason] ?? reason] : []), when].join(" · ");
}

/* Makes a code with which a device joins, and shows it with the minutes that it is valid. */
async function invite() {
  let answer = null;
  try { answer = await askOwn("/fleet/invitation", { method: "POST" }); } catch { /* shown as silent */ }
  if (!answer?.ok) {
    openDialog(text("fleet.invite"), make("p", { className: "outcome bad", role: "alert" }, refusalText(answer)));
    return;
  }
  const { text: words, code, minutes } = answer.body.invitation, end = performance.now() + minutes * MINUTE_MS;
  const left = make("p", {}), command = make("pre", { tabIndex: 0 }, `sudo appliance fleet join '${words}'`);
  const count = () => { left.textContent = text("fleet.minutes_left", { count: Math.max(0, Math.ceil((end - performance.now()) / MINUTE_MS)) }); };
  count();
  const counting = setInterval(count, MINUTE_MS / 60);
  openDialog(text("fleet.invite"), make("p", {}, text("fleet.invite_words")), codePicture(code, text("fleet.invite_code")), command, left)
    .addEventListener("close", () => clearInterval(counting));
}

function deviceItem(device, own) {
  const status = statusOf(device), picture = device.picture_age_ms;
  const facts = {
    lag: lagWords(device),
    people: text("people.count", { count: device.people }),
    decision: device.decision ? decisionWords(device.decision) : "–",
    picture: picture === null ? "–" : text("device.age", { ms: Math.round(picture) }),
    policy: device.policy === null ? text("fleet.own_policy") : text("fleet.policy", { revision: device.policy }),
    version: device.version,
    seen: seenWords(device),
  };
  return make("li", { className: "card", data: { device: device.device } },
    make("h3", {}, device.name, " ", make("code", {}, device.device.slice(0, 12)), ...(own ? [make("span", { className: "group" }, text("fleet.this_device"))] : [])),
    make("p", { className: "status", data: { status } }, STATUS[status] ?? text(status === "outdated" ? "fleet.outdated" : "fleet.not_started")),
    make("dl", { className: "facts" }, ...described(FACTS, facts)));
}

function personItem(person, names) {
  const well = person.state === "shared" && !person.missing.length;
  return make("li", { className: "card", data: { id: person.id } },
    make("span", { className: "whom" }, make("strong", {}, person.name), " ", make("span", { className: "quiet" }, person.id)),
    make("span", { className: "state", data: { state: well ? "valid" : "later" } }, `${well ? "●" : "○"} ${placeWords(person, names)}`));
}

if (globalThis.document) {
  const dialog = keyDialog("administer", {
    title: text("people.key_title"),
    hint: [text("people.key_hint")],
    cancel: true,
    give: async (key) => {
      const refused = await giveOwn(key, "/fleet.json?limit=1", "admin");
      if (!refused) show();
      return refused;
    },
  });
  $("give").onclick = () => dialog.showModal();
  $("invite").onclick = invite;
  $("search").oninput = show;
  setUpKey({ scopes: ["live", "admin"], locked() {}, opened: show, forgotten: show });
  document.addEventListener("visibilitychange", show);
  show();
}
