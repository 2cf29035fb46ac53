import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { outline, rows } from "../../appliance/api/web/reference.js";

const COMPONENTS = {
  Box: { type: "object", properties: { x: { type: "number" }, y: { type: "number" } }, required: ["x"] },
};

test("a schema is outlined in one line", () => {
  assert.equal(outline({ $ref: "#/components/schemas/Box" }, COMPONENTS), "{ x: number, y?: number }");
  assert.equal(outline({ type: "array", items: { $ref: "#/components/schemas/Box" } }, COMPONENTS), "[ { x: number, y?: number } … ]");
  assert.equal(outline({ anyOf: [{ type: "string" }, { type: "null" }] }, COMPONENTS), "string or null");
  assert.equal(outline({ type: "string", description: "4 to 8 digits." }, COMPONENTS), "string (4 to 8 digits.)");
  assert.equal(outline({ enum: ["a", "b"] }, COMPONENTS), "a | b");
  assert.equal(outline({ const: 112 }, COMPONENTS), 112);
  assert.equal(outline(undefined, COMPONENTS), "any");
});

test("an operation has rows for its key, query, body and statuses", () => {
  const operation = {
    parameters: [{ name: "count", in: "query", description: "Most.", schema: { type: "integer" } }],
    requestBody: { content: { "image/png": { schema: { type: "string" } } } },
    responses: { 200: { content: { "application/json": { schema: { $ref: "#/components/schemas/Box" } } } } },
    security: [{ bearer: ["admin"] }],
  };
  assert.deepEqual(rows(operation, COMPONENTS), [
    ["key", "admin"],
    ["count", "query, integer. Most."],
    ["body", "image/png: string"],
    ["200", "application/json: { x: number, y?: number }"],
  ]);
  assert.deepEqual(rows({ parameters: [], responses: {} }, COMPONENTS), [["key", "none"]]);
  assert.deepEqual(rows({ parameters: [], responses: {}, security: [{ bearer: [] }] }, COMPONENTS), [["key", "any"]]);
});
