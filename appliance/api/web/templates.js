/* A person's templates, as a list. */

import { make, meter } from "./elements.js";
import { day, percent } from "./texts.js";

const SOURCES = { camera: "camera", photo: "photo", decision: "added automatically after a decision at the door" };
const FINE_FROM = 0.7; // the quality from which a template needs no improvement

/* Returns a list item about a template; with `remove`, it has a button that calls it. */
export function templateItem(template, remove) {
  const { number, quality, source, created, usable, pictured } = template;
  const words = [SOURCES[source] ?? source, day(created), pictured ? "picture kept" : ""].filter(Boolean).join(" · ");
  const item = make("li", { data: { template: number, usable } },
    make("span", { className: "number" }, `Template ${number}`),
    make("span", { className: "quiet" }, words),
    meter(quality, FINE_FROM, `Quality of template ${number}`),
    make("span", { className: "figures" }, percent(quality)));
  if (remove) item.append(make("button", { type: "button", onclick: remove, ariaLabel: `Remove template ${number}` }, "Remove"));
  if (!usable) item.append(make("strong", { className: "unusable" }, "Not usable: made by another embedder. Enrol this person again."));
  return item;
}
