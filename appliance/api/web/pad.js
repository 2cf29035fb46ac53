/* The pad of the display at the door: a person types a PIN and, where the face was not recognised, their id, by touch or with a keyboard. */

import { $, make } from "./elements.js";
import { request } from "./key.js";
import { padMistake } from "./kiosk_facts.js";
import { text } from "./texts.js";

const DIGITS = ["123", "456", "789", "0"];
const LETTERS = ["1234567890", "qwertyuiop", "asdfghjkl@", "zxcvbnm._-"];
const FIELDS = ["id", "pin"];

let step = null, field = null, page = { sent() {}, ended() {} };

const input = (name) => $(`pad-${name}`);

/* Sets up the pad; `sent` is called when something was typed in, `ended` when the device asks no longer. */
export function setUpPad(given) {
  page = given;
  $("pad").onsubmit = submit;
  $("pad").onkeydown = ({ key }) => { if (key === "Escape") cancel(); };
  for (const name of FIELDS) input(name).onfocus = () => { field = input(name); };
}

/* Shows the pad for a pending step of the kind "pin". */
export function openPad(pending, error = "") {
  step = pending;
  for (const name of FIELDS) input(name).value = "";
  input("pin").maxLength = step.most;
  input("id").parentElement.hidden = !step.id;
  $("pad-error").textContent = error;
  const rows = step.id && !step.digits ? LETTERS : DIGITS;
  $("pad").dataset.rows = rows === LETTERS ? "letters" : "digits";
  $("pad-keys").replaceChildren(...rows.flatMap((row) => [...row]).map((sign) => button(sign, sign, () => type(sign))),
    button("delete", "⌫", remove, { ariaLabel: text("pad.delete") }), button("cancel", text("page.cancel"), cancel), button("enter", text("pad.enter"), null, { type: "submit" }));
  $("pad").hidden = false;
  input(step.id ? "id" : "pin").focus();
}

export function closePad() {
  step = null;
  for (const name of FIELDS) input(name).value = "";
  $("pad").hidden = true;
}

/* A press leaves the focus in the field, where a keyboard writes as well. */
function button(name, words, onclick, options = {}) {
  return make("button", { type: "button", onclick, onpointerdown: (event) => event.preventDefault(), data: { key: name }, ...options }, words);
}

function type(sign) {
  if (field.value.length < field.maxLength) field.value += sign;
}

function remove() {
  field.value = field.value.slice(0, -1);
}

function submit(event) {
  event.preventDefault();
  const pin = input("pin").value, id = input("id").value.trim();
  if (step.id && id && field === input("id")) return input("pin").focus();
  const mistake = padMistake(step, pin, id);
  $("pad-error").textContent = mistake?.text ?? "";
  if (mistake) input(mistake.field).focus();
  else answer(step.id ? { pin, id } : { pin });
  return undefined;
}

function cancel() {
  answer({ cancel: true });
}

/* Answers the step; the decision or the next step comes as an event. */
async function answer(body) {
  const asked = step;
  closePad();
  page.sent();
  const response = await request(`/access/decide/${asked.handle}`, { method: "POST", body: JSON.stringify(body) }).catch(() => null);
  if (response?.ok || step) return; // or another step has begun
  if (response?.status === 400 || response?.status === 503) openPad(asked, response.status === 503 ? text("pad.busy") : (await response.json()).text);
  else page.ended();
}
