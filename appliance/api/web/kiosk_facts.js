/* What the display at the door shows, as pure functions of events and time. */

import { PROMPTS } from "./guidance.js";
import { group, text } from "./texts.js";

export const REASONS = group("reason");

const REST_MS = 60000; // without a person for so long, the picture is switched off

/* Whether the display rests. */
export class Resting {
  #last = null;

  /* Whether it rests `now` (milliseconds), given whether there is a person. */
  rests(person, now) {
    if (person || this.#last === null) this.#last = now;
    return now - this.#last > REST_MS;
  }

  wake(now) { this.#last = now; }
}

/* The words for a decision: the name of the person who is granted, otherwise the reason and no name. */
export function outcomeOf({ result, reason, text: words, name }) {
  if (result === "granted") return { granted: true, title: text("kiosk.granted"), detail: name ?? "" };
  return { granted: false, title: text("kiosk.denied"), detail: REASONS[reason] ?? words };
}

const COLOURS = { off: "transparent", amber: "orange" }; // of OSDP, which are no CSS colours

/* The colour of the panel's light after so many seconds, for CSS: two colours take turns. */
export function panelColour({ colours: [first, second], periods: [on, off], seconds }, after) {
  if (seconds !== null && after >= seconds) return COLOURS.off;
  const colour = on + off > 0 && after % (on + off) >= on ? second : first;
  return COLOURS[colour] ?? colour;
}

/* The first mistake in what was typed into the pad, as the name of a field and a sentence; null if there is none. */
export function padMistake({ id: asksForId, least, most }, pin, id) {
  if (asksForId && !id) return { field: "id", text: text("pad.enter_id") };
  if (!/^\d*$/.test(pin) || pin.length < least || pin.length > most) return { field: "pin", text: text("pad.pin_length", { least, most }) };
  return null;
}

/* What a person is to do in a step of a decision, as a sentence. */
export function stepText({ kind, prompt, id, text: words }) {
  if (kind === "pin") return text(id ? "pad.id_step" : "pad.pin_step");
  return PROMPTS[prompt] ?? words;
}
