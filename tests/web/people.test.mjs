import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { cardWords, fitWords, matches, standing, templateWords, validity } from "../../appliance/api/web/people.js";

const TEMPLATE = { quality: 0.9, usable: true }, UNUSABLE = { quality: 1, usable: false };
const person = (changes) => ({ id: "staff-17", name: "Grace Hopper", groups: ["crew"], valid_from: null, valid_until: null, templates: [TEMPLATE], ...changes });
const on = (date, changes) => standing(person(changes), date);

test("a person is valid from the first day to the last", () => {
  const days = { valid_from: "2026-11-10", valid_until: "2026-11-20" };
  assert.deepEqual(on("2026-11-09", days), { state: "later", words: "○ from 10 Nov 2026" });
  assert.deepEqual(on("2026-11-10", days), { state: "valid", words: "● until 20 Nov 2026" });
  assert.deepEqual(on("2026-11-20", days), { state: "valid", words: "● until 20 Nov 2026" });
  assert.deepEqual(on("2026-11-21", days), { state: "over", words: "✕ ended 20 Nov 2026" });
  assert.deepEqual(on("2026-11-21", {}), { state: "valid", words: "● valid" });
});

test("a person who cannot be recognised is not called valid", () => {
  assert.deepEqual(on("2026-11-21", { templates: [] }), { state: "later", words: "○ no pictures yet" });
  assert.deepEqual(on("2026-11-21", { templates: [UNUSABLE] }), { state: "over", words: "✕ enrol again" });
  assert.equal(on("2026-11-21", { templates: [UNUSABLE, TEMPLATE] }).state, "valid");
});

test("validity is a sentence", () => {
  assert.equal(validity(person({})), "Valid without end.");
  assert.equal(validity(person({ valid_from: "2026-11-10" })), "Valid from 10 Nov 2026.");
  assert.equal(validity(person({ valid_until: "2026-11-20" })), "Valid until 20 Nov 2026.");
  assert.equal(validity(person({ valid_from: "2026-11-10", valid_until: "2026-11-20" })), "Valid from 10 Nov 2026 until 20 Nov 2026.");
});

test("an access card is a sentence", () => {
  assert.equal(cardWords(person({ credential: null })), "");
  assert.equal(cardWords(person({ credential: { format: "26", facility: 17, card: 4711 } })), "Access card: 26 bits, facility 17, number 4711.");
  assert.equal(cardWords(person({ credential: { format: "raw", bits: "0101" } })), "Access card: 4 bits.");
});

test("how templates fit is a sentence, and a bad fit says what to do", () => {
  assert.equal(fitWords(person({ fit: null })), "");
  assert.equal(fitWords(person({ fit: { days: 1, first: 0.7, latest: 0.7, worse: false } })), "Cosine at the door: 0.70 at first, 0.70 now (1 day).");
  const text = fitWords(person({ fit: { days: 20, first: 0.7, latest: 0.58, worse: true } }));
  assert.equal(text, "The pictures fit worse than at first: add new ones. Cosine at the door: 0.70 at first, 0.58 now (20 days).");
});

test("templates are counted, with the best of those that are usable", () => {
  assert.equal(templateWords(person({ templates: [] })), "");
  assert.equal(templateWords(person({})), "1 template · best 90%");
  assert.equal(templateWords(person({ templates: [UNUSABLE, UNUSABLE] })), "2 templates · 2 not usable");
  assert.equal(templateWords(person({ templates: [UNUSABLE, TEMPLATE] })), "2 templates · best 90% · 1 not usable");
});

test("a search finds a person whose id, name and groups have all of its words", () => {
  for (const search of ["", "grace", "HOPPER 17", "crew grace"]) assert.ok(matches(person({}), search), search);
  for (const search of ["eileen", "grace 18"]) assert.ok(!matches(person({}), search), search);
});
