#!/usr/bin/env bash
# @exadel/compreface-js-sdk 1.0.0 (npm), the official client of CompreFace; 2026-11-28.
#
# Question: the client is made with the default `{ det_prob_threshold: 0.8 }`. For one picture `recognize(photo, { det_prob_threshold: 0.99 })` asks
# for more. Which threshold is sent?
# Guess: 0.99. The argument of a call overrides a default, and the package's README says so in these words.
# Seen: 0.8. Defaults are merged over arguments, so no call can ask for anything else than the default.
set -euo pipefail
. "$(dirname "$0")/packages"
in_node @exadel/compreface-js-sdk@1.0.0 <<'PROGRAM'
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { CompreFace } from "@exadel/compreface-js-sdk";

let asked;
const server = http.createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    asked = new URL(request.url, "http://device").searchParams;
    response.setHeader("Content-Type", "application/json");
    response.end("{}");
  });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const client = new CompreFace("http://127.0.0.1", server.address().port, { det_prob_threshold: 0.8 });
fs.writeFileSync("./photo.jpg", "a photo");
await client.initFaceRecognitionService("a-key").recognize("./photo.jpg", { det_prob_threshold: 0.99 });
server.close();
console.log(String(asked));
assert.equal(asked.get("det_prob_threshold"), "0.8");
assert.match(
  fs.readFileSync("node_modules/@exadel/compreface-js-sdk/README.md", "utf8"),
  /passed as a function argument then the function argument value will be used/,
);
PROGRAM
