import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { afterEach, test } from "node:test";

import { catalogue } from "./english.mjs";
import { clock, day, group, number, percent, speak, text } from "../../appliance/api/web/texts.js";

const LANGUAGES = readdirSync(new URL("../../appliance/api/web/texts/", import.meta.url)).map((name) => name.slice(0, 2));

const plain = (words) => words.replace(/\s/g, " "); // which space stands before "%" or "PM" changes with the version of ICU

process.env.TZ = "UTC";
afterEach(() => speak("en", catalogue("en"), ["en-GB"]));

test("a text has the values in its places, and numbers as the viewer writes them", () => {
  speak("de", { a: "{n} von {m}: {what}" }, ["fr-FR"]);
  assert.equal(text("a", { n: 12345, m: 0.5, what: "{n}" }), "12.345 von 0,5: {n}");
});

test("a text that is about a number has the form of its language", () => {
  speak("en", { faces: { zero: "none", one: "one", other: "{count}" } });
  assert.deepEqual([0, 1, 2].map((count) => text("faces", { count })), ["none", "one", "2"]);
  speak("fr", { faces: { one: "{count} visage", other: "{count} visages" } });
  assert.deepEqual([0, 1, 2, 999].map((count) => text("faces", { count })), ["0 visage", "1 visage", "2 visages", "999 visages"]);
  speak("ja", { faces: { other: "{count}人" } });
  assert.equal(text("faces", { count: 1 }), "1人");
});

test("a group has the texts below a word", () => {
  speak("en", { "pose.left": "Left", "pose.right": "Right", "poses": "Poses", "other.left": "x" });
  assert.deepEqual(group("pose"), { left: "Left", right: "Right" });
});

test("days, times, shares and numbers are the viewer's", () => {
  const moment = "2026-11-28T18:09:05.025Z";
  const shown = (code, locales = []) => { speak(code, {}, locales); return [day(moment), clock(moment), clock(moment, 3), percent(0.5), percent(0.0012, 3), number(0.5, 3)].map(plain); };
  assert.deepEqual(shown("en", ["en-GB"]), ["28 Nov 2026", "18:09:05", "18:09:05.025", "50%", "0.12%", "0.500"]);
  assert.deepEqual(shown("en", ["de-DE", "en-US"]).slice(0, 2), ["Nov 28, 2026", "6:09:05 PM"]);
  assert.deepEqual(shown("de"), ["28. Nov. 2026", "18:09:05", "18:09:05,025", "50 %", "0,12 %", "0,500"]);
  assert.equal(shown("ja")[0], "2026年11月28日");
});

for (const code of LANGUAGES) {
  test(`${code} has a form for each of its plurals`, () => {
    const wanted = new Set([0, 1, 2, 5, 21].map((count) => new Intl.PluralRules(code).select(count)));
    const forms = Object.entries(catalogue(code)).filter(([, value]) => typeof value !== "string");
    assert.ok(forms.length);
    for (const [key, value] of forms) assert.deepEqual(new Set(Object.keys(value).filter((form) => form !== "zero")), wanted, key);
  });
}
