/* The page of people and the door: three views of which one is seen. */

import { $ } from "./elements.js";
import { addPictures, guided, setUpEnrolment, takesPictures, unsighted } from "./enrolment.js";
import { gallery, onGallery, refresh, setUpGallery, showTroubles } from "./gallery.js";
import { setUpKey } from "./key.js";
import { scaling } from "./marks.js";
import { decided, setUpMonitor, showDecisions, watchDoor, watched } from "./monitor.js";
import { setUpPeople } from "./people.js";
import { begin, end, poll, setUpWatch, showHealth } from "./watch.js";

const VIEWS = ["door", "people", "enrol"];

let reasons = [], view = "door";

function show() {
  const asked = location.hash.slice(1);
  view = VIEWS.includes(asked) ? asked : "door";
  for (const name of VIEWS) $(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a[href^='#']")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  settle();
  window.scrollTo({ top: 0, behavior: "instant" });
}

/* The picture stands where it is wanted; elsewhere it does not run. */
function settle() {
  const place = $(view === "enrol" ? "enrol-scene" : "door-scene");
  if ($("scene").parentElement !== place) place.append($("scene"));
  tellKeyless();
  $("stage").classList.toggle("mirrored", view === "enrol" && $("mirror").checked);
  showTroubles(reasons);
  showHealth();
  watchDoor();
}

function tellKeyless() {
  $("keyless").hidden = !gallery.keyless || view === "door"; // the door needs no such key
}

const pictured = () => view === "door" || (view === "enrol" && takesPictures());

function visit() {
  begin();
  refresh();
  showDecisions();
  watchDoor();
}

for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
scaling.observe($("overlay"));
setUpWatch({
  events: { faces: (seen) => (view === "door" ? watched(seen) : pictured() && guided(seen)), decision: decided, gallery: refresh },
  report: (report) => { reasons = report?.reasons.filter(({ part }) => part === "gallery") ?? []; showTroubles(reasons); },
  cleared: unsighted,
  wanted: pictured,
});
setUpKey({ locked: end, opened: visit, forgotten: poll });
setUpGallery();
setUpMonitor({ shown: () => view === "door" });
setUpPeople({ addPictures: (person) => { location.hash = "#enrol"; addPictures(person); } });
setUpEnrolment({ stepped: settle });
onGallery(() => { tellKeyless(); showTroubles(reasons); });
$("mirror").onchange = settle;
window.addEventListener("hashchange", () => { show(); $(`view-${view}`).focus(); });
document.addEventListener("visibilitychange", () => (document.hidden ? end() : visit()));
show();
visit();
