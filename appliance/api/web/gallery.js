/* The people in the gallery, as the API's admin scope shows them, and what prevents access to them. */

import { SILENT, hint, problemText } from "./advice.js";
import { $, make } from "./elements.js";
import { ask, askOwn, giveOwn, keyDialog } from "./key.js";
import { group, text } from "./texts.js";

const ADMIN = "admin";
const OFF = text("people.off"), REFUSALS = group("refusal");
const UNUSABLE = /^(gallery_|other_embedder)/; // reasons of a refusal that concern the gallery as a whole

/* `people` is null until they are known; `refresh`: decisions add templates; `keyless` when an admin key is needed; `trouble` says
   why the gallery cannot be used. */
export const gallery = { people: null, refresh: false, keyless: false, trouble: null };

const listeners = new Set();
let reading = false, again = false;

/* Calls a function whenever the state of the gallery has changed. */
export const onGallery = (listener) => listeners.add(listener);

/* Sets up the dialog for an admin key. */
export function setUpGallery() {
  const dialog = keyDialog("administer", {
    title: text("people.key_title"),
    hint: [text("people.key_hint")],
    cancel: true,
    give: async (key) => {
      const refused = await giveOwn(key, "/people", ADMIN);
      if (!refused) refresh();
      return refused;
    },
  });
  $("give").onclick = () => dialog.showModal();
}

/* Reads the people again; changes while they are read, as an import makes many, are read once afterwards. */
export async function refresh() {
  again = true;
  if (reading) return;
  reading = true;
  while (again) {
    again = false;
    const answer = await askGallery("/people");
    if (answer?.ok) Object.assign(gallery, { people: answer.body.people, refresh: answer.body.refresh ?? false });
    notify();
  }
  reading = false;
}

/* Makes a request about people; returns null when the device does not answer. */
export async function askGallery(path, options = {}) {
  let answer;
  try { answer = await askOwn(path, options); } catch { return null; }
  const { status, body } = answer;
  gallery.keyless = status === 403 || status === 401;
  gallery.trouble = status === 406 ? OFF : UNUSABLE.test(body.reason) ? refusalText(answer) : null;
  if (status === 406 || gallery.keyless) gallery.people = null;
  if (!answer.ok) notify();
  return { ...answer, reason: body.reason };
}

/* Makes a request about people with a JSON body. */
export const send = (method, path, body) => askGallery(path, { method, body: JSON.stringify(body) });

/* Returns the path of a person. */
export const pathOf = (id, rest = "") => `/people/${encodeURIComponent(id)}${rest}`;

/* Returns why a request was refused, in words. */
export function refusalText(answer) {
  if (!answer) return SILENT.text;
  if (answer.status === 406) return OFF;
  const { reason, text: words, return_msg: message } = answer.body;
  return REFUSALS[reason] ?? problemText({ state: reason, text: words }) ?? hint(message);
}

/* Adds a person to the list, or replaces the one with the same id. */
export function keep(person) {
  if (!gallery.people) return;
  gallery.people = [...gallery.people.filter(({ id }) => id !== person.id), person].sort((a, b) => (a.id < b.id ? -1 : 1));
  notify();
}

/* Removes a person from the list. */
export function drop(id) {
  gallery.people = gallery.people?.filter((each) => each.id !== id) ?? null;
  notify();
}

/* Makes a request that needs no admin key; returns null when the device does not answer. */
export async function askDevice(path, options) {
  try { return await ask(path, options); } catch { return null; }
}

/* Shows what is wrong with the gallery, by the health's reasons or by what was refused. */
export function showTroubles(reasons) {
  const lines = reasons.map(problemText);
  if (gallery.trouble && !lines.length) lines.push(gallery.trouble);
  $("troubles").replaceChildren(...lines.map((line) => make("p", { className: "notice bad" }, line)));
}

function notify() {
  for (const listener of listeners) listener();
}
