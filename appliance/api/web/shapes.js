/* Icons, so that nothing is shown by colour alone. */

import { drawn } from "./elements.js";

const TICK = "M10 16.5l4.5 4.5L23 11.5", CROSS = "M11 11l10 10M21 11L11 21";
const QUESTION = "M12.5 12.5a3.5 3.5 0 1 1 5 3.2c-1 .6-1.5 1.2-1.5 2.6M16 22v.4";
const ROUND = "M16 3a13 13 0 1 1 0 26a13 13 0 1 1 0-26z";
const SHAPES = {
  granted: [ROUND, TICK],
  denied: ["M10.6 3h10.8L29 10.6v10.8L21.4 29H10.6L3 21.4V10.6z", CROSS],
  identified: [ROUND, "M16 9a4 4 0 1 1 0 8a4 4 0 1 1 0-8zM8.5 24.500c1-4 4-5.500 7.500-5.500s6.500 1.500 7.500 5.500"],
  unknown: ["M16 2l14 14l-14 14L2 16z", QUESTION],
  ambiguous: ["M16 4l14 24H2z", "M16 12v8M16 23.600v.4"],
  neutral: [ROUND, "M10 16h12"],
  left: ["M20 6L10 16l10 10"],
  right: ["M12 6l10 10l-10 10"],
  up: ["M6 20L16 10l10 10"],
  down: ["M6 12l10 10l10-10"],
};

/* Returns one of SHAPES as an SVG element. */
export function shape(name) {
  const svg = drawn("svg", { viewBox: "0 0 32 32", class: `shape ${name}`, "aria-hidden": "true" });
  svg.append(...SHAPES[name].map((d) => drawn("path", { d })));
  return svg;
}
