import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { cardMistakes, credentialOf, groupsIn, mistakes } from "../../appliance/api/web/fields.js";

const PERSON = { id: "staff-17", name: "Grace", groups: ["staff"], valid_from: null, valid_until: null };
const wrong = (changes) => [...mistakes({ ...PERSON, ...changes })];

test("a valid person has no mistakes, with or without an id", () => {
  assert.deepEqual(wrong({}), []);
  assert.deepEqual(wrong({ id: undefined }), []);
  assert.deepEqual(wrong({ valid_from: "2026-11-28", valid_until: "2026-11-28" }), []);
});

test("each mistake names its field", () => {
  assert.deepEqual(wrong({ name: "" }), ["name"]);
  for (const id of ["", "a b", "-a", "ü", "a".repeat(65)]) assert.deepEqual(wrong({ id }), ["id"], id);
  for (const id of ["a", "a".repeat(64), "0.b_c@d-e"]) assert.deepEqual(wrong({ id }), [], id);
  assert.deepEqual(wrong({ groups: ["staff", "a!b"] }), ["groups"]);
  assert.deepEqual(wrong({ groups: Array.from({ length: 17 }, (_, index) => `g${index}`) }), ["groups"]);
  assert.deepEqual(wrong({ valid_from: "2026-11-29", valid_until: "2026-11-28" }), ["valid_until"]);
  assert.deepEqual(wrong({ id: "", name: "", groups: ["a!b"] }), ["name", "id", "groups"]);
});

test("groups are separated by commas, semicolons or spaces, and named once", () => {
  assert.deepEqual(groupsIn(" staff,crew ; staff、 night-shift,"), ["staff", "crew", "night-shift"]);
  assert.deepEqual(groupsIn(""), []);
});

test("a card has the numbers of its format, or bits", () => {
  const wrongCard = (...values) => [...cardMistakes(credentialOf(...values))];
  assert.equal(credentialOf("", "1", "2", "3"), null);
  assert.deepEqual(wrongCard("", "x", "y", "z"), []);
  assert.deepEqual(credentialOf("26", "17", "4711", ""), { format: "26", facility: 17, card: 4711 });
  assert.deepEqual(credentialOf("raw", "", "", "0101"), { format: "raw", bits: "0101" });
  assert.deepEqual(wrongCard("26", "255", "65535", ""), []);
  assert.deepEqual(wrongCard("37", "65535", "524287", ""), []);
  assert.deepEqual(wrongCard("26", "256", "65536", ""), ["facility", "card"]);
  assert.deepEqual(wrongCard("34", "", "-1", ""), ["facility", "card"]);
  assert.deepEqual(wrongCard("raw", "", "", "012"), ["bits"]);
  assert.deepEqual(wrongCard("raw", "", "", "1".repeat(129)), ["bits"]);
});
