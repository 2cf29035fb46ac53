/* The fields of a person, with what is wrong beside each. */

import { make } from "./elements.js";

const ID = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, GROUP = /^[A-Za-z0-9._-]{1,32}$/;
const LONGEST_NAME = 100, MOST_GROUPS = 16; // as the gallery takes them

const FIELDS = {
  name: { label: "Name", hint: "As it is shown at the door.", maxLength: LONGEST_NAME, autocomplete: "off" },
  id: { label: "Id", hint: "A staff number, say; it cannot be changed later.", maxLength: 64, autocomplete: "off", spellcheck: false },
  groups: { label: "Groups", hint: "Separated by commas, such as: staff, night-shift.", autocomplete: "off", spellcheck: false },
  valid_from: { label: "Valid from", hint: "The first day; empty: from now on.", type: "date" },
  valid_until: { label: "Valid until", hint: "The last day; empty: for ever.", type: "date" },
};

/* Fills a form with the fields of a person; without the id when it exists already. */
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
    /* Fills in a person, or nothing. */
    fill(person) {
      clear();
      for (const name of names) parts[name].input.value = name === "groups" ? (person?.groups ?? []).join(", ") : person?.[name] ?? "";
    },
    /* The person as the device takes it; null when something is wrong, which is told. */
    read() {
      clear();
      const person = Object.fromEntries(names.map((name) => [name, parts[name].input.value.trim()]));
      person.groups = [...new Set(person.groups.split(/[\s,;]+/).filter(Boolean))];
      for (const name of ["valid_from", "valid_until"]) person[name] = person[name] || null;
      for (const name of names) if (parts[name].input.validity.badInput) refuse(name, "This is no day.");
      for (const [name, text] of mistakes(person, fixedId)) refuse(name, text);
      const wrong = names.some((name) => parts[name].error.textContent);
      if (wrong) focusFirst();
      return wrong ? null : person;
    },
    /* Shows the device's word beside the field that it begins with. */
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

function* mistakes({ id, name, groups, valid_from: from, valid_until: until }, fixedId) {
  if (!name) yield ["name", "A name is needed."];
  if (!fixedId && !ID.test(id)) yield ["id", id ? "Letters, digits, “.”, “_”, “@” and “-”; a letter or a digit first." : "An id is needed."];
  if (groups.length > MOST_GROUPS) yield ["groups", `At most ${MOST_GROUPS} groups.`];
  const wrong = groups.find((group) => !GROUP.test(group));
  if (wrong) yield ["groups", `“${wrong}” is no name of a group: 1 to 32 letters, digits, “.”, “_” and “-”.`];
  if (from && until && from > until) yield ["valid_until", "It is before the first day."];
}
