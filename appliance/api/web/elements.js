/* What both pages make of elements, numbers and files. */

const ANNOUNCE_MS = 4000;
export const LIVE_FROM = 0.5;

export const $ = (id) => document.getElementById(id);
export const counted = (count) => (count === 1 ? "One face." : `${count || "No"} faces.`);
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));
export const percent = (share) => `${Math.round(share * 100)} %`;
export const degrees = (angle) => `${angle < -0.5 ? "−" : angle >= 0.5 ? "+" : ""}${Math.abs(Math.round(angle))}°`;

export const verdict = (confidence, before = "") =>
  confidence === undefined ? "" : `${before}${confidence >= LIVE_FROM ? "live" : "not live"} ${percent(confidence)}`;

/* An element with properties, `data` among them, and what is in it; texts stay texts. */
export function make(tag, options = {}, ...children) {
  const { data = {}, ...properties } = options;
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

export function drawn(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

/* A bar with a mark at the threshold. */
export function meter(share, threshold, label) {
  const bar = make("span", { className: share >= threshold ? "good" : "bad" });
  bar.style.width = percent(share).replace(" ", "");
  const range = { ariaLabel: label, ariaValueNow: share.toFixed(2), ariaValueMin: 0, ariaValueMax: 1 };
  const scale = make("span", { className: "bar", role: "meter", ...range }, bar);
  scale.style.setProperty("--threshold", `${threshold * 100}%`);
  return scale;
}

/* Screen readers hear the newest of what changed, not every glance away. */
export function announce(text) {
  announce.next = text;
  announce.timer ??= setTimeout(() => {
    announce.timer = undefined;
    $("announcement").textContent = announce.next;
  }, ANNOUNCE_MS);
}

export function save(file) {
  const url = URL.createObjectURL(file);
  make("a", { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/* The text beside a button, to the clipboard. */
export async function copy(button) {
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch { // over plain HTTP from another machine browsers have no clipboard object
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
