#!/usr/bin/env bash
# @exadel/compreface-js-sdk 1.0.0 (npm), the official client of CompreFace; 2026-11-28.
#
# Question: `faces.add("./ann.jpg", "Ann", { det_prob_threshold: 0.9 })` enrols Ann, only from a face that is found with confidence. Under which
# name does the server enrol the photo, and with which threshold?
# Guess: "Ann", 0.9: POST /api/v1/recognition/faces?subject=Ann&det_prob_threshold=0.9.
# Seen: "Ann?det_prob_threshold=0.9", with the server's own threshold. The separator of the first option is "?" whatever stands before it. Without
# the option the name is right, so one person becomes two. `detect` and `verify` with two options and no `limit` have the same fault: the value
# of the first is "0.9?status=true".
set -euo pipefail
. "$(dirname "$0")/packages"
in_node @exadel/compreface-js-sdk@1.0.0 <<'PROGRAM'
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { CompreFace } from "@exadel/compreface-js-sdk";

const seen = [];
const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    seen.push(Object.fromEntries(new URL(request.url, "http://device").searchParams));
    response.setHeader("Content-Type", "application/json");
    response.end("{}");
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const client = new CompreFace("http://127.0.0.1", server.address().port);
const faces = client.initFaceRecognitionService("a-key").getFaceCollection();
fs.writeFileSync("./ann.jpg", "a photo");

await faces.add("./ann.jpg", "Ann", {});
await faces.add("./ann.jpg", "Ann", { det_prob_threshold: 0.9 });
await client.initFaceDetectionService("a-key").detect("./ann.jpg", { det_prob_threshold: 0.9, status: "true" });
server.close();
console.log(seen);
assert.deepEqual(seen, [
  { subject: "Ann" },
  { subject: "Ann?det_prob_threshold=0.9" },
  { det_prob_threshold: "0.9?status=true" },
]);
PROGRAM
