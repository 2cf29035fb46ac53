/* API keys, and requests made with them. */

import { LOCKED, SILENT, STATUS } from "./advice.js";
import { $, make } from "./elements.js";
import { text } from "./texts.js";

const PATTERN = "\\s*fa_[A-Za-z0-9_\\-]{43}\\s*"; // as keys.py makes them

let keysEntered = 0;
let own = null; // a key with more scopes than the browser's; it is kept in this page only
let page = { locked() {}, opened() {}, forgotten() {} };

/* Sets up the page's dialog for a key with `scopes`, and its callbacks: `locked` when a key is required, `opened` when one was accepted, `forgotten` after signing out. */
export function setUpKey(given) {
  page = given;
  const dialog = keyDialog("locked", {
    title: text("key.title"),
    hint: [`${text("key.make")} `, make("code", {}, `appliance keys add ${given.name ?? "NAME"}${given.scopes.map((scope) => ` --scope ${scope}`).join("")}`), make("br"), text("key.stays")],
    give: unlock,
  });
  dialog.oncancel = (event) => event.preventDefault();
  $("forget").onclick = forget;
  $("forget").hidden = !keyed();
}

/* Whether the page waits for a key. */
export const isLocked = () => $("locked").open;

/* The address of the device: that of the folder of the page. */
export const address = () => new URL(".", location.href).href.slice(0, -1);

/* Makes a request of a script, for which a browser without a key opens no dialog of its own; `path` begins with "/", and is below the page's folder. */
export const request = (path, options = {}) =>
  fetch(`.${path}`, { cache: "no-store", ...options, headers: { ...options.headers, "X-Requested-With": "XMLHttpRequest" } });

/* Makes a request. The browser adds its own key, from a cookie, unless another is given. */
export async function ask(path, options = {}, key = null) {
  const begun = performance.now(), entered = keysEntered;
  const headers = key ? { ...options.headers, Authorization: `Bearer ${key}` } : options.headers;
  const response = await request(path, { ...options, headers });
  const body = await response.json();
  if (response.status === 401 && !key && entered === keysEntered) lock(); // unless a key was entered in the meantime
  const stages = [...(response.headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g)];
  return { body, status: response.status, ok: response.ok, stages, took: performance.now() - begun };
}

/* Makes a request with the page's own key, if it has one, for an answer that is not JSON. */
export const requestOwn = (path) => request(path, own ? { headers: { Authorization: `Bearer ${own}` } } : {});

/* Makes a request with the page's own key, if it has one. */
export async function askOwn(path, options = {}) {
  const answer = await ask(path, options, own);
  if (answer.status === 401 && own) own = null; // it was revoked
  return answer;
}

/* Keeps a key for this page if `path` accepts it; returns why it is refused, or "". */
export async function giveOwn(key, path, scope) {
  const response = await request(path, { headers: { Authorization: `Bearer ${key}` } }).catch(() => null);
  if (!response || [401, 403].includes(response.status)) return refusalOf(response, scope);
  own = key;
  return "";
}

/* Whether this browser is signed in; scripts cannot read the key itself. */
export function keyed() {
  try { return localStorage.getItem("keyed") !== null; } catch { return false; } // storage may be switched off
}

/* Returns a dialog for a key; `give` takes the key and returns why it is refused, or "". */
export function keyDialog(id, { title, hint, give, cancel = false }) {
  const outcome = make("p", { className: "outcome bad", role: "alert" });
  const input = make("input", {
    id: `${id}-key`, type: "password", autocomplete: "current-password", required: true, pattern: PATTERN,
    title: text("key.pattern"), autofocus: true,
  });
  const buttons = make("div", { className: "buttons" }, make("button", {}, text("key.sign_in")));
  const form = make("form", {}, make("h2", { id: `${id}-title` }, title), make("p", { className: "quiet" }, ...hint),
    make("label", { htmlFor: input.id }, text("key.key")), input, outcome, buttons);
  const dialog = make("dialog", { id, className: "card locked" }, form);
  dialog.setAttribute("aria-labelledby", `${id}-title`);
  if (cancel) buttons.prepend(make("button", { type: "button", className: "plain", onclick: () => dialog.close() }, text("page.cancel")));
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

/* Returns why a key was refused, by the answer; without an answer the device is silent. */
export function refusalOf(response, scope) {
  const later = response?.headers.get("Retry-After");
  if (!response) return SILENT.text;
  if (later) return text("key.too_many", { seconds: later });
  return response.status === 403 ? text("key.no_scope", { scope }) : text("key.unknown");
}

function lock() {
  if (isLocked()) return;
  $("status").dataset.status = LOCKED.state;
  $("status").textContent = STATUS.locked;
  $("locked").showModal();
  page.locked();
}

async function unlock(key) {
  const response = await request("/key", { method: "POST", headers: { Authorization: `Bearer ${key}` } }).catch(() => null);
  if (!response?.ok) return refusalOf(response, "live");
  keysEntered++;
  localStorage.setItem("keyed", "yes");
  $("forget").hidden = false;
  setTimeout(page.opened); // after the dialog has closed
  return "";
}

async function forget() {
  own = null;
  await ask("/key", { method: "DELETE" });
  localStorage.removeItem("keyed");
  $("forget").hidden = true;
  page.forgotten();
}
