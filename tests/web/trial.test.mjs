import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import "./english.mjs";
import { bytesOf } from "../../appliance/api/web/marks.js";
import { formFile, legible, quoted, timing } from "../../appliance/api/web/trial.js";

const stages = (...pairs) => pairs.map(([name, ms]) => ["", name, ms]);

test("times name the stages, if there are any", () => {
  const answer = { status: 200, stages: stages(["detect", "1.26"], ["align", "0.04"], ["total", "3.14159"]), took: 12.6 };
  assert.equal(timing(answer), "HTTP 200 · 3.1 ms on the device (detect 1.3, align 0.0) · 13 ms in total");
  assert.equal(timing({ status: 400, stages: stages(["total", "0.6"]), took: 5 }), "HTTP 400 · 0.6 ms on the device · 5 ms in total");
  assert.equal(timing({ status: 502, stages: [], took: 5 }), "HTTP 502 · 5 ms in total");
});

test("a shell reads a quoted text back as it was", () => {
  for (const text of ["plain.jpg", "it's, \"me\"; and.jpg", "$HOME `id` \\ *", "", "ü\n-n"]) {
    assert.equal(execFileSync("sh", ["-c", `printf %s ${quoted(text)}`], { encoding: "utf8" }), text);
  }
  assert.equal(quoted("http://host:9297/faces"), "http://host:9297/faces");
});

test("a file name for curl's -F is quoted where a character has a meaning", () => {
  assert.equal(formFile("four.zip"), "four.zip");
  assert.equal(formFile('a;b",\\c'), '"a;b\\",\\\\c"');
});

test("base64 becomes its bytes", () => {
  assert.deepEqual([...bytesOf("AAH+/w==")], [0, 1, 254, 255]);
});

test("long arrays and strings are shortened, short ones are not", () => {
  const points = Array.from({ length: 106 }, (_, x) => ({ x }));
  const shown = JSON.parse(legible({ points, four: [1, 2, 3, 4], data: "a".repeat(50_176), text: "a".repeat(80), none: null }));
  assert.deepEqual(shown.points, [{ x: 0 }, { x: 1 }, "… 104 more"]);
  assert.deepEqual(shown.four, [1, 2, 3, 4]);
  assert.equal(shown.data, `${"a".repeat(32)}… 50,176 characters`);
  assert.equal(shown.text, "a".repeat(80));
  assert.equal(shown.none, null);
});

test("small objects are on one line", () => {
  assert.equal(legible({ box: { x: 1.5, y: 2 } }), '{\n  "box": { "x": 1.5, "y": 2 }\n}');
});
