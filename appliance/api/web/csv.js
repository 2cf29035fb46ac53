/* CSV tables (RFC 4180). */

const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/; // what a spreadsheet would run; the device writes and reads an apostrophe before it, too

/* Returns the rows of a table, each as its cells; they are separated by what its first line has most of: commas, semicolons or tabs. */
export function readTable(text) {
  const plain = text.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const [head] = plain.split("\n", 1);
  const separator = [",", ";", "\t"].reduce((best, each) => (head.split(each).length > head.split(best).length ? each : best));
  const cell = new RegExp(`("(?:[^"]|"")*"|[^${separator}\n]*)(${separator}|\n|$)`, "gy");
  const rows = [[]];
  for (const [whole, content, end] of plain.matchAll(cell)) {
    if (!whole) break;
    rows.at(-1).push(content.startsWith('"') ? content.slice(1, -1).replaceAll('""', '"') : content);
    if (end === "\n") rows.push([]);
  }
  return rows;
}

/* Returns rows of cells as a table. */
export const tableOf = (rows) => rows.map((cells) => `${cells.map((cell) => `"${String(cell).replaceAll('"', '""')}"`).join(",")}\r\n`).join("");

/* Returns a cell that no spreadsheet runs as a formula. */
export const harmless = (cell) => (FORMULA.test(cell) ? `'${cell}` : cell);
