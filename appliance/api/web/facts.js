/* What the live page tells of the device. */

import { $, make } from "./elements.js";
import { ask } from "./key.js";

const VERSION_SECONDS = 30; // an operating point may change while the device runs

let version = null;
let versionAsked = -Infinity;

/* Shows what a report of health says, and what the version does. */
export async function showFacts(report) {
  const camera = report.camera;
  const age = camera?.frame_age_ms == null ? "–" : `${Math.round(camera.frame_age_ms)} ms`;
  const old = performance.now() - versionAsked > VERSION_SECONDS * 1000;
  if ((!version || old) && report.reasons.every(({ state }) => state !== "loading")) {
    versionAsked = performance.now();
    version = (await ask("/version").then(({ ok, body }) => (ok ? body : null), () => null)) ?? version;
    if (version) $("models").replaceChildren(...version.models.map(modelRow));
  }
  $("stream-facts").textContent = camera?.width ? `${camera.width} × ${camera.height} · ${camera.fps} fps · ${age} old` : "";
  const facts = {
    Camera: camera?.driver ?? "none",
    Picture: camera?.width ? `${camera.width} × ${camera.height}, ${camera.fps} a second` : "–",
    "Newest frame": camera ? `number ${camera.frames}, ${age} old` : "–",
    "Camera re-opened": camera ? `${camera.reopened} times` : "–",
    "Running for": duration(report.uptime_s),
    Runtime: version ? `${version.runtime.name} ${version.runtime.version}` : "–",
    Versions: version ? `API ${version.api_version}, engine ${version.sdk_version}` : "–",
    Liveness: version ? (version.liveness_mode === "MULTI" ? "four frames (MULTI)" : version.liveness_mode) : "–",
    "Operating point": version ? operatingPoints(version.calibration) : "–",
    Address: location.origin,
  };
  $("facts").replaceChildren(...Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/* Operating points in words. */
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

function duration(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}
