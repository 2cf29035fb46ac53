/* The keys, and every question that is asked with one. */

import { $, make } from "./elements.js";
import { SILENT, STATUS } from "./advice.js";

const PATTERN = "\\s*fa_[A-Za-z0-9_\\-]{43}\\s*";

let keysGiven = 0;
let own = null; // a key for what the browser's does not open; nobody keeps it
let page = { locked() {}, opened() {} };

/* Sets the page's dialog up; `locked` is called when a key is wanted, `opened` when one was given. */
export function setUpKey(given) {
  page = given;
  const dialog = keyDialog("locked", {
    title: "This device wants a key",
    hint: ["On the device, ", make("code", {}, "appliance keys add NAME"), " makes one. This browser keeps it until you let it forget."],
    give: unlock,
  });
  dialog.oncancel = (event) => event.preventDefault();
  $("forget").onclick = forget;
  $("forget").hidden = !keyed();
}

/* Every question goes through here; the browser adds its key, from a cookie, unless another is given. */
export async function ask(path, options = {}, key = null) {
  const begun = performance.now(), given = keysGiven;
  const headers = key ? { ...options.headers, Authorization: `Bearer ${key}` } : options.headers;
  const response = await fetch(path, { cache: "no-store", ...options, headers });
  const body = await response.json();
  if (response.status === 401 && !key && given === keysGiven) lock(); // not for what was asked before a key was given
  const stages = [...(response.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return { body, status: response.status, ok: response.ok, stages, took: performance.now() - begun };
}

/* The same with the page's own key, where it has one. */
export async function askOwn(path, options = {}) {
  const answer = await ask(path, options, own);
  if (answer.status === 401 && own) own = null; // revoked
  return answer;
}

/* Takes a key for this page alone, when `path` opens with it; else returns why not. */
export async function giveOwn(key, path, scope) {
  const response = await fetch(path, { cache: "no-store", headers: { Authorization: `Bearer ${key}` } }).catch(() => null);
  if (!response || [401, 403].includes(response.status)) return refusalOf(response, scope);
  own = key;
  return "";
}

/* Whether this browser was given a key; the key itself no script can see. */
export function keyed() {
  try { return localStorage.getItem("keyed") !== null; } catch { return false; } // a browser that keeps nothing
}

/* A dialog that wants a key; `give` takes it and returns why it is refused, or nothing. */
export function keyDialog(id, { title, hint, give, cancel = false }) {
  const outcome = make("p", { className: "outcome bad", role: "alert" });
  const input = make("input", {
    id: `${id}-key`, type: "password", autocomplete: "current-password", required: true, pattern: PATTERN,
    title: "fa_ and 43 letters, digits, - or _", autofocus: true,
  });
  const buttons = make("div", { className: "buttons" }, make("button", {}, "Open"));
  const form = make("form", {}, make("h2", { id: `${id}-title` }, title), make("p", { className: "quiet" }, ...hint),
    make("label", { htmlFor: input.id }, "Key"), input, outcome, buttons);
  const dialog = make("dialog", { id, className: "card locked" }, form);
  dialog.setAttribute("aria-labelledby", `${id}-title`);
  if (cancel) buttons.prepend(make("button", { type: "button", className: "plain", onclick: () => dialog.close() }, "Cancel"));
  form.onsubmit = async (event) => {
    event.preventDefault();
    outcome.textContent = await give(input.value.trim());
    if (outcome.textContent) return input.select();
    input.value = "";
    dialog.close();
  };
  dialog.onclose = () => { input.value = outcome.textContent = ""; };
  document.body.append(dialog);
  return dialog;
}

function lock() {
  if ($("locked").open) return;
  page.locked();
  $("status").dataset.status = "locked";
  $("status").textContent = STATUS.locked;
  $("locked").showModal();
}

async function unlock(key) {
  const response = await fetch("/key", { method: "POST", headers: { Authorization: `Bearer ${key}` } }).catch(() => null);
  if (!response?.ok) return refusalOf(response, "live");
  keysGiven++;
  localStorage.setItem("keyed", "yes");
  $("forget").hidden = false;
  setTimeout(page.opened); // when the dialog is closed
  return "";
}

function refusalOf(response, scope) {
  const later = response?.headers.get("Retry-After");
  if (!response) return SILENT.text;
  if (later) return `Too many wrong keys. Again in ${later} s.`;
  return response.status === 403 ? `This key does not open ${scope === "live" ? "the live page" : "this"}: it needs the scope “${scope}”.` : "This key is not known here.";
}

async function forget() {
  own = null;
  await ask("/key", { method: "DELETE" });
  localStorage.removeItem("keyed");
  $("forget").hidden = true;
  page.forgotten();
}
