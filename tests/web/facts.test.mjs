import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { duration, operatingPoints, times } from "../../appliance/api/web/facts.js";

const SHIPPED = { source: "shipped", ignored: null, date: null, wanted: {} };
const OWN = { source: "device", ignored: null, date: "2026-11-26T23:59:59Z", wanted: { fmr: 0.001 } };

test("a duration has its two largest units", () => {
  const seconds = [0, 59.9, 60, 3599, 3600, 86_399, 86_400, 90_000_000];
  const words = ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min", "23 h 59 min", "1 d 0 h", "1,041 d 16 h"];
  assert.deepEqual(seconds.map(duration), words);
});

test("how often is said in words", () => {
  assert.deepEqual([0, 1, 2].map(times), ["never", "once", "2 times"]);
});

test("operating points that are alike are named once", () => {
  assert.equal(operatingPoints({ similarity: SHIPPED, liveness: SHIPPED }), "shipped");
});

test("an operating point names its day and rate, or why the calibration is ignored", () => {
  assert.equal(operatingPoints({ similarity: OWN, liveness: SHIPPED }), "similarity calibrated 26 Nov 2026 (FMR 0.1%), liveness shipped");
  assert.match(operatingPoints({ similarity: OWN, liveness: { ...SHIPPED, ignored: "stale" } }), /liveness shipped \(the calibration is stale\)$/);
});

test("no operating points are a dash", () => {
  assert.equal(operatingPoints({}), "–");
});
