import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { explained } from "../../appliance/api/web/advice.js";

test("a result code becomes sentences, whether its message ends with a full stop or not", () => {
  const count = { return_code: "INF-24", return_msg: "FaceSDK - Multiframe liveness: Invalid image files count" };
  assert.equal(explained(count), "INF-24: FaceSDK - Multiframe liveness: Invalid image files count. There must be exactly four pictures.");
  assert.match(explained({ return_code: "INF-02", return_msg: "Request URL Query failed." }), /^INF-02: Request URL Query failed\. Enter/);
});

test("a code without a hint is a fault of the device", () => {
  assert.equal(explained({ return_code: "INF-13", return_msg: "Failed." }), "INF-13: Failed. This is a fault of the device; see its log.");
});
