/* What the display at the door shows, as pure functions of events and time. */

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
export function outcomeOf({ result, text, name }) {
  return result === "granted" ? { granted: true, title: "GRANTED", detail: name ?? "" } : { granted: false, title: "DENIED", detail: text };
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
  if (asksForId && !id) return { field: "id", text: "Enter your id." };
  if (!/^\d*$/.test(pin) || pin.length < least || pin.length > most) return { field: "pin", text: `A PIN has ${least} to ${most} digits.` };
  return null;
}

/* A text of the device as a sentence of its own: within others it begins small. */
export const sentenceOf = (text) => text.charAt(0).toUpperCase() + text.slice(1);
