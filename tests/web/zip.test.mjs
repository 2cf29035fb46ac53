import assert from "node:assert/strict";
import { File } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { zip } from "../../appliance/api/web/zip.js";

globalThis.File ??= File; // global from Node 20 on

test("files keep their names, in UTF-8", async () => {
  const archive = await zip([new Blob(["a"])], ["Zoë 1.jpg"]);
  const folder = mkdtempSync(join(tmpdir(), "zip-"));
  try {
    writeFileSync(join(folder, "a.zip"), Buffer.from(await archive.arrayBuffer()));
    execFileSync("python3", ["-m", "zipfile", "-e", "a.zip", "."], { cwd: folder });
    assert.equal(readFileSync(join(folder, "Zoë 1.jpg"), "utf-8"), "a");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("Python unpacks the zip into the pictures it was made of", async () => {
  const pictures = [Buffer.from([0xff, 0xd8, 1, 2]), Buffer.from([0x89, 0x50, 3]), Buffer.alloc(0), Buffer.alloc(70_000, 9)];
  const archive = await zip(pictures.map((bytes) => new Blob([bytes])));
  assert.equal(archive.name, "frames.zip");
  const folder = mkdtempSync(join(tmpdir(), "zip-"));
  try {
    writeFileSync(join(folder, archive.name), Buffer.from(await archive.arrayBuffer()));
    execFileSync("python3", ["-m", "zipfile", "-e", archive.name, "."], { cwd: folder });
    for (const [index, name] of ["1.jpg", "2.png", "3.jpg", "4.jpg"].entries()) {
      assert.deepEqual(readFileSync(join(folder, name)), pictures[index], name);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
