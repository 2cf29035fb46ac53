"""`appliance decisions`: what the record of decisions says, and whether it is whole."""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from appliance import state
from appliance.access_control import recall
from appliance.access_control.chain import Entry
from appliance.access_control.recall import RecordError
from appliance.access_control.record import FOLDER
from appliance.access_control.verification import Anchor, Verdict, verify
from appliance.config import Config


def listing(options: argparse.Namespace, settings: Config) -> int:
    """Prints the newest entries, newest first; the exit status."""

    def run() -> int:
        for entry in recall.newest(_folder(settings), options.count):
            print(json.dumps(_document(entry), ensure_ascii=False) if options.json else _line(entry))
        return 0

    return _answered(run)


def verification(options: argparse.Namespace, settings: Config) -> int:
    """Reads the whole record and prints what it found; the exit status: 1 when anything is wrong."""

    def run() -> int:
        verdict = verify(_folder(settings), options.anchor)
        if options.json:
            print(json.dumps(asdict(verdict) | {"sound": verdict.sound}))
        else:
            print(_told(verdict, options.anchor))
        return 0 if verdict.sound else 1

    return _answered(run)


def _folder(settings: Config) -> Path:
    return state.folder(settings.state.folder) / FOLDER


def _line(entry: Entry) -> str:
    moment = entry.time.astimezone().isoformat(" ", "milliseconds")
    facts = dict(entry.facts)
    said = [str(facts.pop(name)) for name in ("result", "reason", "direction", "person") if facts.get(name) is not None]
    if entry.kind != "decision":
        said += [f"{name}={json.dumps(fact, ensure_ascii=False)}" for name, fact in facts.items()]
    return f"{entry.sequence:>8}  {moment}  {entry.kind:<9} {' '.join(said)}".rstrip()


def _document(entry: Entry) -> dict[str, Any]:
    time = entry.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "sequence": entry.sequence,
        "time": time,
        "kind": entry.kind,
        "facts": dict(entry.facts),
        "hash": entry.hash,
    }


def _told(verdict: Verdict, anchor: Anchor | None) -> str:
    if verdict.problem:
        sound = f"sound up to {verdict.last}; " if verdict.entries else ""
        return f"{sound}{verdict.problem}"
    if not verdict.entries:
        return "nothing is recorded"
    text = f"sound: {verdict.entries} entries, {verdict.first} to {verdict.last}; anchor {verdict.last}:{verdict.hash}"
    if anchor and anchor.sequence < verdict.first:
        return f"{text}; entry {anchor.sequence}, which the anchor names, has expired"
    return text


def _answered(run: Callable[[], int]) -> int:
    try:
        return run()
    except RecordError as error:
        print(error, file=sys.stderr)
        return 1
