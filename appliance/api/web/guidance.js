/* What to tell the person before the camera: by what the events say of their face, or by the device's own word. */

export const POSES = { front: "Front", left: "Left", right: "Right" };

export const PROMPTS = {
  nobody: "Step before the camera",
  more_than_one: "One person alone, please",
  closer: "Come closer",
  farther: "Step back a little",
  hold_still: "Hold still",
  more_light: "More light",
  less_light: "Less light",
  even_light: "Light from the front, please",
  look_front: "Look straight at the camera",
  turn_left: "Turn your head to your left",
  turn_right: "Turn your head to your right",
  look_up: "Raise your chin a little",
  look_down: "Lower your chin a little",
  not_live: "No photographs, no screens: show your own face",
};
export const ARROWS = { turn_left: "left", turn_right: "right", look_up: "up", look_down: "down" };

/* Degrees as the device asks for them, and the quality that it wants unless it is configured otherwise. */
const FRONT = 15, TURNED = 40, STRAY = 20;
const WINDOWS = { front: [-FRONT, FRONT, FRONT], left: [FRONT, TURNED, STRAY], right: [-TURNED, -FRONT, STRAY] };
const GOOD = 0.6;
const MEND = { size: "closer", sharpness: "hold_still", light: "more_light", pose: "look_front" };
const CUT_OFF = 0.1; // of a face, beyond the border

/* The prompt for what was seen; null when a picture may be taken. */
export function guide({ faces, width, height }, pose) {
  if (faces.length !== 1) return faces.length ? "more_than_one" : "nobody";
  const [{ box, pose: head, quality }] = faces;
  const beyond = Math.max(-box.x, -box.y, box.x + box.width - width, box.y + box.height - height);
  if (beyond > CUT_OFF * box.width) return "farther";
  return nudge(head, pose) ?? (quality.overall < GOOD ? MEND[quality.weakest] : null);
}

/* Where the head is to turn. The person's left is where their nose points to the right of the picture, unmirrored. */
function nudge({ yaw, pitch }, pose) {
  const [least, most, stray] = WINDOWS[pose];
  const prompt = yaw < least ? "turn_left" : yaw > most ? "turn_right" : pitch < -stray ? "look_up" : pitch > stray ? "look_down" : null;
  return prompt && pose === "front" ? "look_front" : prompt;
}
