/* The door page: the views of the door, the people and the enrolment, of which one is shown. */

import { $, ignoreDrops } from "./elements.js";
import { addPictures, guideTo, setUpEnrolment, showCamera, stopCamera, takesPictures, waitForFaces } from "./enrolment.js";
import { gallery, onGallery, refresh, setUpGallery, showTroubles } from "./gallery.js";
import { setUpKey } from "./key.js";
import { keepScaled } from "./marks.js";
import { addDecision, markNamed, setUpMonitor, showAlarms, showDecisions, showLock, watchDoor } from "./monitor.js";
import { setUpPeople } from "./people.js";
import { begin, end, lock, poll, setUpWatch, showHealth } from "./watch.js";

const VIEWS = ["door", "people", "enrol"];

let reasons = [], view = "door";

function show() {
  const wanted = location.hash.slice(1);
  view = VIEWS.includes(wanted) ? wanted : "door";
  for (const name of VIEWS) $(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[href^='door#']")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view !== "enrol") stopCamera();
  settle();
  window.scrollTo({ top: 0, behavior: "instant" });
}

/* Moves the picture to the view that is shown, and updates what depends on the view. */
function settle() {
  const place = $(view === "enrol" ? "enrol-scene" : "door-scene");
  if ($("scene").parentElement !== place) place.append($("scene"));
  showKeyless();
  $("stage").classList.toggle("mirrored", view === "enrol" && $("mirror").checked);
  showTroubles(reasons);
  showHealth();
  watchDoor();
}

function showKeyless() {
  $("keyless").hidden = !gallery.keyless || view === "door"; // the view of the door needs no admin key
}

const pictured = () => view === "door" || (view === "enrol" && takesPictures());

function visit() {
  begin();
  refresh();
  showDecisions();
  watchDoor();
}

ignoreDrops();
keepScaled($("overlay"));
setUpWatch({
  events: { faces: (seen) => (view === "door" ? markNamed(seen) : pictured() && guideTo(seen)), decision: addDecision, door: showLock, gallery: refresh },
  report(report, [{ state }]) {
    reasons = report?.reasons.filter(({ part }) => part === "gallery") ?? [];
    showTroubles(reasons);
    if (report) {
      showCamera(report.camera);
      showLock(report.door);
      showAlarms(report.reasons);
    }
    $("troubles").hidden = state === "silent";
  },
  cleared: waitForFaces,
  wanted: pictured,
});
setUpKey({ scopes: ["live", "decide", "admin"], locked: lock, opened: visit, forgotten: poll });
setUpGallery();
setUpMonitor({ shown: () => view === "door" });
setUpPeople({ addPictures: (person) => { location.hash = "#enrol"; addPictures(person); } });
setUpEnrolment({ stepped: settle });
onGallery(() => { showKeyless(); showTroubles(reasons); });
$("mirror").onchange = settle;
window.addEventListener("hashchange", () => { show(); $(`view-${view}`).focus(); });
document.addEventListener("visibilitychange", () => (document.hidden ? end() : visit()));
show();
visit();
