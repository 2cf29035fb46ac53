/* The page for a person who is invited: they read what they agree to, take a photo, and send it. */

import { $ } from "./elements.js";
import { refusalText } from "./gallery.js";
import { text, time } from "./texts.js";

const LONGEST_SIDE = 1600; // pixels of the photo that is sent: enough for a face, and small enough for every device

const path = location.pathname.replace(/\/$/, "");

async function ask(url, options = {}) {
  try {
    const response = await fetch(url, { cache: "no-store", ...options });
    return { ok: response.ok, status: response.status, body: await response.json() };
  } catch { return null; }
}

const refusal = (answer) => (answer?.body.reason === "record_unavailable" ? text("invitation.unrecorded") : refusalText(answer));

async function begin() {
  const answer = await ask(`${path}/invitation`);
  if (!answer?.ok) {
    $("words").textContent = refusal(answer);
    return;
  }
  const { name, consent, expires } = answer.body.invitation;
  $("words").textContent = text("invitation.greeting", { name, time: time(expires) });
  $("consent").textContent = consent;
  $("agree").hidden = false;
}

/* Draws a photo upright and no larger than needed; what is sent has none of the file's metadata. */
async function show(file) {
  const canvas = $("preview");
  $("outcome").textContent = "";
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
    [canvas.width, canvas.height] = [picture.width, picture.height].map((side) => Math.round(side * scale));
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  } catch {
    $("outcome").textContent = text("invitation.unreadable");
  }
  canvas.hidden = Boolean($("outcome").textContent);
  settle();
  $("send").scrollIntoView({ block: "nearest" });
}

function settle() {
  $("photo").disabled = !$("agreed").checked;
  $("send").disabled = !$("agreed").checked || $("preview").hidden;
}

async function send(event) {
  event.preventDefault();
  $("send").disabled = true;
  const photo = await new Promise((done) => $("preview").toBlob(done, "image/jpeg", 0.92));
  const answer = await ask(`${path}?consent=1`, { method: "POST", body: photo });
  if (answer?.ok) {
    $("agree").hidden = true;
    $("words").textContent = text("invitation.done");
    return;
  }
  $("outcome").textContent = refusal(answer);
  settle();
}

$("agreed").onchange = settle;
$("photo").onchange = () => $("photo").files.length && show($("photo").files[0]);
$("agree").onsubmit = send;
begin();
