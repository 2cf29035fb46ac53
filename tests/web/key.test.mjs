import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { refusalText } from "../../appliance/api/web/gallery.js";
import { refusalOf } from "../../appliance/api/web/key.js";

const answered = (status, headers = {}) => new Response("{}", { status, headers });

test("a refused key is explained by the status of the answer", () => {
  assert.equal(refusalOf(null, "live"), "The device does not answer.");
  assert.equal(refusalOf(answered(401), "live"), "This device does not know this key.");
  assert.equal(refusalOf(answered(403), "admin"), "This key does not have the scope “admin”.");
  assert.equal(refusalOf(answered(401, { "Retry-After": "30" }), "live"), "Too many wrong keys. Try again in 30 s.");
});

test("a refused request is explained by its reason, the device's text, or its code", () => {
  const body = { return_msg: { return_code: "INF-03", return_msg: "Cannot find uploaded image file (Invalid request body)" } };
  assert.equal(refusalText(null), "The device does not answer.");
  assert.equal(refusalText({ status: 400, body: { ...body, reason: "closer", text: "x" } }), "The face is too small: take a photo that shows it larger.");
  assert.equal(refusalText({ status: 400, body: { ...body, reason: "new", text: "Come closer." } }), "Come closer.");
  assert.equal(refusalText({ status: 400, body }), "The file is empty.");
  assert.match(refusalText({ status: 406, body }), /switched off/);
});
