"""`appliance evaluate`: measures, prints the figures, writes the record and the report."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from appliance import state
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationError
from appliance.config import Config
from appliance.vision.loading import engine_count
from appliance.vision.manifest import ModelError
from lab.device import DeviceFailedError, UnexpectedAnswerError, own_device
from lab.evaluate import detection, identification, landmarks, liveness, pose, robustness, verification
from lab.evaluate.client import Client
from lab.evaluate.datasets import LayoutError
from lab.evaluate.identification import Wished
from lab.report import Evaluation, Finding, print_table, unjudged

ALL = "all"

NAMES = ("verification", "detection", "landmarks", "pose", "liveness", "identification", "robustness")
"""Every question, in the order of the report."""

NEVER_JUDGED = {pose.QUESTION}
"""Questions for which this project has no pictures, and so no bounds."""

RESTRICTED = "INF-25"

UNSCORED = "the HTTP API gives no scores, which AP needs"

FAILURES = (OSError, UnexpectedAnswerError, LayoutError, DeviceFailedError, CalibrationError, ModelError)
"""What leaves a question open, reported in one line."""

WARNING = "This page holds pictures of people's faces: keep it where the pictures may be kept, and do not pass it on."


class UsageError(Exception):
    """The options do not go together; the text says what to change."""


@dataclass(slots=True)
class Results:
    """What was measured so far."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    outcomes: dict[str, Evaluation] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every question has an answer."""
        return all(finding.note != "none" for finding in self.findings)

    def leave_open(self, name: str, reason: str) -> None:
        """A question without an answer: one line on the error stream, and a figure that keeps no bound."""
        print(f"{name}: {reason}", file=sys.stderr)
        self.findings.append(Finding(name, "not measured", math.nan, at_least=0, note="none"))

    def record(self) -> dict[str, Any]:
        """The figures as one JSON object, and what they rest on."""
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": dict(self.facts),
            "counts": {name: dict(outcome.counts) for name, outcome in self.outcomes.items()},
            "answers": self.answers,
            "findings": [finding.as_json() for finding in self.findings],
        }


def main(options: argparse.Namespace, settings: Config) -> int:
    """The exit status: 0 done (judged: every bound kept), 1 a question left open or a bound missed, 2 wrong usage."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the engines are the parallelism
    try:
        check(options)
        results = _results(options, settings)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except FAILURES as error:
        print(f"{options.question}: {one_line(error)}", file=sys.stderr)
        return 1
    complete = results.complete
    if not options.judge:
        results.findings = unjudged(results.findings)
    print_table(results.findings)
    try:
        _write(options, results)
    except OSError as error:
        print(one_line(error), file=sys.stderr)
        return 1
    return 0 if complete and all(finding.passed for finding in results.findings) else 1


def one_line(error: Exception) -> str:
    """The text of an error; of an operating system's error, the file or address and the reason."""
    if isinstance(error, UnexpectedAnswerError) and error.code == RESTRICTED:
        return "the device refuses: this needs a key with the right scope (--key), or is switched off"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def check(options: argparse.Namespace) -> None:
    """Raises UsageError for what cannot work, before anything is measured."""
    if options.device is not None and options.question == detection.QUESTION:
        raise UsageError(f"detection: {UNSCORED}: leave out --device")
    if options.key is not None and options.device is None:
        raise UsageError("--key: only a running device needs one: add --device URL")
    for option, path in (("--json", options.json), ("--answers", options.answers)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{option}: {path.parent}: no such folder")
    if not options.data.is_dir():
        raise UsageError(f"{options.data}: no such folder")
    if options.question == ALL and not any(folder.is_dir() for folder in folders(options).values()):
        raise UsageError(f"{options.data}: none of the folders {', '.join(NAMES)} is there")


def folders(options: argparse.Namespace) -> dict[str, Path]:
    """The questions to ask, and the folder of each."""
    if options.question != ALL:
        return {options.question: options.data}
    found = {name: options.data / name for name in NAMES}
    if not found[identification.QUESTION].is_dir():
        found[identification.QUESTION] = found[verification.QUESTION]  # its pictures name their people, too
    return found


def questions(options: argparse.Namespace, settings: Config) -> dict[str, Callable[[Client, Path], Evaluation]]:
    """The function that measures each question; raises one of FAILURES."""
    known = settings.gallery
    wished = Wished(known.fpir, known.margin, options.templates, options.strangers, settings.engine.folder)
    return {
        verification.QUESTION: verification.measure,
        detection.QUESTION: partial(detection.measure, settings=settings),
        landmarks.QUESTION: landmarks.measure,
        pose.QUESTION: pose.measure,
        liveness.QUESTION: liveness.measure,
        identification.QUESTION: partial(identification.measure, wished=wished),
        robustness.QUESTION: robustness.measure,
    }


def _results(options: argparse.Namespace, settings: Config) -> Results:
    results, measure = Results(), questions(options, settings)
    present = dict(_present(options, results))
    if not present:
        return results
    with ExitStack() as stack:
        client = stack.enter_context(_client(options, settings, stack))
        results.facts = client.version
        for name, folder in present.items():
            try:
                outcome = measure[name](client, folder)
                results.findings += outcome.findings
                results.outcomes[name] = outcome
            except FAILURES as error:
                results.leave_open(name, one_line(error))
        results.answers = {"asked": client.journal.asked, "remembered": client.journal.remembered}
    return results


def _present(options: argparse.Namespace, results: Results) -> Iterator[tuple[str, Path]]:
    """The questions that can be asked; the others are named in one line each."""
    for name, folder in folders(options).items():
        if not folder.is_dir() and options.judge and name not in NEVER_JUDGED:
            results.leave_open(name, f"{folder}: no such folder")
        elif not folder.is_dir():
            print(f"{name}: left out, there is no folder {folder}", file=sys.stderr)
        elif name == detection.QUESTION and options.device is not None:
            print(f"detection: left out, {UNSCORED}", file=sys.stderr)
        else:
            yield name, folder


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
    record, facts = results.record(), results.facts
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if options.report is not None and results.outcomes:
        from lab import page

        counts = {name: ", ".join(f"{n} {what}" for what, n in each.items()) for name, each in record["counts"].items()}
        models = {model["file"]: f"sha256 {model['sha256']}" for model in facts["models"]}
        about = {
            "date": record["date"],
            "program": facts["sdk_version"],
            "runtime": "{name} {version}".format(**facts["runtime"]),
        }
        sections = [section for outcome in results.outcomes.values() for section in outcome.sections]
        path = page.write(options.report, WARNING, {**about, **counts, **models}, results.findings, sections)
        print(f"{path}: pictures of people's faces are in it; do not pass it on", file=sys.stderr)
