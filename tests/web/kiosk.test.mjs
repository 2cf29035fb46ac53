import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { Resting, outcomeOf, padMistake, panelColour, stepText } from "../../appliance/api/web/kiosk_facts.js";

test("a grant shows the person's name, a denial the reason and no name", () => {
  assert.deepEqual(outcomeOf({ result: "granted", reason: "granted", text: "access granted", name: "Grace Hopper" }), { granted: true, title: "GRANTED", detail: "Grace Hopper" });
  assert.deepEqual(outcomeOf({ result: "denied", reason: "unknown", text: "not enrolled", name: null }), { granted: false, title: "DENIED", detail: "Not enrolled" });
  assert.equal(outcomeOf({ result: "denied", reason: "new", text: "of a newer device", name: null }).detail, "of a newer device");
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
});

test("a step asks for a PIN, for an id as well, or for a movement of the head", () => {
  assert.equal(stepText({ kind: "pin", id: false, text: "a PIN is required as well" }), "Enter your PIN");
  assert.equal(stepText({ kind: "pin", id: true, text: "not recognised" }), "Not recognised: enter your ID and PIN");
  assert.equal(stepText({ kind: "challenge", prompt: "turn_left", text: "Turn." }), "Turn your head to your left");
  assert.equal(stepText({ kind: "challenge", prompt: "new", text: "Nod." }), "Nod.");
});
