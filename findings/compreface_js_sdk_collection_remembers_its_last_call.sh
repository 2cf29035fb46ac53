#!/usr/bin/env bash
# @exadel/compreface-js-sdk 1.0.0 (npm), the official client of CompreFace; 2026-11-28.
#
# Question: `faces = service.getFaceCollection()`. Two photos are erased, `await faces.delete("a")` and `await faces.delete("b")`, then
# `await faces.list()`. Which requests does the server receive?
# Guess: DELETE /api/v1/recognition/faces/a, DELETE …/faces/b, GET …/faces.
# Seen: DELETE …/faces/a, DELETE …/faces/a/b, GET …/faces/a/b. `delete`, `verify` and `delete_all_subject` append to an address that all methods
# of the object share, so each works once. `getSubjects()` is built alike: renaming after an erasure addresses a subject that does not exist.
# Call `getFaceCollection()` anew for each request; a photo that "was erased" second is still there.
set -euo pipefail
. "$(dirname "$0")/packages"
in_node @exadel/compreface-js-sdk@1.0.0 <<'PROGRAM'
import assert from "node:assert/strict";
import http from "node:http";
import { CompreFace } from "@exadel/compreface-js-sdk";

const seen = [];
const server = http.createServer((request, response) => {
  seen.push(`${request.method} ${request.url.replace("/api/v1/recognition", "")}`);
  response.setHeader("Content-Type", "application/json");
  response.end("{}");
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const service = new CompreFace("http://127.0.0.1", server.address().port).initFaceRecognitionService("a-key");

const faces = service.getFaceCollection();
await faces.delete("a");
await faces.delete("b");
await faces.list();
const subjects = service.getSubjects();
await subjects.delete("Ann");
await subjects.rename("Bob", "Rob");
await service.getFaceCollection().delete("b");
server.close();
console.log(seen.join("\n"));
assert.deepEqual(seen, [
  "DELETE /faces/a",
  "DELETE /faces/a/b",
  "GET /faces/a/b",
  "DELETE /subjects/Ann",
  "PUT /subjects/Ann/Bob",
  "DELETE /faces/b",
]);
PROGRAM
