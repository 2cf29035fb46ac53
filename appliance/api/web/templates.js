/* A person's templates, as a list. */

import { make, meter } from "./elements.js";
import { day, group, percent, text } from "./texts.js";

const SOURCES = group("source");
const FINE_FROM = 0.7; // the quality from which a template needs no improvement

/* Returns a list item about a template; with `remove`, it has a button that calls it. */
export function templateItem(template, remove) {
  const { number, quality, source, created, usable, pictured } = template;
  const words = [SOURCES[source] ?? source, day(created), pictured ? text("template.pictured") : ""].filter(Boolean).join(" · ");
  const item = make("li", { data: { template: number, usable } },
    make("span", { className: "number" }, text("template.number", { number })),
    make("span", { className: "quiet" }, words),
    meter(quality, FINE_FROM, text("template.quality", { number })),
    make("span", { className: "figures" }, percent(quality)));
  if (remove) item.append(make("button", { type: "button", onclick: remove, ariaLabel: text("template.remove", { number }) }, text("page.remove")));
  if (!usable) item.append(make("strong", { className: "unusable" }, text("template.other_embedder")));
  return item;
}
