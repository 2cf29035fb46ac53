/* Prompts for the person in front of the camera, from the faces of an event or from the device's refusal. */

import { group } from "./texts.js";

export const POSES = group("pose");
export const PROMPTS = group("prompt"); // by the prompts of the API
export const ARROWS = { turn_left: "left", turn_right: "right", look_up: "up", look_down: "down" };

/* Degrees of yaw [least, most] and of pitch [most], and the least quality, as the device's enrolment has them by default. */
const FRONT = 15, TURNED = 40, STRAY = 20;
const WINDOWS = { front: [-FRONT, FRONT, FRONT], left: [FRONT, TURNED, STRAY], right: [-TURNED, -FRONT, STRAY] };
const GOOD = 0.6;
const REMEDIES = { size: "closer", sharpness: "hold_still", light: "more_light", pose: "look_front", visibility: "covered" };
const CUT_OFF = 0.1; // the share of a face's width that may lie outside the picture

/* Returns the prompt for the faces of an event; null when a picture can be taken. */
export function guide({ faces, width, height }, pose) {
  if (faces.length !== 1) return faces.length ? "more_than_one" : "nobody";
  const [{ box, pose: head, quality }] = faces;
  const outside = Math.max(-box.x, -box.y, box.x + box.width - width, box.y + box.height - height);
  if (outside > CUT_OFF * box.width) return "farther";
  return nudge(head, pose) ?? (quality.overall < GOOD ? REMEDIES[quality.weakest] : null);
}

/* Returns which way to turn the head. With the nose towards the right of the unmirrored picture, it is turned to the person's left. */
function nudge({ yaw, pitch }, pose) {
  const [least, most, stray] = WINDOWS[pose];
  const prompt = yaw < least ? "turn_left" : yaw > most ? "turn_right" : pitch < -stray ? "look_up" : pitch > stray ? "look_down" : null;
  return prompt && pose === "front" ? "look_front" : prompt;
}
