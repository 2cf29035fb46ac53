/* Invitations: a one-time link with which a person enrols on their own phone. */

import { make } from "./elements.js";
import { askGallery, pathOf, refusalText } from "./gallery.js";

const LOCAL = /^https?:\/\/(localhost|127\.|\[::1\])/;

/* Returns a button that invites a person. */
export const inviteButton = (person) => make("button", { type: "button", onclick: () => invite(person) }, "Invite");

async function invite({ id, name }) {
  const answer = await askGallery(pathOf(id, "/invitation"), { method: "POST" });
  const dialog = make("dialog", { className: "card ask", onclose: () => dialog.remove() });
  dialog.setAttribute("aria-labelledby", "invited-title");
  const close = make("button", { type: "button", className: "main", onclick: () => dialog.close() }, "Close");
  dialog.append(make("h2", { id: "invited-title" }, `Invite ${name}`), ...shown(answer), make("div", { className: "buttons" }, close));
  document.body.append(dialog);
  dialog.showModal();
}

function shown(answer) {
  if (!answer?.ok) return [make("p", { className: "outcome bad", role: "alert" }, refusalText(answer))];
  const { url, code, expires } = answer.body.invitation;
  const parts = [
    make("p", {}, `With this link ${LOCAL.test(url) ? "" : "or code "}they enrol on their own phone, once, until ${new Date(expires).toLocaleString()}. Another person who has it could enrol instead: give it to this person alone.`),
    make("pre", { tabIndex: 0 }, url),
  ];
  if (LOCAL.test(url)) parts.push(make("p", { className: "quiet" }, "A phone cannot reach this address: open this page by the device’s name on the network, and invite them again."));
  else parts.splice(1, 0, make("img", { className: "code", alt: "QR code of the link", src: `data:image/svg+xml;base64,${btoa(code)}` }));
  return parts;
}
