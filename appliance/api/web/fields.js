/* The fields of a person's form, each with its mistakes beside it. */

import { make } from "./elements.js";
import { refusalText } from "./gallery.js";
import { group, text } from "./texts.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, GROUP = /^[A-Za-z0-9._-]{1,32}$/;
const LONGEST_NAME = 100, MOST_GROUPS = 16; // the gallery's own limits

const FIELDS = {
  name: { required: true, maxLength: LONGEST_NAME, autocomplete: "off" },
  id: { required: true, maxLength: 64, autocomplete: "off", spellcheck: false },
  groups: { autocomplete: "off", spellcheck: false },
  valid_from: { type: "date" },
  valid_until: { type: "date" },
  credential: { options: ["", "26", "34", "37", "raw"] },
  facility: { inputMode: "numeric", maxLength: 5, autocomplete: "off" },
  card: { inputMode: "numeric", maxLength: 6, autocomplete: "off" },
  bits: { inputMode: "numeric", maxLength: 128, autocomplete: "off" },
};
const LABELS = group("field"), FORMATS = group("card_format");

/* The largest facility code and card number of each card format. */
const CARDS = { 26: { facility: 255, card: 65535 }, 34: { facility: 65535, card: 65535 }, 37: { facility: 65535, card: 524287 } };

/* Fills a form with the fields of a person, without the id if it is fixed. */
export function fieldsOf(form, { fixedId = false } = {}) {
  const names = Object.keys(FIELDS).filter((name) => !(fixedId && name === "id"));
  const parts = Object.fromEntries(names.map((name) => [name, field(form.closest("[id]").id, name)]));
  form.querySelector(".fields").append(...Object.values(parts).map(({ element }) => element));
  const outcome = form.querySelector(".outcome");
  parts.credential.input.onchange = showCard;

  /* Shows the fields of the chosen card format. */
  function showCard() {
    const format = parts.credential.input.value;
    for (const name of ["facility", "card"]) {
      parts[name].element.hidden = !CARDS[format];
      parts[name].hint.textContent = text(`field_hint.${name}`, { most: CARDS[format]?.[name] });
    }
    parts.bits.element.hidden = format !== "raw";
  }

  function refuse(name, words = text(`mistake.${name}`, { most: CARDS[parts.credential.input.value]?.[name] })) {
    parts[name].error.textContent = words;
    parts[name].input.setAttribute("aria-invalid", "true");
  }

  function clear() {
    outcome.textContent = "";
    for (const { input, error } of Object.values(parts)) {
      error.textContent = "";
      input.removeAttribute("aria-invalid");
    }
  }

  function focusFirst() {
    const [first = names[0]] = names.filter((name) => parts[name].error.textContent);
    parts[first].input.focus();
  }

  return {
    focusFirst,
    /* Shows a person's values; without a person, empty fields. */
    fill(person) {
      clear();
      const { format, ...card } = person?.credential ?? {};
      const values = { ...person, groups: (person?.groups ?? []).join(", "), credential: format, ...card };
      for (const name of names) parts[name].input.value = values[name] ?? "";
      showCard();
    },
    /* Returns the person as the API takes one; null when there are mistakes, which are shown. */
    read() {
      clear();
      const { credential: format, facility, card, bits, ...person } = Object.fromEntries(names.map((name) => [name, parts[name].input.value.trim()]));
      person.credential = credentialOf(format, facility, card, bits);
      person.groups = groupsIn(person.groups);
      for (const name of ["valid_from", "valid_until"]) person[name] = person[name] || null;
      for (const name of names) if (parts[name].input.validity.badInput) refuse(name);
      for (const name of [...mistakes(person), ...cardMistakes(person.credential)]) refuse(name);
      const wrong = names.some((name) => parts[name].error.textContent);
      if (wrong) focusFirst();
      return wrong ? null : person;
    },
    /* Shows why the device refuses a person: beside the field that its text begins with, or below the form. */
    refuse(answer) {
      const [name] = /^\w+(?=:)/.exec(answer?.body.text) ?? [""];
      if (answer?.reason === "person_exists") refuse("id", text("enrol.taken"));
      else if (parts[name]) refuse(name);
      else outcome.textContent = refusalText(answer);
      if (!outcome.textContent) focusFirst();
    },
  };
}

function field(prefix, name) {
  const { options, type = "text", ...rest } = FIELDS[name];
  const id = `${prefix}-${name}`;
  const choices = options?.map((value) => make("option", { value }, FORMATS[value || "none"]));
  const input = choices ? make("select", { id, name }, ...choices) : make("input", { id, name, type, ...rest });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const hint = make("p", { id: `${id}-hint`, className: "quiet" }, text(`field_hint.${name}`));
  const error = make("p", { id: `${id}-error`, className: "error" });
  const element = make("div", { className: "field", data: { field: name } }, make("label", { htmlFor: id }, LABELS[name]), input, hint, error);
  return { element, input, hint, error };
}

/* Returns the groups in a text, each once. */
export const groupsIn = (words) => [...new Set(words.split(/[\s,;、，；]+/).filter(Boolean))];

/* Yields the names of the fields that are wrong; a person without an id keeps theirs. */
export function* mistakes({ id, name, groups, valid_from: from, valid_until: until }) {
  if (!name) yield "name";
  if (id !== undefined && !ID.test(id)) yield "id";
  if (groups.length > MOST_GROUPS || !groups.every((each) => GROUP.test(each))) yield "groups";
  if (from && until && from > until) yield "valid_until";
}

/* Returns a card as the API takes one, from what is in its fields; null without a format. */
export function credentialOf(format, facility, card, bits) {
  if (!format) return null;
  return format === "raw" ? { format, bits } : { format, facility: numberIn(facility), card: numberIn(card) };
}

const numberIn = (words) => (/^\d+$/.test(words) ? Number(words) : NaN);

/* Yields the same for a card. */
export function* cardMistakes(credential) {
  const { format, bits, ...numbers } = credential ?? {};
  if (format === "raw" && !/^[01]{1,128}$/.test(bits)) yield "bits";
  for (const [name, number] of Object.entries(numbers)) if (!(number <= CARDS[format][name])) yield name;
}
