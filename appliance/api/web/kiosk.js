/* The display at the door: what to do, in one sentence, and whether the door opens. */

import { $ } from "./elements.js";
import { ARROWS, PROMPTS, guide } from "./guidance.js";
import { keyed, request, setUpKey } from "./key.js";
import { Resting, outcomeOf, panelColour, stepText } from "./kiosk_facts.js";
import { closePad, openPad, setUpPad } from "./pad.js";
import { shape } from "./shapes.js";
import * as stage from "./stage.js";
import { text } from "./texts.js";

const SHOWN_MS = 3000; // how long an outcome is shown
const STALE_MS = 2000, RETRY_MS = 3000;
const SHIFT_MS = 60000, SHIFT_PX = 6; // so that no image burns into the panel
const SIGNS = { granted: "M4 12l6 6L20 6", denied: "M5 5l14 14M19 5L5 19" };
const TONES = { granted: [660, 880], denied: [220], panel: [1000] }; // hertz

const LOOK = text("kiosk.look");
const resting = new Resting();
const [, ownKey] = /^#(fa_[\w-]{43})$/.exec(location.hash) ?? []; // of the device's own display, which opens the page with it
let events = null, usable = false, ending = 0, asking = 0, heardAt = 0, waiting = PROMPTS.nobody, lightTimer = 0, textTimer = 0, audio = null;

const state = () => document.body.dataset.state;

function show(name, sentence) {
  document.body.dataset.state = name;
  if ($("sentence").textContent !== sentence) $("sentence").textContent = sentence; // announced when it changes
}

/* What is shown while there is no outcome. */
function prompt(prompts) {
  waiting = prompts;
  if (ending || asking) return;
  if (resting.rests(prompts !== PROMPTS.nobody, performance.now())) {
    stage.pause();
    show("resting", PROMPTS.nobody);
  } else {
    if (!stage.plays()) stage.play();
    show(prompts === null ? "ready" : "waiting", prompts ?? LOOK);
  }
}

function onFaces(seen) {
  heardAt = performance.now();
  if (!usable) return; // the reason stays on the screen
  const found = guide(seen, "front");
  prompt(found === null ? null : PROMPTS[found]);
}

/* A further step of a decision: a PIN that is typed on the pad, or what the person is to do. */
export function onPending(step) {
  endOutcome();
  endStep();
  asking = setTimeout(() => { endStep(); prompt(waiting); }, step.seconds * 1000);
  resting.wake(performance.now());
  if (!stage.plays()) stage.play();
  show("asking", stepText(step));
  if (ARROWS[step.prompt]) $("arrow").replaceChildren(shape(ARROWS[step.prompt]));
  if (step.kind === "pin") openPad(step);
  play("panel");
}

function endStep() {
  clearTimeout(asking);
  asking = 0;
  closePad();
  $("arrow").replaceChildren();
}

function endOutcome() {
  clearTimeout(ending);
  ending = 0;
  $("outcome").hidden = true;
  $("sentence").hidden = false;
}

function onDecision(decision) {
  endStep();
  const { granted, title, detail } = outcomeOf(decision);
  endOutcome();
  ending = setTimeout(() => { endOutcome(); prompt(waiting); }, SHOWN_MS);
  resting.wake(performance.now());
  $("sign").setAttribute("d", SIGNS[granted ? "granted" : "denied"]);
  $("outcome").querySelector("strong").textContent = title;
  $("outcome").querySelector("span").textContent = detail;
  $("sentence").hidden = true;
  $("outcome").hidden = false;
  document.body.dataset.state = granted ? "granted" : "denied";
  play(granted ? "granted" : "denied");
}

function onPanel(event) {
  if (event.kind === "sound") return play("panel");
  if (event.kind === "text") {
    clearTimeout(textTimer);
    $("panel").textContent = event.text;
    if (event.seconds) textTimer = setTimeout(() => { $("panel").textContent = ""; }, event.seconds * 1000);
    return;
  }
  clearInterval(lightTimer);
  const begun = performance.now();
  const draw = () => { $("light").style.background = panelColour(event, (performance.now() - begun) / 1000); };
  draw();
  lightTimer = setInterval(draw, 100);
}

function onHealth(health) {
  usable = health.usable;
  $("demonstration").hidden = !health.demonstration;
  if (usable) return stage.plays() || prompt(waiting);
  blind(text("kiosk.out_of_service"), text("kiosk.another_way"));
}

function blind(sentence, advice) {
  endStep();
  stage.blind({ text: sentence, advice });
  show("blind", sentence);
}

function listen() {
  events?.close();
  events = new EventSource("./kiosk/events");
  events.onopen = () => { heardAt = performance.now(); };
  events.onerror = () => {
    events.close();
    blind(text("kiosk.no_connection"), text("page.keeps_trying"));
    request("/healthz").then(({ status }) => status === 401, () => false)
      .then((unknown) => (unknown ? signIn() : setTimeout(listen, RETRY_MS)));
  };
  for (const [name, handle] of Object.entries({ faces: onFaces, decision: onDecision, pending: onPending, panel: onPanel, health: onHealth })) {
    events.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
  }
}

/* Signs in with the page's own key; without one, or when it is refused, asks for a key. */
async function signIn() {
  events?.close();
  if (ownKey) {
    const response = await request("/key", { method: "POST", headers: { Authorization: `Bearer ${ownKey}` } }).catch(() => null);
    if (response?.ok) return listen();
    if (![401, 403].includes(response?.status)) return setTimeout(signIn, RETRY_MS);
  }
  blind(text("kiosk.not_signed_in"), "");
  if (!$("locked").open) $("locked").showModal();
  return undefined;
}

function play(name) {
  if (!audio) return;
  TONES[name].forEach((frequency, index) => {
    const tone = new OscillatorNode(audio, { frequency }), volume = new GainNode(audio, { gain: 0.2 });
    tone.connect(volume).connect(audio.destination);
    tone.start(audio.currentTime + index * 0.15);
    tone.stop(audio.currentTime + index * 0.15 + 0.12);
  });
}

$("sound").onclick = () => {
  audio = audio ? null : new AudioContext(); // browsers allow sound only after a touch
  $("sound").setAttribute("aria-pressed", audio !== null);
  play("granted");
};
setInterval(() => {
  for (const axis of ["x", "y"]) document.body.style.setProperty(`--shift-${axis}`, `${Math.round((Math.random() - 0.5) * 2 * SHIFT_PX)}px`);
}, SHIFT_MS);
setInterval(() => { if (["waiting", "ready"].includes(state()) && performance.now() - heardAt > STALE_MS) prompt(PROMPTS.nobody); }, STALE_MS / 4);
if (ownKey) history.replaceState(null, "", location.pathname); // so that a person at the display cannot read it
setUpPad({ sent: () => show("asking", LOOK), ended: () => { endStep(); prompt(waiting); } });
setUpKey({ name: "door-display", scopes: ["kiosk"], locked() {}, opened: listen, forgotten: signIn });
if (keyed()) $("forget").hidden = false;
listen();
