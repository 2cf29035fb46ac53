/* The texts for the states of the device, and what the user can do about each. */

export const STATUS = { ok: "Everything works", starting: "Starting", demonstration: "Demonstration", fault: "Needs attention", silent: "No answer", locked: "Key required" };
export const ADVICE = {
  loading: "This takes a few seconds after the start.",
  starting: "The first picture takes a few seconds.",
  no_camera: "Check its cable; it is opened again automatically. “rpicam-hello --list-cameras” and “ls /dev/video*” list the cameras that the system sees.",
  no_frames: "Check its cable. It is opened again automatically; if that does not help, switch the device off and on.",
  dark: "Uncover the lens, or switch on the light. (A plain surface close to the lens looks the same.)",
  frozen: "Someone may be holding a photo in front of the lens, or the camera is stuck: unplug it and plug it in again.",
  blurred: "Clean the lens and check its focus (camera.autofocus, camera.lens_position).",
  wrong_size: "Set camera.width and camera.height to a size that this camera supports.",
  turned: "Set camera.rotation in the configuration, or mount the camera the other way up.",
  unusable: "Run “appliance selftest” on the device, then install it again.",
  keys_damaged: "Restore keys.json from a backup, or delete it and make new keys.",
  calibration_damaged: "Restore calibration.json from a backup, or run “appliance calibrate … --reset” and calibrate again.",
  none: "It still answers requests with posted photos. To use a camera, set camera.driver in the configuration.",
};
export const FINE = { state: "ok", text: "Everything works.", advice: "The camera and the models are working." };
export const DEMONSTRATION = { state: "demonstration", text: "This is a demonstration.", advice: "A stored portrait stands in for a camera. To use a camera, connect it and start the device again." };
export const SILENT = { state: "silent", text: "The device does not answer.", advice: "This page keeps trying." };
export const LOCKED = { state: "locked", text: "A key is required.", advice: "" };
export const CONNECTING = { state: "loading", text: "Connecting to the device …", advice: "" };
export const BLIND = new Set(["starting", "no_camera", "no_frames", "frozen"]);

const HINTS = {
  "INF-01": "The file is larger than this device accepts, or it was damaged on the way. Try a smaller file.",
  "INF-02": "Enter whole numbers of at least 1, with minsize no larger than maxsize.",
  "INF-03": "The file is empty.",
  "INF-04": "It must be a complete JPEG or PNG that is not too large.",
  "INF-06": ADVICE.unusable,
  "INF-07": ADVICE.unusable,
  "INF-08": "The models are loading, or the device is busy. Try again in a moment.",
  "INF-09": "detectcount can be at most 1,000.",
  "INF-10": "minsize and maxsize can be at most 65,535.",
  "INF-17": "Every frame must show a face of at least 48 pixels.",
  "INF-22": "It must be a zip without a password. You can also choose four pictures.",
  "INF-23": "The files in the zip must be named 1, 2, 3 and 4, with .jpg, .jpeg or .png.",
  "INF-24": "There must be exactly four pictures.",
  "INF-25": "It is switched off in the device’s configuration, or your key does not permit it.",
  "INF-26": "The expiry date in the device’s configuration has passed.",
};
const UNEXPECTED = "This is a fault of the device; see its log.";

/* A result code of the contract in sentences: the code with its message, then the advice. */
export function explained({ return_code: code, return_msg: message }) {
  return `${code}: ${message.replace(/\.$/, "")}. ${HINTS[code] ?? UNEXPECTED}`;
}
