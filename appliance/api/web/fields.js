/* The fields of a person's form, each with its mistakes beside it. */

import { make } from "./elements.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, GROUP = /^[A-Za-z0-9._-]{1,32}$/;
const LONGEST_NAME = 100, MOST_GROUPS = 16; // the gallery's own limits

const FIELDS = {
  name: { label: "Name", hint: "Shown at the door.", maxLength: LONGEST_NAME, autocomplete: "off" },
  id: { label: "Id", hint: "For example a staff number. It cannot be changed later.", maxLength: 64, autocomplete: "off", spellcheck: false },
  groups: { label: "Groups", hint: "Separated by commas, for example: staff, night-shift.", autocomplete: "off", spellcheck: false },
  valid_from: { label: "Valid from", hint: "The first day. Empty: valid from now on.", type: "date" },
  valid_until: { label: "Valid until", hint: "The last day. Empty: no end.", type: "date" },
  credential: { label: "Access card", hint: "Sent to an access panel when this person is granted.",
    options: { "": "None", 26: "26 bits (H10301)", 34: "34 bits (H10306)", 37: "37 bits (H10304)", raw: "Other bits" } },
  facility: { label: "Facility code", hint: "", inputMode: "numeric", maxLength: 5, autocomplete: "off" },
  card: { label: "Card number", hint: "", inputMode: "numeric", maxLength: 6, autocomplete: "off" },
  bits: { label: "Bits", hint: "1 to 128 digits 0 and 1, sent as they are, with their parity.", inputMode: "numeric", maxLength: 128, autocomplete: "off" },
};

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
      if (CARDS[format]) parts[name].hint.textContent = `0 to ${CARDS[format][name]}.`;
    }
    parts.bits.element.hidden = format !== "raw";
  }

  function refuse(name, text) {
    if (!parts[name]) { outcome.textContent = text; return; }
    parts[name].error.textContent = text;
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
      for (const name of names) if (parts[name].input.validity.badInput) refuse(name, "This is not a valid date.");
      for (const [name, text] of [...mistakes(person), ...cardMistakes(person.credential)]) refuse(name, text);
      const wrong = names.some((name) => parts[name].error.textContent);
      if (wrong) focusFirst();
      return wrong ? null : person;
    },
    /* Shows a refusal of the device beside the field that its text begins with, or below the form. */
    refuse(text) {
      const [name] = /^\w+(?=:)/.exec(text) ?? [""];
      refuse(name, parts[name] ? text.slice(name.length + 1).trim() : text);
      if (parts[name]) focusFirst();
    },
  };
}

function field(prefix, name) {
  const { label, hint: words, options, type = "text", ...rest } = FIELDS[name];
  const id = `${prefix}-${name}`;
  const input = options ? make("select", { id, name }, ...choices(options)) : make("input", { id, name, type, ...rest });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const hint = make("p", { id: `${id}-hint`, className: "quiet" }, words);
  const error = make("p", { id: `${id}-error`, className: "error" });
  const element = make("div", { className: "field", data: { field: name } }, make("label", { htmlFor: id }, label), input, hint, error);
  return { element, input, hint, error };
}

/* The options of a list, the empty one first. */
const choices = (options) => Object.keys(options).sort().map((value) => make("option", { value }, options[value]));

/* Returns the groups in a text, each once. */
export const groupsIn = (text) => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];

/* Yields what is wrong with a person, as the name of a field and a sentence; a person without an id keeps theirs. */
export function* mistakes({ id, name, groups, valid_from: from, valid_until: until }) {
  if (!name) yield ["name", "Enter a name."];
  if (id === "") yield ["id", "Enter an id."];
  else if (id !== undefined && !ID.test(id)) yield ["id", "Use letters, digits, “.”, “_”, “@” and “-”, beginning with a letter or a digit."];
  if (groups.length > MOST_GROUPS) yield ["groups", `There can be at most ${MOST_GROUPS} groups.`];
  const wrong = groups.find((group) => !GROUP.test(group));
  if (wrong) yield ["groups", `“${wrong}” is not a valid group: use 1 to 32 letters, digits, “.”, “_” and “-”.`];
  if (from && until && from > until) yield ["valid_until", "This is before the first day."];
}

/* Returns a card as the API takes one, from what is in its fields; null without a format. */
export function credentialOf(format, facility, card, bits) {
  if (!format) return null;
  return format === "raw" ? { format, bits } : { format, facility: numberIn(facility), card: numberIn(card) };
}

const numberIn = (text) => (/^\d+$/.test(text) ? Number(text) : NaN);

/* Yields what is wrong with a card, as `mistakes` does. */
export function* cardMistakes(credential) {
  const { format, bits, ...numbers } = credential ?? {};
  if (format === "raw" && !/^[01]{1,128}$/.test(bits)) yield ["bits", "Enter 1 to 128 digits 0 and 1."];
  for (const [name, number] of Object.entries(numbers)) {
    const most = CARDS[format][name];
    if (!(number <= most)) yield [name, `Enter a number from 0 to ${most}.`];
  }
}
