/* The people: list, search, edit, erase. */

import { $, make, save } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, drop, gallery, keep, onGallery, pathOf, refusalText, send } from "./gallery.js";
import { inviteButton } from "./invite.js";
import { setUpTables } from "./tables.js";
import { templateItem } from "./templates.js";
import { day, percent } from "./texts.js";

const SHOWN = 200; // people at most; the others are found by a search

let fields = null, subject = null, receipt = null;
let addMore = () => {};

/* Sets up the list; `addPictures` is called with a person to add templates to. */
export function setUpPeople({ addPictures }) {
  addMore = addPictures;
  fields = fieldsOf($("edit").querySelector("form"), { fixedId: true });
  $("search").oninput = show;
  $("edit").querySelector("form").onsubmit = saveEdited;
  $("erase-sure").onclick = erase;
  $("receipt-save").onclick = () => save(new File([legible(receipt)], `receipt-${receipt.reference ?? "erasure"}.json`, { type: "application/json" }));
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
  onGallery(show);
  setUpTables();
}

const peopleCount = (count) => (count === 1 ? "1 person" : `${count} people`);

function show() {
  const { people } = gallery;
  $("no-people").hidden = people?.length !== 0;
  for (const part of [$("search").closest("label"), $("enrol-another")]) part.hidden = !people?.length;
  const found = (people ?? []).filter((person) => matches(person, $("search").value));
  const open = new Set([...$("known").querySelectorAll("details[open]")].map(({ dataset }) => dataset.id));
  $("known").replaceChildren(...found.slice(0, SHOWN).map((person) => personItem(person, open.has(person.id))));
  $("people-count").textContent = people?.length ? (found.length === people.length ? peopleCount(people.length) : `${found.length} of ${peopleCount(people.length)}`) : "";
  $("more").textContent = found.length > SHOWN ? `${found.length - SHOWN} more; use the search to find them.` : "";
}

/* Whether a person's id, name and groups contain all words of a search. */
export function matches({ id, name, groups }, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [id, name, ...groups].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function personItem(person, open) {
  const { id, name, groups, created } = person;
  const { state, text } = standing(person, today());
  const details = make("details", { data: { id }, open });
  const summary = make("summary", {},
    make("span", { className: "whom" }, make("strong", {}, name), " ", make("span", { className: "quiet" }, id)),
    make("span", { className: "groups" }, ...groups.map((group) => make("span", { className: "group" }, group))),
    make("span", { className: "state", data: { state } }, text),
    make("span", { className: "quiet figures" }, templateWords(person)));
  const actions = make("div", { className: "buttons" },
    make("button", { type: "button", onclick: () => addMore(person) }, "Add pictures"),
    inviteButton(person),
    make("button", { type: "button", onclick: () => edit(person) }, "Edit"),
    make("button", { type: "button", className: "danger", onclick: () => askErase(person) }, "Erase"));
  const templates = person.templates.map((template) => templateItem(template, () => removeTemplate(person, template)));
  details.append(summary, make("div", { className: "person" },
    make("p", { className: "quiet" }, `Added ${day(created)}. ${validity(person)} ${cardWords(person)}`.trim()),
    make("p", { className: "quiet" }, fitWords(person)),
    make("ul", { className: "templates" }, ...templates), make("p", { className: "outcome bad", role: "alert" }), actions));
  return make("li", {}, details);
}

/* Today's date in this browser, which stands for the device's. */
function today() {
  const now = new Date();
  return new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

/* Returns whether a person can be recognised on a day (YYYY-MM-DD), as a state and in words. */
export function standing({ valid_from: from, valid_until: until, templates }, date) {
  if (until && date > until) return { state: "over", text: `✕ ended ${day(until)}` };
  if (!templates.length) return { state: "later", text: "○ no pictures yet" };
  if (templates.every(({ usable }) => !usable)) return { state: "over", text: "✕ enrol again" };
  if (from && date < from) return { state: "later", text: `○ from ${day(from)}` };
  return { state: "valid", text: until ? `● until ${day(until)}` : "● valid" };
}

/* Returns a person's validity as a sentence. */
export function validity({ valid_from: from, valid_until: until }) {
  if (!from && !until) return "Valid without end.";
  return `Valid ${[from && `from ${day(from)}`, until && `until ${day(until)}`].filter(Boolean).join(" ")}.`;
}

/* Returns a person's access card as a sentence; "" without one. */
export function cardWords({ credential }) {
  if (!credential) return "";
  const { format, facility, card, bits } = credential;
  return `Access card: ${format === "raw" ? `${bits.length} bits` : `${format} bits, facility ${facility}, number ${card}`}.`;
}

/* Returns how a person's templates fit at the door, as a sentence; "" before they were granted. */
export function fitWords({ fit }) {
  if (!fit) return "";
  const cosines = `Cosine at the door: ${fit.first.toFixed(2)} at first, ${fit.latest.toFixed(2)} now (${fit.days === 1 ? "1 day" : `${fit.days} days`}).`;
  return fit.worse ? `The pictures fit worse than at first: add new ones. ${cosines}` : cosines;
}

/* Returns the number of a person's templates and the best quality among them, in words. */
export function templateWords({ templates }) {
  if (!templates.length) return "";
  const usable = templates.filter((template) => template.usable);
  const unusable = templates.length - usable.length;
  const count = templates.length === 1 ? "1 template" : `${templates.length} templates`;
  if (!usable.length) return `${count}, not usable`;
  const best = Math.max(...usable.map(({ quality }) => quality));
  return `${count}, best ${percent(best)}${unusable ? `, ${unusable} not usable` : ""}`;
}

async function removeTemplate({ id }, { number }) {
  const answer = await askGallery(pathOf(id, `/templates/${number}`), { method: "DELETE" });
  if (answer?.ok) keep(answer.body.person);
  else showBeside(id, refusalText(answer));
}

function showBeside(id, text) {
  const details = [...$("known").querySelectorAll("details")].find(({ dataset }) => dataset.id === id);
  if (details) details.querySelector(".outcome").textContent = text;
}

function edit(person) {
  subject = person;
  $("edit-title").textContent = `Edit ${person.id}`;
  fields.fill(person);
  $("edit").showModal();
}

async function saveEdited(event) {
  event.preventDefault();
  const person = fields.read();
  if (!person) return;
  const answer = await send("PUT", pathOf(subject.id), person);
  if (!answer?.ok) return fields.refuse(refusalText(answer));
  $("edit").close();
  keep(answer.body.person);
}

function askErase(person) {
  subject = person;
  $("erase-title").textContent = `Erase ${person.name}?`;
  const count = person.templates.length;
  const templates = count ? `, with ${count === 1 ? "one template" : `${count} templates`},` : "";
  $("erase-words").textContent = `${person.id}${templates} is removed from this device and overwritten. This cannot be undone.`;
  $("erase").querySelector(".outcome").textContent = "";
  $("erase").showModal();
}

async function erase() {
  $("erase-sure").disabled = true;
  const answer = await askGallery(pathOf(subject.id), { method: "DELETE" });
  $("erase-sure").disabled = false;
  if (!answer?.ok) {
    $("erase").querySelector(".outcome").textContent = refusalText(answer);
    return;
  }
  $("erase").close();
  drop(subject.id);
  ({ receipt } = answer.body);
  $("receipt-words").textContent = `${subject.name} is erased. The receipt contains no name, so note separately which person it is for.`;
  $("receipt-json").textContent = legible(receipt);
  $("receipt").showModal();
}

const legible = (value) => `${JSON.stringify(value, null, 2)}\n`;
