"""`appliance evaluate`: measures, prints the figures, writes the record and the page."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

from appliance import state
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationError
from appliance.config import Config
from appliance.vision.loading import engine_count
from appliance.vision.manifest import ModelError
from lab.device import ProgramFailedError, UnexpectedAnswerError, one_line, own_device
from lab.evaluate import detection, identification, landmarks, liveness, pose, robustness, verification
from lab.evaluate.client import Client
from lab.evaluate.datasets import LayoutError
from lab.report import Evaluation, Finding, print_table, unjudged, write_json, write_page

ALL = "all"
QUESTIONS = (verification, detection, landmarks, pose, liveness, identification, robustness)  # as they are reported
NEVER_JUDGED = {pose.QUESTION}  # for which this project has no pictures, and so no bounds
UNSCORED = "the HTTP API gives no scores, which AP needs"
FAILURES = (
    OSError, UnexpectedAnswerError, LayoutError, ProgramFailedError, CalibrationError, ModelError, sqlite3.Error,
)  # fmt: skip
"""What leaves a question open, reported in one line."""


class UsageError(Exception):
    """The options do not go together; the text says what to change."""


@dataclass(slots=True)
class Results:
    """What was measured so far."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    outcomes: dict[str, Evaluation] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    complete: bool = True

    def leave_open(self, name: str, reason: str) -> None:
        """A question without an answer: one line on the error stream, and a figure that keeps no bound."""
        print(f"{name}: {reason}", file=sys.stderr)
        self.complete = False
        self.findings.append(Finding(name, "not measured", nan, at_least=0, note="none"))


def main(options: argparse.Namespace, settings: Config) -> int:
    """The exit status: 0 done (judged: every bound kept), 1 a question left open or a bound missed, 2 wrong usage."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engines are the parallelism
    results = Results()
    try:
        folders = _checked(options)
        with ExitStack() as stack:
            _measure(options, settings, folders, results, stack)
        if not options.judge:
            results.findings = unjudged(results.findings)
        print_table(results.findings)
        _write(options, results)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except FAILURES as error:
        print(f"{options.question}: {one_line(error)}", file=sys.stderr)
        return 1
    return 0 if results.complete and all(finding.passed for finding in results.findings) else 1


def _checked(options: argparse.Namespace) -> dict[str, Path]:
    """The questions to ask, and the folder of each. Raises UsageError for what cannot work, before anything is measured."""
    if options.device is not None and options.question == detection.QUESTION:
        raise UsageError(f"detection: {UNSCORED}: leave out --device")
    if options.key is not None and options.device is None:
        raise UsageError("--key: only a running device needs one: add --device URL")
    written = {"--json: ": options.json, "--answers: ": options.answers}
    needed = {option: path.parent for option, path in written.items() if path} | {"": options.data}
    for option, folder in needed.items():
        if not folder.is_dir():
            raise UsageError(f"{option}{folder}: no such folder")
    if options.question != ALL:
        return {options.question: options.data}
    folders = {each.QUESTION: options.data / each.QUESTION for each in QUESTIONS}
    if not folders[identification.QUESTION].is_dir():
        folders[identification.QUESTION] = folders[verification.QUESTION]  # its pictures name their people, too
    if not any(folder.is_dir() for folder in folders.values()):
        raise UsageError(f"{options.data}: none of the folders {', '.join(folders)} is there")
    return folders


def _measure(
    options: argparse.Namespace, settings: Config, folders: Mapping[str, Path], results: Results, stack: ExitStack
) -> None:
    """Asks every question that can be asked, and names the others in one line each. Raises one of FAILURES when the device does
    not answer.
    """
    measures: dict[str, Callable[[Client, Path], Evaluation]] = {each.QUESTION: each.measure for each in QUESTIONS}
    measures[detection.QUESTION] = partial(detection.measure, settings=settings)
    known, models = settings.gallery, settings.engine.folder
    enrolled = {"templates": options.templates, "strangers": options.strangers, "held_out": options.held_out}
    measures[identification.QUESTION] = partial(identification.measure, known=known, models=models, **enrolled)
    present = {}
    for name, folder in folders.items():
        if not folder.is_dir() and options.judge and name not in NEVER_JUDGED:
            results.leave_open(name, f"{folder}: no such folder")
        elif not folder.is_dir():
            print(f"{name}: left out, there is no folder {folder}", file=sys.stderr)
        elif name == detection.QUESTION and options.device is not None:
            print(f"detection: left out, {UNSCORED}", file=sys.stderr)
        else:
            present[name] = folder
    if not present:
        return
    client = stack.enter_context(_client(options, settings, stack))
    results.facts = client.version
    for name, folder in present.items():
        try:
            results.outcomes[name] = outcome = measures[name](client, folder)
            results.findings += outcome.findings
        except FAILURES as error:
            results.leave_open(name, one_line(error))
    results.answers = {"asked": client.journal.asked, "remembered": client.journal.remembered}


def _client(options: argparse.Namespace, settings: Config, stack: ExitStack) -> Client:
    """Of the named device; else of one of our own with the configured engine, limits and operating points."""
    url, workers = options.device, options.workers or engine_count(settings.engine.engines).count
    if url is None:
        engine = settings.engine.model_copy(update={"engines": workers})
        limits = settings.server.model_dump(include={"max_megapixels", "max_body_mib"})
        sections = {"engine": engine.model_dump(mode="json", exclude_none=True), "server": limits}
        calibration = state.folder(settings.state.folder) / calibration_file.FILE
        url = stack.enter_context(own_device(sections, calibration)).url
    try:
        return Client(url, options.key, answers=options.answers, workers=workers)
    except ValueError as error:
        raise UsageError(f"--device: {error}") from error


def _write(options: argparse.Namespace, results: Results) -> None:
    """The figures as one JSON object with what they rest on, and the page."""
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": dict(results.facts),
        "counts": {name: dict(outcome.counts) for name, outcome in results.outcomes.items()},
        "answers": results.answers,
        "findings": [finding.as_json() for finding in results.findings],
    }
    write_json(options.json, record)
    if options.report is not None and results.outcomes:
        path = write_page(options.report, results.facts, results.findings, results.outcomes)
        print(f"{path}: pictures of people's faces are in it; do not pass it on", file=sys.stderr)
