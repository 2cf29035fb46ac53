/* The texts of the pages in the language that the server chose for the page, and numbers, days and times as the viewer writes them. */

const CHOSEN_S = 365 * 24 * 3600; // how long the browser keeps a language that was chosen by hand

let catalogue = {}, plurals = null, locale = "";

/* Takes a catalogue, the code of its language and the viewer's locales, the first of which in this language is used. */
export function speak(code, texts, locales = []) {
  catalogue = texts;
  locale = locales.find((each) => each.split("-")[0] === code) ?? code;
  plurals = new Intl.PluralRules(code);
}

/* Returns a text with values in its places, numbers among them as the viewer writes them; of several forms the one for `count`. */
export function text(key, values = {}) {
  const forms = catalogue[key], { count } = values;
  const form = typeof forms === "string" ? forms : (count === 0 && forms.zero) || (forms[plurals.select(count)] ?? forms.other);
  return form.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

/* Returns the texts whose keys begin with a word and a dot, by the rest of the key. */
export function group(word) {
  const begin = `${word}.`;
  const found = Object.entries(catalogue).filter(([key]) => key.startsWith(begin));
  return Object.fromEntries(found.map(([key, value]) => [key.slice(begin.length), value]));
}

/* Returns a number with at least so many decimals, and at most three. */
export const number = (value, minimumFractionDigits = 0) => value.toLocaleString(locale, { minimumFractionDigits });

/* Returns a share as whole per cent, or with so many significant digits. */
export const percent = (share, maximumSignificantDigits = undefined) => share.toLocaleString(locale, { style: "percent", maximumSignificantDigits });

export const DAY = { day: "numeric", month: "short", year: "numeric" };

/* Returns the day of a time; `options` as of Intl.DateTimeFormat. */
export function day(moment, options = DAY) {
  return new Date(moment).toLocaleDateString(locale, options);
}

/* Returns the day and the time of day, to the minute. */
export const time = (moment) => new Date(moment).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });

/* Returns the time of day with seconds, and with as many digits of their fraction. */
export function clock(moment, fractionalSecondDigits = undefined) {
  return new Date(moment).toLocaleTimeString(locale, { hour: "numeric", minute: "2-digit", second: "2-digit", fractionalSecondDigits });
}

if (globalThis.document) {
  const code = document.documentElement.lang, choice = document.getElementById("language");
  speak(code, JSON.parse(document.getElementById("texts").textContent), navigator.languages);
  choice?.addEventListener("change", () => {
    document.cookie = `language=${choice.value}; path=${new URL(".", import.meta.url).pathname}; max-age=${CHOSEN_S}; samesite=lax`;
    location.reload();
  });
}
