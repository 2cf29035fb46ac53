"""`appliance policy explain`, a dry run of the configured policy; and `appliance decisions`, the record of decisions."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from appliance import state
from appliance.access.challenge import ChallengeMode, Response
from appliance.access.clock import Clock
from appliance.access.decision_table import COLUMNS, DecisionFilter
from appliance.access.factors import Given, PinCheck
from appliance.access.log import DECISION, RECORD_FILE, VOIDS, Entry, Record, RecordError, Verdict, voided
from appliance.access.passes import VisitorPass
from appliance.access.policy import ClockState, Facts, Observation, Policy, PolicyResult, Rules, Subject
from appliance.access.token import Anchor, Direction
from appliance.cli.batch import write
from appliance.cli.gallery import opened
from appliance.cli.options import NONE, OFF
from appliance.cli.passes import opened_passes
from appliance.config import Config
from appliance.fleet.policy import PolicyBook
from appliance.gallery.gallery import FILE
from appliance.gallery.people import GalleryError, LastPassage, NoSuchPersonError, Person
from appliance.gallery.search import Outcome
from appliance.gallery.table import table
from appliance.outputs.osdp_key import request_pairing


def explain(options: argparse.Namespace, settings: Config) -> int:
    """Prints the result of each rule, and which one decided; the exit status. Changes nothing, and uses no camera."""
    try:
        who = _who(options, settings)
        facts = _facts(options, settings, who)
    except GalleryError as error:
        print(f"{options.person or options.visitor}: {error}", file=sys.stderr)
        return 1
    folder, fleet = state.folder(settings.state.folder), settings.fleet
    shared, publishers = fleet.enabled and fleet.policy, fleet.policy_from
    book = PolicyBook(folder, settings.door.merged_rules, shared=shared, publishers=publishers)
    result = Policy(rules := book.rules).judge(facts)
    assumed = _assumed(options, rules, facts, who)
    if options.json:
        door = {"door": " ".join(_door_lines(rules, facts)) or None}
        policy = {"policy": book.document()} if fleet.enabled else {}
        print(json.dumps(_policy_document(facts, result) | {"assumed": assumed} | door | policy, ensure_ascii=False))
    else:
        of_the_fleet = _fleet_lines(book) if fleet.enabled else []
        print("\n".join([*_lines(result, assumed), *_door_lines(rules, facts), *of_the_fleet]))
    return 0


@dataclass(frozen=True, slots=True)
class _Who:
    """The person, what the gallery knows of them, and the outcome of the search. One who is made up has what is required."""

    person: Person
    outcome: Outcome
    last: LastPassage | None = None
    has_pin: bool = True


def _who(options: argparse.Namespace, settings: Config) -> _Who:
    if options.person is None:
        person = Person("", "", options.groups, options.valid_from, options.valid_until, "", datetime.now(UTC))
        return _Who(person, Outcome(options.outcome or Outcome.IDENTIFIED))
    if not (state.folder(settings.state.folder) / FILE).exists():
        raise NoSuchPersonError("there is no gallery here yet")
    with opened(settings) as gallery:
        known = gallery.person(options.person)
        person = known.person
        last, pin = gallery.last_passage(person.reference), gallery.pin(person.reference)
    outcome = Outcome(options.outcome or (Outcome.IDENTIFIED if known.templates else Outcome.UNKNOWN))
    person = replace(
        person,
        valid_from=options.valid_from or person.valid_from,
        valid_until=options.valid_until or person.valid_until,
    )
    return _Who(person, outcome, _local(last), pin is not None)


def _facts(options: argparse.Namespace, settings: Config, who: _Who) -> Facts:
    now, clock = _when(options, settings)
    return Facts(
        now=now,
        clock=clock,
        direction=Direction(options.direction),
        repeated=options.repeated,
        gallery=None if settings.gallery.enabled else "gallery.enabled = false",
        recordable=not options.full,
        seen=Observation(
            trouble="as --blind says" if options.blind else None,
            faces=options.faces,
            subject=None if options.not_followed or options.visitor else _subject(options, settings, who),
            visitor=_visitor(options, settings),
        ),
        last=_local(options.last) if "last" in options else who.last,
        given=_given(options, who),
    )


def _visitor(options: argparse.Namespace, settings: Config) -> VisitorPass | None:
    if options.visitor is None:
        return None
    with opened_passes(settings) as book:
        return book.one(options.visitor)


def _given(options: argparse.Namespace, who: _Who) -> Given:
    identified = who.outcome is Outcome.IDENTIFIED
    pin = options.pin or (NONE if not identified else PinCheck.RIGHT if who.has_pin else PinCheck.UNSET)
    by_id = who.person if pin == PinCheck.RIGHT and not identified else None
    challenge = None if options.challenge == NONE else Response(options.challenge or Response.PASSED)
    return Given(None if pin == NONE else PinCheck(pin), by_id, challenge=challenge)


def _when(options: argparse.Namespace, settings: Config) -> tuple[datetime, ClockState]:
    if options.at is not None:
        return options.at.astimezone(), ClockState(options.clock or ClockState.SYNCHRONISED)
    watch = Clock()
    try:
        latest = _record(settings).latest()
    except RecordError as error:
        print(f"record of decisions: {error}", file=sys.stderr)
        latest = None
    if latest:
        watch.not_before(latest)
    reading = watch.read()
    return reading.now, ClockState(options.clock or reading.state)


def _subject(options: argparse.Namespace, settings: Config, who: _Who) -> Subject:
    default = None if settings.liveness.mode == "single" else 1.0
    return Subject(
        upright=not options.turned,
        liveness=default if options.liveness is None else None if options.liveness == OFF else options.liveness,
        one_person=not options.swapped,
        quality=options.quality,
        weakest="--quality was given",
        outcome=who.outcome,
        person=who.person if who.outcome is Outcome.IDENTIFIED else None,
    )


def _assumed(options: argparse.Namespace, rules: Rules, facts: Facts, who: _Who) -> list[str]:
    """What no option and no gallery says, and which option would."""
    if facts.seen.subject is None:
        return []
    identified = who.outcome is Outcome.IDENTIFIED
    found = {
        "the face is recognised (--outcome)": identified and options.outcome is None,
        f"{options.person} is not recognised, because they have no templates (--outcome)": not (
            identified or options.outcome
        ),
        "the picture is of a living person (--liveness)": facts.seen.subject.liveness is not None
        and options.liveness is None,
        "the clock is synchronised (--clock)": options.at is not None and options.clock is None,
        "the challenge is passed (--challenge)": rules.challenge is not ChallengeMode.NEVER
        and options.challenge is None,
        "the PIN is typed right (--pin)": rules.factors.rules
        and facts.given.pin is PinCheck.RIGHT
        and options.pin is None,
    }
    return [text for text, assumed in found.items() if assumed]


def _local(last: LastPassage | None) -> LastPassage | None:
    return (last[0], last[1].astimezone()) if last else None


def _lines(result: PolicyResult, assumed: Sequence[str]) -> list[str]:
    wide = max(len(step.rule) for step in result.steps)
    rows = [f"{step.rule:<{wide}}  {step.mark:<7}  {step.text}" for step in result.steps]
    decided = result.decided
    end = (
        "granted: every rule passed"
        if decided is None
        else f"denied by {decided.rule}: {result.reason} ({result.text})"
    )
    return [*rows, "", *([f"assumed: {'; '.join(assumed)}"] if assumed else []), end]


def _door_lines(rules: Rules, facts: Facts) -> list[str]:
    """Whether the door is open for everyone, if it ever is."""
    found = rules.open_period(facts.now, facts.clock)
    if found is None:
        return ["the door is locked"] * bool(rules.open_periods)
    period, _ = found
    return [f"the door is open for everyone{', from the first grant on' if period.groups else ''}: {period}"]


def _fleet_lines(book: PolicyBook) -> list[str]:
    """Whose rules these are, and which last passages are known, if they matter."""
    shared = (
        "last passages are shared with the fleet; while its servers are away, those at other doors are known up to then"
    )
    policy = f"of the fleet, {book.kept.policy}" if book.kept else "of this device"
    return [f"policy: {policy}", *([shared] if book.rules.remembers else [])]


def _policy_document(facts: Facts, result: PolicyResult) -> dict[str, Any]:
    decided = result.decided
    return {
        "result": "granted" if result.granted else "denied",
        "reason": result.reason,
        "text": result.text,
        "rule": decided.rule if decided else None,
        "now": facts.now.isoformat(timespec="seconds"),
        "clock": facts.clock,
        "steps": list(map(asdict, result.steps)),
    }


def list_decisions(options: argparse.Namespace, settings: Config) -> int:
    """Prints the newest entries, newest first. Raises RecordError."""
    entries = _record(settings).newest(options.count)
    void = voided(entries)
    for entry in entries:
        is_void = entry.sequence in void
        if options.json:
            print(json.dumps(entry.document() | ({"void": True} if is_void else {}), ensure_ascii=False))
        else:
            print(_line(entry) + " (void)" * is_void)
    return 0


def export_decisions(options: argparse.Namespace, settings: Config) -> int:
    """Writes decisions to a table. Raises RecordError, OSError."""
    wanted = DecisionFilter(
        options.since, options.until, options.person, options.result, options.reason, options.direction
    )
    record, there = _record(settings), (state.folder(settings.state.folder) / FILE).exists()
    with opened(settings) if there else nullcontext() as gallery:

        def named(reference: str) -> Person | None:
            known = gallery.named(reference) if gallery else None
            return known.person if known else None

        rows = [each.row() for each in wanted.listed(record, named)]
    status = write(options.file, table(COLUMNS, rows))
    if not rows:
        erased = "; people who were erased have no id there any more" if options.person else ""
        print(f"no decision matches{erased}", file=sys.stderr)
    return status


def verify_record(options: argparse.Namespace, settings: Config) -> int:
    """Reads the whole record and prints the verdict; the exit status: 1 if it is not sound. Raises RecordError."""
    verdict = _record(settings).verify(options.anchor)
    print(
        json.dumps(asdict(verdict) | {"sound": verdict.sound})
        if options.json
        else _verdict_text(verdict, options.anchor)
    )
    return 0 if verdict.sound else 1


def pair(options: argparse.Namespace, settings: Config) -> int:
    """Asks the running device to let the panel set a key. Raises OSError."""
    if settings.osdp.port is None:
        print("osdp.port is not set: there is no panel", file=sys.stderr)
        return 1
    request_pairing(state.folder(settings.state.folder), options.minutes)
    print(f"for {options.minutes:g} minutes the panel may set a key, once: begin pairing at the panel", file=sys.stderr)
    return 0


def _record(settings: Config) -> Record:
    return Record(state.folder(settings.state.folder) / RECORD_FILE)


def _line(entry: Entry) -> str:
    moment = entry.time.astimezone().isoformat(" ", "milliseconds")
    facts = dict(entry.facts)
    names = ("result", "reason", "direction", "person", *(["pass"] if entry.kind == DECISION else []))
    words = [str(facts.pop(name)) for name in names if facts.get(name) is not None]
    if entry.kind != DECISION:
        words += [f"{name}={json.dumps(fact, ensure_ascii=False)}" for name, fact in facts.items()]
    if facts.get("repeats"):
        words.append(f"(the one before {facts['repeats']} times more)")
    if VOIDS in facts:
        words.append(f"(voids {facts[VOIDS]})")
    return f"{entry.sequence:>8}  {moment}  {entry.kind:<9} {' '.join(words)}".rstrip()


def _verdict_text(verdict: Verdict, anchor: Anchor | None) -> str:
    if verdict.problem:
        sound = f"sound up to {verdict.last}; " if verdict.entries else ""
        return f"{sound}{verdict.problem}"
    if not verdict.entries:
        return "nothing is recorded"
    text = f"sound: {verdict.entries} entries, {verdict.first} to {verdict.last}; anchor {verdict.last}:{verdict.hash}"
    if anchor and anchor.sequence < verdict.first:
        return f"{text}; entry {anchor.sequence}, which the anchor names, has expired"
    return text
