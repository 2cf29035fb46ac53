import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { counted, degrees, verdict } from "../../appliance/api/web/elements.js";

test("faces are counted in words", () => {
  assert.deepEqual([0, 1, 2].map(counted), ["No faces.", "One face.", "2 faces."]);
});

test("degrees have a sign unless they are rounded to 0", () => {
  assert.deepEqual([-12.4, -0.6, -0.5, 0, 0.4, 0.5, 7].map(degrees), ["−12°", "−1°", "0°", "0°", "0°", "+1°", "+7°"]);
});

test("a verdict is given once there is a confidence", () => {
  assert.equal(verdict(undefined, ", "), "");
  assert.equal(verdict(0.5, ", "), ", live 50%");
  assert.equal(verdict(0.49), "not live 49%");
});
