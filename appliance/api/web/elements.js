/* Elements, numbers and files, as both pages use them. */

import { percent, text } from "./texts.js";

const ANNOUNCE_MS = 4000; // at most one announcement in this time: a screen reader needs about as long for a sentence
export const LIVE_FROM = 0.5; // the confidence from which a face counts as live

export const $ = (id) => document.getElementById(id);
export const counted = (count) => text("face.count", { count });
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));
export const degrees = (angle) => `${angle < -0.5 ? "−" : angle >= 0.5 ? "+" : ""}${Math.abs(Math.round(angle))}°`;

export const verdict = (confidence, before = "") =>
  confidence === undefined ? "" : before + text(confidence >= LIVE_FROM ? "face.live" : "face.not_live", { share: percent(confidence) });

/* Returns an element with the given properties, data attributes (`data`) and children; strings become text nodes. */
export function make(tag, options = {}, ...children) {
  const { data = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/* Opens a dialog with this title and content, which is removed when it is closed; returns it. */
export function openDialog(title, ...content) {
  const dialog = make("dialog", { className: "card ask", onclose: () => dialog.remove() });
  dialog.setAttribute("aria-labelledby", "dialog-title");
  const close = make("button", { type: "button", className: "main", onclick: () => dialog.close() }, text("page.close"));
  dialog.append(make("h2", { id: "dialog-title" }, title), ...content, make("div", { className: "buttons" }, close));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/* Returns a picture of a code, which the device has drawn as SVG. */
export const codePicture = (svg, alt) => make("img", { className: "code", alt, src: `data:image/svg+xml;base64,${btoa(svg)}` });

/* Returns an SVG element. */
export function drawn(tag, attributes, words = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = words;
  return element;
}

/* Returns a bar from 0 to 1 with a mark at the threshold. */
export function meter(share, threshold, label) {
  const bar = make("span", { className: share >= threshold ? "good" : "bad" });
  bar.style.width = `${Math.round(share * 100)}%`;
  const range = { ariaLabel: label, ariaValueNow: share.toFixed(2), ariaValueMin: 0, ariaValueMax: 1 };
  const scale = make("span", { className: "bar", role: "meter", ...range }, bar);
  scale.style.setProperty("--threshold", `${threshold * 100}%`);
  return scale;
}

/* Returns a list of values with their names. */
export const described = (names, facts) => Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, names[name]), make("dd", {}, value)));

/* Announces a change to screen readers; of changes in quick succession only the newest. */
export function announce(words) {
  announce.next = words;
  announce.timer ??= setTimeout(() => {
    announce.timer = undefined;
    $("announcement").textContent = announce.next;
  }, ANNOUNCE_MS);
}

/* Calls `take` with the files that are chosen in a file input or dropped on the zone around it. */
export function onFiles(input, take) {
  const zone = input.closest(".drop");
  input.onchange = () => { take([...input.files]); input.value = ""; };
  zone.ondragover = () => zone.classList.add("over");
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = ({ dataTransfer }) => { zone.classList.remove("over"); take([...dataTransfer.files]); };
}

/* Keeps the browser from opening a file that is dropped anywhere else. */
export function ignoreDrops() {
  for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
}

/* Offers a file as a download. */
export function save(file) {
  const url = URL.createObjectURL(file);
  make("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/* Returns a text with its label and a button that copies it. */
export function copyable(label, words) {
  return make("div", { className: "curl" }, make("span", {}, label),
    make("button", { type: "button", className: "copy", onclick: ({ currentTarget }) => copy(currentTarget) }, text("page.copy")),
    make("pre", { tabIndex: 0, role: "region", ariaLabel: label }, words));
}

/* Copies the text beside a button to the clipboard. */
export async function copy(button) {
  const shown = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(shown.textContent);
  } catch { // over plain HTTP from another machine browsers offer no clipboard
    getSelection().selectAllChildren(shown);
    document.execCommand("copy");
  }
  button.textContent = text("page.copied");
  setTimeout(() => { button.textContent = text("page.copy"); }, 2000);
}
