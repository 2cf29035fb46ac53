/* What the live page shows about the device. */

import { $, described, make } from "./elements.js";
import { address, ask } from "./key.js";

const VERSION_MS = 30_000; // how often /version is read again: an operating point may change while the device runs
const MODES = { MULTI: "four frames (MULTI)", SINGLE: "single frame (SINGLE)" };

let version = null;
let versionAsked = -Infinity;

/* Shows a health report and the version. */
export async function showFacts(report) {
  const camera = report.camera;
  const age = camera?.frame_age_ms == null ? null : `${Math.round(camera.frame_age_ms)} ms old`;
  const old = performance.now() - versionAsked > VERSION_MS;
  if ((!version || old) && report.reasons.every(({ state }) => state !== "loading")) {
    versionAsked = performance.now();
    version = (await ask("/version").then(({ ok, body }) => (ok ? body : null), () => null)) ?? version;
    if (version) $("models").replaceChildren(...version.models.map(modelRow));
  }
  const size = camera?.width ? `${camera.width} × ${camera.height}` : null;
  $("stream-facts").textContent = size ? [size, `${camera.fps} fps`, age].filter(Boolean).join(" · ") : "";
  $("facts").replaceChildren(...described({
    Camera: camera?.driver ?? "none",
    Picture: size ? `${size}, ${camera.fps} frames per second` : "–",
    "Newest frame": age ? `number ${camera.frames}, ${age}` : "–",
    "Camera reopened": camera ? times(camera.reopened) : "–",
    "Running for": duration(report.uptime_s),
    Runtime: version ? `${version.runtime.name} ${version.runtime.version}` : "–",
    Versions: version ? `API ${version.api_version}, engine ${version.sdk_version}` : "–",
    Liveness: version ? MODES[version.liveness_mode] : "–",
    "Operating point": version ? operatingPoints(version.calibration) : "–",
    Address: address(),
  }));
}

/* Returns the operating points of /version in words. */
export function operatingPoints(calibration) {
  const points = Object.entries(calibration).map(([kind, point]) => [kind, operatingPoint(point)]);
  const alike = new Set(points.map(([, words]) => words)).size === 1;
  return alike ? points[0][1] : points.map(([kind, words]) => `${kind} ${words}`).join(", ") || "–";
}

function operatingPoint({ source, ignored, date, wanted }) {
  if (source === "shipped") return ignored ? `shipped (the calibration is ${ignored})` : "shipped";
  const day = new Date(date).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
  const rates = Object.entries(wanted).map(([name, share]) => `${name.toUpperCase()} ${Number((100 * share).toPrecision(3))} %`);
  return `calibrated ${day} (${rates.join(", ")})`;
}

function modelRow({ name, file, sha256, precision, licence }) {
  const cells = [name, precision, licence, file].map((text) => make("td", {}, text));
  return make("tr", {}, ...cells, make("td", {}, make("code", { title: sha256 }, `${sha256.slice(0, 12)}…`)));
}

/* Returns how often something happened, in words. */
export const times = (count) => ["never", "once"][count] ?? `${count} times`;

/* Returns a number of seconds in its two largest units. */
export function duration(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}
