/* The texts for the states of the device, and what the user can do about each. */

import { group, text } from "./texts.js";

export const STATUS = group("status");
export const ADVICE = group("advice");
export const FINE = { state: "ok", text: text("state.ok"), advice: text("state.ok_details") };
export const DEMONSTRATION = { state: "demonstration", text: text("state.demonstration"), advice: text("state.demonstration_details") };
export const SILENT = { state: "silent", text: text("state.silent"), advice: text("page.keeps_trying") };
export const LOCKED = { state: "locked", text: text("state.locked"), advice: "" };
export const CONNECTING = { state: "loading", text: text("page.connecting_device"), advice: "" };
export const NO_CAMERA = { part: "camera", state: "none", text: text("state.no_camera"), advice: ADVICE.none };
export const BLIND = new Set(["starting", "no_camera", "no_frames", "frozen"]);

const HINTS = group("hint"), PROBLEMS = group("problem");

/* What is wrong, in the words of the page, or else of the device. */
export const problemText = ({ state, text: words }) => PROBLEMS[state] ?? words;

/* The advice for a result code of the contract. */
export const hint = ({ return_code: code }) => HINTS[code] ?? HINTS.unexpected;

/* A result code of the contract in sentences: the code with its message, then the advice. */
export const explained = (result) => `${result.return_code}: ${result.return_msg.replace(/\.$/, "")}. ${hint(result)}`;
