/* People from a table with photos, row by row, and people and decisions as tables. */

import { harmless, readTable, tableOf } from "./csv.js";
import { $, make, onFiles, save } from "./elements.js";
import { askGallery, gallery, onGallery, refresh, refusalText } from "./gallery.js";
import { requestOwn } from "./key.js";
import { group, text } from "./texts.js";
import { zip } from "./zip.js";

const PARTS = ["row", "id", "result", "templates", "reason", "text"];
const TABLE = /\.(csv|tsv|txt)$/i;
const STATES = group("row"), MISTAKES = group("mistake");

let rows = [], photos = [], results = [], running = false;

/* Sets up the import and the downloads. */
export function setUpTables() {
  onFiles($("table-files"), take);
  $("table-check").onclick = () => run(true);
  $("table-import").onclick = () => run(false);
  $("table-stop").onclick = () => { running = false; };
  $("table-save").onclick = () => save(new File(["\uFEFF", tableOf([PARTS, ...results.map(cellsOf)])], "import.csv", { type: "text/csv" }));
  for (const [id, path] of [["people-table", "people.csv"], ["decisions-table", "access/decisions.csv"]]) $(id).onclick = () => download(path);
  onGallery(() => { $("tables").hidden = !gallery.people; });
}

const cellsOf = (result) => PARTS.map((part) => harmless(String(result[part])));

async function take(files) {
  const table = files.find(({ name }) => TABLE.test(name));
  if (table) rows = readTable(await table.text());
  photos = [...photos, ...files.filter((file) => file.type.startsWith("image/"))];
  const counts = { rows: Math.max(0, rows.filter(filled).length - 1), photos: photos.length };
  const words = Object.entries(counts).map(([what, count]) => text(`table.${what}`, { count }));
  $("table-state").textContent = rows.length ? words.join(" · ") : text("table.choose");
  settle();
}

const filled = (cells) => cells.some((cell) => cell.trim());

function settle() {
  for (const id of ["table-check", "table-import"]) $(id).disabled = running || !rows.length;
  $("table-stop").hidden = !running;
  $("table-save").hidden = running || !results.length;
}

/* Sends the rows one by one, each with its photos: a row is imported as a whole or not at all, and those that are done are unchanged when all are sent again. */
async function run(dryRun) {
  const [header, ...others] = rows;
  const query = `${dryRun ? "dry_run=1&" : ""}on_conflict=${$("table-conflict").value}`;
  running = true;
  results = [];
  $("table-results").replaceChildren();
  settle();
  for (const [index, cells] of others.entries()) {
    if (!running) break;
    $("table-progress").value = (index + 1) / others.length;
    if (!filled(cells)) continue;
    const answer = await askGallery(`/people/import?${query}`, { method: "POST", body: await formOf(header, cells) });
    const [result] = answer?.body.rows ?? [], row = index + 2;
    if (!result && answer?.status !== 413) {
      $("table-state").textContent = text("table.row", { row, what: refusalText(answer) });
      running = false;
      break;
    }
    keep({ ...(result ?? { id: "", result: "refused", templates: 0, reason: "too_large", text: "" }), row });
    $("table-state").textContent = text(dryRun ? "table.checked" : "table.imported", { what: counted(results) });
  }
  running = false;
  settle();
  if (!dryRun) refresh();
}

async function formOf(header, cells) {
  const column = header.findIndex((name) => name.trim().toLowerCase() === "photos");
  const wanted = new Set((cells[column] ?? "").split(/[;|]/).map(keyOf));
  const found = photos.filter(({ name }) => wanted.has(keyOf(name)));
  const form = new FormData();
  form.append("people", new Blob([tableOf([header, cells])]), "people.csv");
  if (found.length) form.append("photos", await zip(found, found.map(({ name }) => name)));
  return form;
}

const keyOf = (name) => name.split(/[/\\]/).at(-1).trim().normalize("NFC").toLowerCase();

function keep(found) {
  const { row, id, result, reason, text: words } = found;
  const [, about = ""] = /^(.+?): /.exec(words) ?? []; // the column, photo or other person that is in the way
  const what = reason ? (reason === "invalid_row" && MISTAKES[about]) || refusalText({ body: found }) : STATES[result];
  const subject = [id, about].filter(Boolean).join(" · ");
  results.push({ ...found, text: reason && [about, what].filter(Boolean).join(": ") });
  $("table-results").prepend(make("li", { data: { result } }, text(subject ? "table.person" : "table.row", { row, id: subject, what })));
}

/* Returns how many rows have which result, in words. */
export function counted(found) {
  const counts = new Map();
  for (const { result } of found) counts.set(result, (counts.get(result) ?? 0) + 1);
  return [...counts].map(([result, count]) => text(`rows.${result}`, { count })).join(" · ");
}

async function download(path) {
  const response = await requestOwn(`/${path}`).catch(() => null);
  if (response?.ok) save(new File([await response.blob()], path.split("/").at(-1), { type: "text/csv" }));
  else $("table-state").textContent = response ? refusalText({ status: response.status, body: await response.json() }) : refusalText(null);
}
