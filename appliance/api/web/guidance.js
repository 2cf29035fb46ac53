/* Prompts for the person in front of the camera, from the faces of an event or from the device's refusal. */

export const POSES = { front: "Front", left: "Left", right: "Right" };

/* By the prompts of the API. */
export const PROMPTS = {
  nobody: "Step in front of the camera",
  more_than_one: "One person at a time, please",
  closer: "Come closer",
  farther: "Step back a little",
  hold_still: "Hold still",
  more_light: "More light, please",
  less_light: "Less light, please",
  even_light: "Light from the front, please",
  look_front: "Look straight at the camera",
  not_upright: "Hold your head upright, or turn the camera",
  covered: "Take off a mask or dark glasses",
  turn_left: "Turn your head to your left",
  turn_right: "Turn your head to your right",
  look_up: "Raise your chin a little",
  look_down: "Lower your chin a little",
  not_live: "Show your own face, not a photo or a screen",
};
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
