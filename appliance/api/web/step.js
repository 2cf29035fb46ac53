/* The steps of a decision that was requested on this page: what the person is to do, and the fields for a PIN. */

import { make, wait } from "./elements.js";
import { askDevice } from "./gallery.js";
import { ARROWS } from "./guidance.js";
import { padMistake, stepText } from "./kiosk_facts.js";
import { shape } from "./shapes.js";
import { text } from "./texts.js";

const RETRY_MS = 1000; // as Retry-After says while others wait for the step

/* Shows each step that a decision waits for in `place`; returns the last answer: the decision, or why there is none. */
export async function followed(answer, place) {
  for (let last = answer; ;) {
    const step = last?.body.pending;
    if (!last?.ok || !step) return last;
    place.replaceChildren(stepForm(step));
    place.querySelector("input")?.focus();
    last = await outcome(step);
  }
}

const respond = ({ handle }, body) => askDevice(`/access/decide/${handle}`, { method: "POST", body: JSON.stringify(body) });

/* Waits for what a step leads to, here or on the display at the door. */
async function outcome(step) {
  const until = performance.now() + step.seconds * 1000;
  for (;;) {
    const answer = await respond(step, {});
    if (answer?.status !== 503 || performance.now() > until) return answer;
    await wait(RETRY_MS);
  }
}

function stepForm(step) {
  const pin = step.kind === "pin";
  const names = pin ? [...(step.id ? ["id"] : []), "pin"] : [];
  const mistake = make("p", { className: "outcome bad", role: "alert" });
  const cancel = make("button", { type: "button", onclick: () => respond(step, { cancel: true }) }, text("page.cancel"));
  const form = make("form", { className: "form", noValidate: true },
    make("p", { className: "asked", role: "status" }, ...(ARROWS[step.prompt] ? [shape(ARROWS[step.prompt])] : []), make("strong", {}, stepText(step))),
    make("p", { className: "quiet" }, text(pin ? "door.step_pin" : "door.step_look", { seconds: step.seconds })),
    ...names.map((name) => make("label", {}, `${text(`pad.${name}`)} `,
      make("input", { name, type: name === "pin" ? "password" : "text", autocomplete: "off", maxLength: name === "pin" ? step.most : 64 }))),
    mistake, make("div", { className: "buttons" }, cancel, ...(pin ? [make("button", { className: "main" }, text("pad.enter"))] : [])));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    const wrong = padMistake(step, given.pin, given.id?.trim());
    mistake.textContent = wrong?.text ?? "";
    if (wrong) return form.elements[wrong.field].focus();
    form.inert = true;
    const answer = await respond(step, given);
    form.inert = false;
    if (!answer?.ok) mistake.textContent = answer?.status === 400 ? answer.body.text : text("pad.busy");
    return undefined;
  };
  return form;
}
