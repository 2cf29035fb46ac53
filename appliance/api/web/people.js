/* The people: list, search, edit, erase. */

import { $, make, save } from "./elements.js";
import { fieldsOf } from "./fields.js";
import { askGallery, drop, gallery, keep, onGallery, pathOf, refusalText, send } from "./gallery.js";
import { inviteButton } from "./invite.js";
import { setUpTables } from "./tables.js";
import { templateItem } from "./templates.js";
import { day, number, percent, text } from "./texts.js";

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

function show() {
  const { people } = gallery;
  $("no-people").hidden = people?.length !== 0;
  $("refreshing").hidden = !(people && gallery.refresh);
  for (const part of [$("search").closest("label"), $("enrol-another")]) part.hidden = !people?.length;
  const found = (people ?? []).filter((person) => matches(person, $("search").value)), count = people?.length;
  const open = new Set([...$("known").querySelectorAll("details[open]")].map(({ dataset }) => dataset.id));
  $("known").replaceChildren(...found.slice(0, SHOWN).map((person) => personItem(person, open.has(person.id))));
  $("people-count").textContent = count ? text(found.length === count ? "people.count" : "people.found", { count, found: found.length }) : "";
  $("more").textContent = found.length > SHOWN ? text("people.more", { count: found.length - SHOWN }) : "";
}

/* Whether a person's id, name and groups contain all words of a search. */
export function matches({ id, name, groups }, search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const known = [id, name, ...groups].join(" ").toLowerCase();
  return words.every((word) => known.includes(word));
}

function personItem(person, open) {
  const { id, name, groups, created } = person;
  const { state, words } = standing(person, today());
  const details = make("details", { data: { id }, open });
  const summary = make("summary", {},
    make("span", { className: "whom" }, make("strong", {}, name), " ", make("span", { className: "quiet" }, id)),
    make("span", { className: "groups" }, ...groups.map((group) => make("span", { className: "group" }, group))),
    make("span", { className: "state", data: { state } }, words),
    make("span", { className: "quiet figures" }, templateWords(person)));
  const actions = make("div", { className: "buttons" },
    make("button", { type: "button", onclick: () => addMore(person) }, text("people.add_pictures")),
    inviteButton(person),
    make("button", { type: "button", onclick: () => edit(person) }, text("people.edit")),
    make("button", { type: "button", className: "danger", onclick: () => askErase(person) }, text("people.erase")));
  const templates = person.templates.map((template) => templateItem(template, () => removeTemplate(person, template)));
  details.append(summary, make("div", { className: "person" },
    make("p", { className: "quiet" }, [text("people.added", { day: day(created) }), validity(person), cardWords(person)].join(" ").trim()),
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
  if (until && date > until) return { state: "over", words: `✕ ${text("standing.ended", { day: day(until) })}` };
  if (!templates.length) return { state: "later", words: `○ ${text("standing.no_pictures")}` };
  if (templates.every(({ usable }) => !usable)) return { state: "over", words: `✕ ${text("standing.unusable")}` };
  if (from && date < from) return { state: "later", words: `○ ${text("standing.from", { day: day(from) })}` };
  return { state: "valid", words: `● ${until ? text("standing.until", { day: day(until) }) : text("standing.valid")}` };
}

/* Returns a person's validity as a sentence. */
export function validity({ valid_from: from, valid_until: until }) {
  const bounds = from && until ? "between" : from ? "from" : until ? "until" : "always";
  return text(`validity.${bounds}`, { from: from && day(from), until: until && day(until) });
}

/* Returns a person's access card as a sentence; "" without one. */
export function cardWords({ credential }) {
  if (!credential) return "";
  const { format, facility, card, bits } = credential;
  return bits ? text("card.raw", { count: bits.length }) : text("card.numbers", { format, facility: String(facility), card: String(card) });
}

/* Returns how a person's templates fit at the door, as a sentence; "" before they were granted. */
export function fitWords({ fit }) {
  if (!fit) return "";
  const [first, latest] = [fit.first, fit.latest].map((cosine) => number(Number(cosine.toFixed(2)), 2));
  const cosines = text("fit.cosines", { first, latest, count: fit.days });
  return fit.worse ? `${text("fit.worse")} ${cosines}` : cosines;
}

/* Returns the number of a person's templates and the best quality among them, in words. */
export function templateWords({ templates }) {
  const count = templates.length, usable = templates.filter((template) => template.usable), unusable = count - usable.length;
  const best = Math.max(...usable.map(({ quality }) => quality));
  return [
    count && text("template.count", { count }), usable.length && text("template.best", { share: percent(best) }),
    unusable && text("template.unusable", { count: unusable }),
  ].filter(Boolean).join(" · ");
}

async function removeTemplate({ id }, template) {
  const answer = await askGallery(pathOf(id, `/templates/${template.number}`), { method: "DELETE" });
  if (answer?.ok) keep(answer.body.person);
  else showBeside(id, refusalText(answer));
}

function showBeside(id, words) {
  const details = [...$("known").querySelectorAll("details")].find(({ dataset }) => dataset.id === id);
  if (details) details.querySelector(".outcome").textContent = words;
}

function edit(person) {
  subject = person;
  $("edit-title").textContent = text("people.edit_title", { id: person.id });
  fields.fill(person);
  $("edit").showModal();
}

async function saveEdited(event) {
  event.preventDefault();
  const person = fields.read();
  if (!person) return;
  const answer = await send("PUT", pathOf(subject.id), person);
  if (!answer?.ok) return fields.refuse(answer);
  $("edit").close();
  keep(answer.body.person);
}

function askErase(person) {
  subject = person;
  $("erase-title").textContent = text("people.erase_title", { name: person.name });
  $("erase-words").textContent = text("people.erase_words", { id: person.id, count: person.templates.length });
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
  $("receipt-words").textContent = text("people.receipt_words", { name: subject.name });
  $("receipt-json").textContent = legible(receipt);
  $("receipt").showModal();
}

const legible = (value) => `${JSON.stringify(value, null, 2)}\n`;
