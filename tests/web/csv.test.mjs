import assert from "node:assert/strict";
import { test } from "node:test";

import "./english.mjs";
import { harmless, readTable, tableOf } from "../../appliance/api/web/csv.js";
import { counted } from "../../appliance/api/web/tables.js";

test("a table is read as a spreadsheet saves it", () => {
  assert.deepEqual(readTable('\uFEFFid,name\r\na,"Ada ""L"", x"\r\nb,B\r\n'), [["id", "name"], ["a", 'Ada "L", x'], ["b", "B"], []]);
  assert.deepEqual(readTable("id;name;photos\na;A;x,y.jpg"), [["id", "name", "photos"], ["a", "A", "x,y.jpg"]]);
  assert.deepEqual(readTable('id\tname\n"a\nb"\t'), [["id", "name"], ["a\nb"]]);
});

test("what is written is read again", () => {
  const rows = [["id", "name"], ["a", 'x "y", z;\n'], ["", " "]];
  assert.deepEqual(readTable(tableOf(rows)), [...rows, []]);
});

test("no cell is a formula", () => {
  for (const cell of ["=1", "+1", "-1", "@x", "\t", "'=1", "＝1"]) assert.equal(harmless(cell), `'${cell}`);
  for (const cell of ["Ada", "'Ada'", "1-2"]) assert.equal(harmless(cell), cell);
});

test("results are counted in words", () => {
  assert.equal(counted([{ result: "added" }, { result: "refused" }, { result: "added" }]), "2 added · 1 refused");
});
