/* The people: found, looked at, edited, erased. */

import { $, make, percent, save } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, drop, gallery, keep, onGallery, placeOf, send, wordsOf } from "./gallery.js";
import { day, templateItem } from "./templates.js";

const SHOWN = 200; // people at once; a search finds the others

let fields = null, subject = null, receipt = null;
let more = () => {};

/* Sets the list up; `addPictures` is called with a person who shall have more templates. */
export function setUpPeople({ addPictures }) {
  more = addPictures;
  fields = fieldsOf($("edit").querySelector("form"), { fixedId: true });
  $("search").oninput = show;
  $("edit").querySelector("form").onsubmit = saveEdited;
  $("erase-sure").onclick = erase;
  $("receipt-save").onclick = () => save(new File([legible(receipt)], `receipt-${receipt.reference ?? "erasure"}.json`, { type: "application/json" }));
  for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
  onGallery(show);
}

function show() {
  const { people } = gallery;
  $("nobody").hidden = people?.length !== 0;
  for (const part of [$("search").closest("label"), $("enrol-another")]) part.hidden = !people?.length;
  const found = (people ?? []).filter(matches);
  const open = new Set([...$("known").querySelectorAll("details[open]")].map(({ dataset }) => dataset.id));
  $("known").replaceChildren(...found.slice(0, SHOWN).map((person) => personItem(person, open.has(person.id))));
  $("people-count").textContent = people?.length ? (found.length === people.length ? `${people.length} enrolled` : `${found.length} of ${people.length}`) : "";
  $("more").textContent = found.length > SHOWN ? `${found.length - SHOWN} more: search for them.` : "";
}

function matches({ id, name, groups }) {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [id, name, ...groups].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function personItem(person, open) {
  const { id, name, groups, created } = person;
  const details = make("details", { data: { id }, open });
  const summary = make("summary", {},
    make("span", { className: "whom" }, make("strong", {}, name), " ", make("span", { className: "quiet" }, id)),
    make("span", { className: "groups" }, ...groups.map((group) => make("span", { className: "group" }, group))),
    make("span", { className: "state", data: validity(person).data }, validity(person).text),
    make("span", { className: "quiet figures" }, templateWords(person)));
  const actions = make("div", { className: "buttons" },
    make("button", { type: "button", onclick: () => more(person) }, "Add pictures"),
    make("button", { type: "button", onclick: () => edit(person) }, "Edit"),
    make("button", { type: "button", className: "danger", onclick: () => askErase(person) }, "Erase"));
  const templates = person.templates.map((template) => templateItem(template, () => forget(person, template)));
  details.append(summary, make("div", { className: "person" },
    make("p", { className: "quiet" }, `Enrolled ${day(created)}. ${validity(person).long}`),
    make("ul", { className: "templates" }, ...templates), make("p", { className: "outcome bad", role: "alert" }), actions));
  return make("li", {}, details);
}

/* Days are compared as the device's calendar writes them; this browser's day stands for the device's. */
function validity({ valid_from: from, valid_until: until }) {
  const now = new Date(), today = new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
  const long = from || until ? `Valid ${from ? `from ${day(from)}` : ""} ${until ? `until ${day(until)}` : ""}`.trim().replace(/\s+/g, " ") + "." : "Valid for ever.";
  if (from && today < from) return { text: `○ from ${day(from)}`, data: { state: "later" }, long };
  if (until && today > until) return { text: `✕ ended ${day(until)}`, data: { state: "over" }, long };
  return { text: until ? `● until ${day(until)}` : "● valid", data: { state: "valid" }, long };
}

function templateWords({ templates }) {
  const usable = templates.filter((template) => template.usable);
  const unusable = templates.length - usable.length;
  if (!templates.length) return "no template: not recognised";
  if (!usable.length) return "no usable template: enrol again";
  const best = Math.max(...usable.map(({ quality }) => quality));
  return `${templates.length === 1 ? "1 template" : `${templates.length} templates`}, best ${percent(best)}${unusable ? `, ${unusable} not usable` : ""}`;
}

async function forget({ id }, { number }) {
  const answer = await askGallery(placeOf(id, `/templates/${number}`), { method: "DELETE" });
  if (answer?.ok) keep(answer.body.person);
  else tellBeside(id, wordsOf(answer));
}

function tellBeside(id, text) {
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
  const answer = await send("PUT", placeOf(subject.id), person);
  if (!answer?.ok) return fields.refuse(wordsOf(answer));
  $("edit").close();
  keep(answer.body.person);
}

function askErase(person) {
  subject = person;
  $("erase-title").textContent = `Erase ${person.name}?`;
  const count = person.templates.length;
  $("erase-words").textContent = `${person.id} and ${count === 1 ? "one template are" : `${count} templates are`} removed from this device and overwritten. Nothing brings them back.`;
  $("erase").querySelector(".outcome").textContent = "";
  $("erase").showModal();
}

async function erase() {
  $("erase-sure").disabled = true;
  const answer = await askGallery(placeOf(subject.id), { method: "DELETE" });
  $("erase-sure").disabled = false;
  if (!answer?.ok) {
    $("erase").querySelector(".outcome").textContent = wordsOf(answer);
    return;
  }
  $("erase").close();
  drop(subject.id);
  ({ receipt } = answer.body);
  $("receipt-words").textContent = `${subject.name} is erased. The receipt says so without naming them: note beside it whom it is about.`;
  $("receipt-json").textContent = legible(receipt);
  $("receipt").showModal();
}

const legible = (value) => `${JSON.stringify(value, null, 2)}\n`;
