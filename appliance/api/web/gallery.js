/* The people of this device: asked for with a key of the scope admin, and what stands in the way. */

import { HINTS, SILENT } from "./advice.js";
import { $, make } from "./elements.js";
import { ask, askOwn, giveOwn, keyDialog } from "./key.js";

const ADMIN = "admin";
const OFF = "The gallery is switched off in the configuration (gallery.enabled): nobody is enrolled or recognised here.";
const UNUSABLE = /^(gallery_|other_embedder)/;

/* `people` is null until they are known; `keyless` that the key does not open them; `off` that there is no gallery. */
export const gallery = { people: null, keyless: false, trouble: null };

const listeners = new Set();

/* Calls a function whenever the people, or what is known of them, have changed. */
export const onGallery = (listener) => listeners.add(listener);

/* Sets up the way to give a key of the scope admin. */
export function setUpGallery() {
  const dialog = keyDialog("administer", {
    title: "A key for the people",
    hint: ["It needs the scope “admin” and is kept until this page is closed or loaded anew."],
    cancel: true,
    give: async (key) => {
      const refused = await giveOwn(key, "/people", ADMIN);
      if (!refused) refresh();
      return refused;
    },
  });
  $("give").onclick = () => dialog.showModal();
}

/* Asks for the people anew. */
export async function refresh() {
  const answer = await askGallery("/people");
  if (answer?.ok) gallery.people = answer.body.people;
  tell();
}

/* A question about people; null when the device does not answer. */
export async function askGallery(path, options = {}) {
  let answer;
  try { answer = await askOwn(path, options); } catch { return null; }
  const { status, body } = answer;
  gallery.keyless = status === 403 || status === 401;
  gallery.trouble = status === 406 ? OFF : UNUSABLE.test(body.reason) ? wordsOf(answer) : null;
  if (status === 406 || gallery.keyless) gallery.people = null;
  if (!answer.ok) tell();
  return { ...answer, reason: body.reason };
}

/* The same with a body as JSON. */
export const send = (method, path, body) => askGallery(path, { method, body: JSON.stringify(body) });

/* Where a person is. */
export const placeOf = (id, rest = "") => `/people/${encodeURIComponent(id)}${rest}`;

/* Why a question was refused, in words. */
export function wordsOf(answer) {
  if (!answer) return SILENT.text;
  if (answer.status === 406) return OFF;
  const { text, return_msg: { return_code: code, return_msg: message } } = answer.body;
  return text ?? `${code} ${message} ${HINTS[code] ?? "A fault of the device: its log says more."}`;
}

/* Takes what an answer said of a person into the list. */
export function keep(person) {
  if (!gallery.people) return;
  gallery.people = [...gallery.people.filter(({ id }) => id !== person.id), person].sort((a, b) => (a.id < b.id ? -1 : 1));
  tell();
}

/* Takes a person out of the list. */
export function drop(id) {
  gallery.people = gallery.people?.filter((each) => each.id !== id) ?? null;
  tell();
}

/* A question anyone with the browser's key may ask; null when the device does not answer. */
export async function asked(path, options) {
  try { return await ask(path, options); } catch { return null; }
}

/* Lines about what is wrong with the gallery, of the health's reasons and of what was refused. */
export function showTroubles(reasons) {
  const lines = reasons.map(({ text }) => text);
  if (gallery.trouble && !lines.length) lines.push(gallery.trouble);
  $("troubles").replaceChildren(...lines.map((line) => make("p", { className: "notice bad" }, line)));
}

function tell() {
  for (const listener of listeners) listener();
}
