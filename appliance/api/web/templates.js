/* What recognises a person, as a list. */

import { make, meter, percent } from "./elements.js";

const SOURCES = { camera: "camera", photo: "photograph" };
const FINE_FROM = 0.7; // quality from which nothing needs mending

/* One template; `forget` adds a button that calls it. */
export function templateItem(template, forget) {
  const { number, quality, source, created, usable, pictured } = template;
  const words = [SOURCES[source] ?? source, day(created), pictured ? "picture kept" : ""].filter(Boolean).join(" · ");
  const item = make("li", { data: { template: number, usable } },
    make("span", { className: "number" }, `Template ${number}`),
    make("span", { className: "quiet" }, words),
    meter(quality, FINE_FROM, `Quality of template ${number}`),
    make("span", { className: "figures" }, percent(quality)));
  if (forget) item.append(make("button", { type: "button", onclick: forget, ariaLabel: `Remove template ${number}` }, "Remove"));
  if (!usable) item.append(make("strong", { className: "unusable" }, "Not usable: made by another embedder. Enrol again."));
  return item;
}

/* A moment as a day, here. */
export const day = (moment) => new Date(moment).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
