import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { base64url, centredIn, lockWords } from "../../appliance/api/web/monitor.js";

test("bytes become URL-safe base64 that Node reads back", () => {
  for (let length = 0; length < 40; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length * 251) & 255);
    assert.equal(base64url(bytes), Buffer.from(bytes).toString("base64url"));
  }
  assert.equal(base64url(Uint8Array.of(255, 254, 253)), "__79");
});

test("a face belongs to the box that has its centre", () => {
  const box = { x: 100, y: 100, width: 50, height: 50 };
  assert.ok(centredIn({ x: 110, y: 90, width: 50, height: 50 }, box));
  assert.ok(!centredIn({ x: 150, y: 100, width: 50, height: 50 }, box));
  assert.ok(!centredIn({ x: 100, y: 160, width: 50, height: 50 }, box));
});

test("the state of a door has what the device knows of it", () => {
  assert.equal(lockWords({ open: true, relay: false }), "Open · Locked");
  assert.equal(lockWords({ open: null, relay: true }), "Unlocked");
  assert.equal(lockWords({ open: false, relay: null }), "Shut");
  assert.equal(lockWords({ open: null, relay: null }), "Neither a door contact nor a relay works.");
});
