"""`appliance policy explain`: a dry run of the configured policy, rule by rule. It changes nothing, and asks no camera."""

import argparse
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from appliance import machine, state
from appliance.access_control import recall
from appliance.access_control.clock import Clock
from appliance.access_control.options import OFF
from appliance.access_control.policy import Policy
from appliance.access_control.recall import RecordError
from appliance.access_control.record import FOLDER
from appliance.access_control.ruling import Ruling
from appliance.access_control.situation import ClockState, Direction, Passage, Sighting, Situation
from appliance.caretaker import place
from appliance.config import Config
from appliance.gallery.gallery import FILE
from appliance.gallery.matching import Outcome
from appliance.gallery.people import GalleryError, NoSuchPersonError, Person


def explain(options: argparse.Namespace, settings: Config) -> int:
    """Prints what each rule says, and which decided; the exit status."""
    try:
        person, last = _who(options, settings)
    except GalleryError as error:
        print(f"{options.person}: {error}", file=sys.stderr)
        return 1
    situation = _situation(options, settings, person, last)
    ruling = Policy(machine.door_rules(settings.door)).rule(situation)
    if options.json:
        print(json.dumps(_document(situation, ruling), ensure_ascii=False))
    else:
        print("\n".join(_lines(ruling)))
    return 0


def _who(options: argparse.Namespace, settings: Config) -> tuple[Person, Passage | None]:
    if options.person is None:
        someone = Person("", "", options.groups, options.valid_from, options.valid_until, "", datetime.now(UTC))
        return someone, None
    if not (state.folder(settings.state.folder) / FILE).exists():
        raise NoSuchPersonError("there is no gallery here yet")
    with place.opened(settings, make=False) as gallery:
        person = gallery.person(options.person).person
        last = gallery.last_passage(person.reference)
    person = replace(
        person,
        valid_from=options.valid_from or person.valid_from,
        valid_until=options.valid_until or person.valid_until,
    )
    return person, _passage(last)


def _situation(options: argparse.Namespace, settings: Config, person: Person, last: Passage | None) -> Situation:
    now, clock = _when(options, settings)
    return Situation(
        now=now,
        clock=clock,
        trouble="as --blind says" if options.blind else None,
        gallery=None if settings.gallery.enabled else "gallery.enabled = false",
        recordable=not options.full,
        repeated=options.repeated,
        direction=Direction(options.direction),
        faces=options.faces,
        sighting=None if options.not_followed else _sighting(options, settings, person),
        last=_passage(options.last) if "last" in options else last,
    )


def _when(options: argparse.Namespace, settings: Config) -> tuple[datetime, ClockState]:
    if options.at is not None:
        return options.at.astimezone(), ClockState(options.clock or ClockState.SYNCHRONISED)
    watch = Clock()
    try:
        latest = recall.latest(state.folder(settings.state.folder) / FOLDER)
    except RecordError as error:
        print(f"record of decisions: {error}", file=sys.stderr)
        latest = None
    if latest:
        watch.not_before(latest)
    reading = watch.read()
    return reading.now, ClockState(options.clock or reading.state)


def _sighting(options: argparse.Namespace, settings: Config, person: Person) -> Sighting:
    usual = None if settings.liveness.mode == "single" else 1.0
    outcome = Outcome(options.outcome)
    return Sighting(
        liveness=usual if options.liveness is None else None if options.liveness == OFF else options.liveness,
        one_person=not options.swapped,
        quality=options.quality,
        weakest="as --quality says",
        outcome=outcome,
        person=person if outcome is Outcome.IDENTIFIED else None,
    )


def _passage(last: tuple[str, datetime] | None) -> Passage | None:
    return Passage(Direction(last[0]), last[1].astimezone()) if last else None


def _lines(ruling: Ruling) -> list[str]:
    """A line a rule, and what it comes to."""
    wide = max(len(step.rule) for step in ruling.steps)
    rows = [f"{step.rule:<{wide}}  {step.mark:<7}  {step.text}" for step in ruling.steps]
    decided = ruling.decided
    end = (
        "granted: every rule lets pass"
        if decided is None
        else f"denied by {decided.rule}: {ruling.reason} ({ruling.text})"
    )
    return [*rows, "", end]


def _document(situation: Situation, ruling: Ruling) -> dict[str, Any]:
    decided = ruling.decided
    return {
        "result": "granted" if ruling.granted else "denied",
        "reason": ruling.reason,
        "text": ruling.text,
        "rule": decided.rule if decided else None,
        "now": situation.now.isoformat(timespec="seconds"),
        "clock": situation.clock,
        "steps": [
            {"rule": step.rule, "mark": step.mark, "reason": step.reason, "text": step.text} for step in ruling.steps
        ],
    }
