/* What the live page shows about the device. */

import { $, described, make } from "./elements.js";
import { address, ask } from "./key.js";
import { DAY, day, group, percent, text } from "./texts.js";

const VERSION_MS = 30_000; // how often /version is read again: an operating point may change while the device runs
const MODES = group("mode"), KINDS = group("kind"), FACTS = group("fact");

let version = null;
let versionAsked = -Infinity;

/* Shows a health report and the version. */
export async function showFacts(report) {
  const camera = report.camera;
  const age = camera?.frame_age_ms == null ? null : text("device.age", { ms: Math.round(camera.frame_age_ms) });
  const old = performance.now() - versionAsked > VERSION_MS;
  if ((!version || old) && report.reasons.every(({ state }) => state !== "loading")) {
    versionAsked = performance.now();
    version = (await ask("/version").then(({ ok, body }) => (ok ? body : null), () => null)) ?? version;
    if (version) $("models").replaceChildren(...version.models.map(modelRow));
  }
  const size = camera?.width ? `${camera.width} × ${camera.height}` : null;
  $("stream-facts").textContent = size ? [size, text("device.fps", { fps: camera.fps }), age].filter(Boolean).join(" · ") : "";
  $("facts").replaceChildren(...described(FACTS, {
    camera: camera?.driver ?? text("device.no_camera"),
    picture: size ? text("device.picture", { size, fps: camera.fps }) : "–",
    frame: age ? text("device.frame", { count: camera.frames, age }) : "–",
    reopened: camera ? times(camera.reopened) : "–",
    uptime: duration(report.uptime_s),
    runtime: version ? `${version.runtime.name} ${version.runtime.version}` : "–",
    versions: version ? text("device.versions", { api: version.api_version, engine: version.sdk_version }) : "–",
    liveness: version ? MODES[version.liveness_mode] : "–",
    operating_point: version ? operatingPoints(version.calibration) : "–",
    address: address(),
  }));
}

/* Returns the operating points of /version in words. */
export function operatingPoints(calibration) {
  const points = Object.entries(calibration).map(([kind, point]) => [kind, operatingPoint(point)]);
  const alike = new Set(points.map(([, words]) => words)).size === 1;
  return alike ? points[0][1] : points.map(([kind, words]) => `${KINDS[kind] ?? kind} ${words}`).join(", ") || "–";
}

function operatingPoint({ source, ignored, date, wanted }) {
  if (source === "shipped") return text(`point.${ignored ?? "shipped"}`);
  const rates = Object.entries(wanted).map(([name, share]) => `${name.toUpperCase()} ${percent(share, 3)}`);
  return text("point.calibrated", { day: day(date, { ...DAY, timeZone: "UTC" }), rates: rates.join(", ") });
}

function modelRow({ name, file, sha256, precision, licence }) {
  const cells = [name, precision, licence, file].map((words) => make("td", {}, words));
  return make("tr", {}, ...cells, make("td", {}, make("code", { title: sha256 }, `${sha256.slice(0, 12)}…`)));
}

/* Returns how often something happened, in words. */
export const times = (count) => text("device.times", { count });

/* Returns a number of seconds in its two largest units. */
export function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return text("device.days", { days, hours });
  if (hours) return text("device.hours", { hours, minutes });
  const rest = Math.floor(seconds % 60);
  return minutes ? text("device.minutes", { minutes, seconds: rest }) : text("device.seconds", { seconds: rest });
}
