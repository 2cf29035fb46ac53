import assert from "node:assert/strict";
import { test } from "node:test";
import { Resting, outcomeOf, padMistake, panelColour, sentenceOf } from "../../appliance/api/web/kiosk_facts.js";

test("a grant shows the person's name, a denial the reason and no name", () => {
  assert.deepEqual(outcomeOf({ result: "granted", text: "Granted.", name: "Grace Hopper" }), { granted: true, title: "GRANTED", detail: "Grace Hopper" });
  assert.deepEqual(outcomeOf({ result: "denied", text: "Not enrolled.", name: null }), { granted: false, title: "DENIED", detail: "Not enrolled." });
});

test("the display rests a minute after the last person, and wakes with the next", () => {
  const resting = new Resting();
  assert.equal(resting.rests(false, 5), false);
  assert.equal(resting.rests(true, 1000), false);
  assert.equal(resting.rests(false, 61000), false);
  assert.equal(resting.rests(false, 61001), true);
  assert.equal(resting.rests(true, 61002), false);
  resting.wake(200000);
  assert.equal(resting.rests(false, 260000), false);
});

test("the panel's light: two colours take turns until their time is over", () => {
  const light = { colours: ["amber", "off"], periods: [0.2, 0.3], seconds: 2 };
  assert.deepEqual([0, 0.1, 0.25, 0.4, 0.5, 1.99, 2].map((after) => panelColour(light, after)),
    ["orange", "orange", "transparent", "transparent", "orange", "transparent", "transparent"]);
  assert.equal(panelColour({ colours: ["green", "green"], periods: [0, 0], seconds: null }, 1e6), "green");
});

test("a PIN has as many digits as the device takes, and an id where it asks for one", () => {
  const wrong = (step, pin, id = "") => padMistake({ least: 4, most: 8, ...step }, pin, id)?.field ?? null;
  assert.deepEqual(["4711", "12345678", "471", "123456789", "47a1", ""].map((pin) => wrong({}, pin)), [null, null, "pin", "pin", "pin", "pin"]);
  assert.equal(wrong({ id: true }, "4711"), "id");
  assert.equal(wrong({ id: true }, "4711", "staff-17"), null);
  assert.equal(sentenceOf("enter your PIN"), "Enter your PIN");
});
