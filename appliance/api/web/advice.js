/* What is said of the states of the device, and what can be done about them. */

export const STATUS = { ok: "Everything works", starting: "Starting", fault: "Needs attention", silent: "Does not answer", locked: "Wants a key" };
export const ADVICE = {
  loading: "This takes some seconds after the start.",
  starting: "The first picture takes some seconds.",
  no_camera: "Check its cable; it is opened by itself. “rpicam-hello --list-cameras” and “ls /dev/video*” list what the system sees.",
  no_frames: "Check its cable. It is opened again by itself; if that does not help, switch the device off and on.",
  dark: "Take away what covers the lens, or switch on the light. (A bare surface looks alike.)",
  frozen: "Somebody may hold a photo before the lens, or the camera hangs: plug it in again.",
  blurred: "Clean the lens, and check its focus (camera.autofocus, camera.lens_position).",
  wrong_size: "Set camera.width and camera.height to a size that this camera has.",
  unusable: "Run “appliance selftest” on the device, then install it again.",
  keys_damaged: "Put keys.json back from a backup, or remove it and make new keys.",
  calibration_damaged: "Put calibration.json back from a backup, or run “appliance calibrate … --reset” and calibrate again.",
  none: "It answers about posted photos all the same. To use a camera, set camera.driver in the configuration.",
};
export const FINE = { state: "ok", text: "Everything works.", advice: "Camera and models do what they should." };
export const SILENT = { state: "silent", text: "The device does not answer.", advice: "This page tries again by itself." };
export const CONNECTING = { state: "loading", text: "Connecting to the device …", advice: "" };
export const BLIND = new Set(["starting", "no_camera", "no_frames", "frozen"]);
export const HINTS = {
  "INF-01": "Larger than this device takes, or sent damaged. Try a smaller file.",
  "INF-02": "Whole numbers from 1, and minsize not above maxsize.",
  "INF-03": "The file is empty.",
  "INF-04": "It must be a whole JPEG or PNG that is not too large.",
  "INF-06": ADVICE.unusable,
  "INF-07": ADVICE.unusable,
  "INF-08": "Models are loading, or too much is asked at once. Try again in a moment.",
  "INF-09": "At most 1,000 faces can be asked for.",
  "INF-10": "minsize and maxsize are at most 65,535.",
  "INF-17": "Every frame must show a face of at least 48 pixels.",
  "INF-22": "It must be a zip without a password. Or choose four pictures.",
  "INF-23": "Files in the zip are named 1, 2, 3, 4 with .jpg, .jpeg or .png.",
  "INF-24": "Exactly four pictures are wanted.",
  "INF-25": "It is switched off in the device’s configuration, or your key does not open it.",
  "INF-26": "The expiry date in the device’s configuration has passed.",
};
