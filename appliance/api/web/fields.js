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
};

/* Fills a form with the fields of a person, without the id if it is fixed. */
export function fieldsOf(form, { fixedId = false } = {}) {
  const names = Object.keys(FIELDS).filter((name) => !(fixedId && name === "id"));
  const parts = Object.fromEntries(names.map((name) => [name, field(form.closest("[id]").id, name)]));
  form.querySelector(".fields").append(...Object.values(parts).map(({ element }) => element));
  const outcome = form.querySelector(".outcome");

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
      for (const name of names) parts[name].input.value = name === "groups" ? (person?.groups ?? []).join(", ") : person?.[name] ?? "";
    },
    /* Returns the person as the API takes one; null when there are mistakes, which are shown. */
    read() {
      clear();
      const person = Object.fromEntries(names.map((name) => [name, parts[name].input.value.trim()]));
      person.groups = groupsIn(person.groups);
      for (const name of ["valid_from", "valid_until"]) person[name] = person[name] || null;
      for (const name of names) if (parts[name].input.validity.badInput) refuse(name, "This is not a valid date.");
      for (const [name, text] of mistakes(person)) refuse(name, text);
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
  const { label, hint, type = "text", ...rest } = FIELDS[name];
  const id = `${prefix}-${name}`;
  const input = make("input", { id, name, type, ...rest });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const error = make("p", { id: `${id}-error`, className: "error" });
  const element = make("div", { className: "field", data: { field: name } },
    make("label", { htmlFor: id }, label), input, make("p", { id: `${id}-hint`, className: "quiet" }, hint), error);
  return { element, input, error };
}

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
