import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { ARROWS, POSES, PROMPTS, guide } from "../../appliance/api/web/guidance.js";

const BOX = { x: 500, y: 200, width: 200, height: 200 };
const GOOD = { overall: 0.9, weakest: "light" };
const seen = ({ yaw = 0, pitch = 0, box = BOX, quality = GOOD } = {}) =>
  ({ width: 1280, height: 720, faces: [{ box, pose: { yaw, pitch, roll: 0 }, quality }] });

test("exactly one face is wanted", () => {
  const [face] = seen().faces;
  assert.equal(guide({ ...seen(), faces: [] }, "front"), "nobody");
  assert.equal(guide({ ...seen(), faces: [face, face] }, "front"), "more_than_one");
});

test("a face within its pose's window is taken, up to the window's edges", () => {
  for (const [pose, yaws] of Object.entries({ front: [-15, 0, 15], left: [15, 40], right: [-40, -15] })) {
    for (const yaw of yaws) assert.equal(guide(seen({ yaw }), pose), null, `${pose} ${yaw}`);
  }
});

test("a nose towards the picture's right is a head turned to the person's left", () => {
  assert.equal(guide(seen({ yaw: 14 }), "left"), "turn_left");
  assert.equal(guide(seen({ yaw: 41 }), "left"), "turn_right");
  assert.equal(guide(seen({ yaw: -14 }), "right"), "turn_right");
  assert.equal(guide(seen({ yaw: -41 }), "right"), "turn_left");
});

test("a head that is too low looks up, and one that is too high looks down", () => {
  assert.equal(guide(seen({ yaw: 20, pitch: -21 }), "left"), "look_up");
  assert.equal(guide(seen({ yaw: 20, pitch: 21 }), "left"), "look_down");
});

test("for the front any turn asks for the same", () => {
  for (const turn of [{ yaw: 16 }, { yaw: -16 }, { pitch: 16 }, { pitch: -16 }]) assert.equal(guide(seen(turn), "front"), "look_front");
});

test("a face beyond the border by more than a tenth of its width steps back", () => {
  assert.equal(guide(seen({ box: { ...BOX, x: -20 } }), "front"), null);
  for (const box of [{ ...BOX, x: -21 }, { ...BOX, y: -21 }, { ...BOX, x: 1101 }, { ...BOX, y: 541 }]) {
    assert.equal(guide(seen({ box }), "front"), "farther");
  }
});

test("a poor picture asks for what is weakest in it", () => {
  for (const [weakest, prompt] of Object.entries({ size: "closer", sharpness: "hold_still", light: "more_light", pose: "look_front", visibility: "covered" })) {
    assert.equal(guide(seen({ quality: { overall: 0.59, weakest } }), "front"), prompt);
  }
});

test("every arrow belongs to a prompt and every pose has a title", () => {
  for (const name of Object.keys(ARROWS)) assert.ok(PROMPTS[name], name);
  assert.deepEqual(Object.keys(POSES), ["front", "left", "right"]);
});
