/* Invitations: a one-time link with which a person enrols on their own phone. */

import { codePicture, copyable, make, openDialog } from "./elements.js";
import { askGallery, pathOf, refusalText } from "./gallery.js";
import { text, time } from "./texts.js";

const LOCAL = /^https?:\/\/(localhost|127\.|\[::1\])/;

/* Returns a button that invites a person. */
export const inviteButton = (person) => make("button", { type: "button", onclick: () => invite(person) }, text("invite.invite"));

async function invite({ id, name }) {
  const answer = await askGallery(pathOf(id, "/invitation"), { method: "POST" });
  openDialog(text("invite.title", { name }), ...shown(answer, name));
}

function shown(answer, name) {
  if (!answer?.ok) return [make("p", { className: "outcome bad", role: "alert" }, refusalText(answer))];
  const { url, code, expires } = answer.body.invitation;
  const words = make("p", {}, text("invite.words", { name, time: time(expires) })), link = copyable(text("invite.link"), url);
  if (LOCAL.test(url)) return [words, link, make("p", { className: "quiet" }, text("invite.local"))];
  return [words, codePicture(code, text("invite.code")), link];
}
