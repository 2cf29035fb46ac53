import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { decisionWords, lagWords, placeWords, seenWords, statusOf } from "../../appliance/api/web/fleet.js";

test("a device that does not answer is silent, and before that is known one that has said nothing for long", () => {
  assert.equal(statusOf({ status: "ok", seen_s: 31, online: null }), "ok");
  assert.equal(statusOf({ status: "ok", seen_s: 91, online: null }), "silent");
  assert.equal(statusOf({ status: "fault", seen_s: 91, online: true }), "fault");
  assert.equal(statusOf({ status: "ok", seen_s: 3, online: false }), "silent");
});

test("whether a device is there is said in words", () => {
  assert.equal(seenWords({ seen_s: 31, online: null }), "last report 31 s ago");
  assert.equal(seenWords({ seen_s: 31, online: true }), "online now");
  assert.equal(seenWords({ seen_s: 31, online: false }), "offline, last report 31 s ago");
});

test("how far a device is behind is said in words", () => {
  assert.equal(lagWords({ behind: 0, unshared: 0, differing: 0 }), "up to date");
  assert.equal(lagWords({ behind: 1, unshared: 0, differing: 2 }), "one change behind, 2 people differ");
  assert.equal(lagWords({ behind: 1200, unshared: 1, differing: 0 }), "1,200 changes behind, one person not shared yet");
});

test("a decision is said in words, with its reason if it was denied, and its day if that is past", () => {
  const now = new Date().toISOString();
  assert.match(decisionWords({ time: now, result: "granted", reason: "granted", direction: "in" }), /^Granted \(In\) · \d+:\d\d:\d\d$/);
  const denied = decisionWords({ time: "2020-01-02T12:00:00Z", result: "denied", reason: "already_out", direction: "out" });
  assert.match(denied, /^Denied \(Out\) · Already out; must come in first · \d Jan 2020 \d+:\d\d:\d\d$/);
});

test("where a person is known is said in words", () => {
  const names = { a: "Door A", b: "Door B" };
  assert.equal(placeWords({ state: "shared", missing: [] }, names), "known on all devices");
  assert.equal(placeWords({ state: "shared", missing: ["b", "c"] }, names), "not yet on Door B, c");
  assert.equal(placeWords({ state: "unshared", missing: ["a", "b"] }, names), "not shared yet");
  assert.equal(placeWords({ state: "differs", missing: [] }, names), "differs from the fleet’s person with this ID");
});
