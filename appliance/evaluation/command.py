"""`appliance evaluate`: asks the questions, prints the figures, writes the record and the report."""

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import appliance_models
from rich.console import Console

from appliance.calibration.points import CalibrationError
from appliance.evaluation import detection, identification, pose, robustness, verification
from appliance.evaluation.asked import Asked, UnexpectedAnswerError, UnscoredError
from appliance.evaluation.device import Device
from appliance.evaluation.identification import Wished
from appliance.evaluation.inquiry import Inquiry
from appliance.evaluation.journal import Journal
from appliance.evaluation.layout import LayoutError
from appliance.evaluation.own_device import DeviceFailedError, own_device
from appliance.evaluation.questions import QUESTIONS, Measured, identified
from appliance.evaluation.report import Finding, as_json, print_table, unjudged

ALL = "all"

NAMES = (*QUESTIONS, identification.QUESTION, robustness.QUESTION)
"""Every question."""

NEVER_JUDGED = {pose.QUESTION}
"""Questions for which this project has no pictures, and so no bounds."""

PORTRAIT = appliance_models.FOLDER / "portrait.jpg"
"""The bundled portrait; the robustness question pastes and turns it."""

RESTRICTED = "INF-25"

FAILURES = (
    OSError,
    HTTPException,
    UnexpectedAnswerError,
    UnscoredError,
    LayoutError,
    DeviceFailedError,
    CalibrationError,
)
"""What leaves a question open, each told in one line."""


class UsageError(Exception):
    """What was asked for cannot be had that way; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for on the command line."""

    question: str
    """One of NAMES, or "all" with a folder a question in `data`."""
    data: Path
    workers: int
    search: Wished = field(default_factory=Wished)
    """How the identification question searches."""
    device: str | None = None
    key: str | None = None
    json: Path | None = None
    report: Path | None = None
    answers: Path | None = None
    judge: bool = False
    config: Path | None = None
    """Of the device that the robustness question starts when it is given none."""

    @property
    def folders(self) -> dict[str, Path]:
        """The questions to ask, and the folder of each."""
        if self.question != ALL:
            return {self.question: self.data}
        folders = {name: self.data / name for name in NAMES}
        if not folders[identification.QUESTION].is_dir():
            folders[identification.QUESTION] = folders[verification.QUESTION]  # its pictures name their people, too
        return folders


@dataclass(slots=True)
class Results:
    """What has come of the questions so far."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    measured: dict[str, Measured] = field(default_factory=dict)
    asked: int = 0
    remembered: int = 0
    failed: bool = False

    def add(self, name: str, measured: Measured) -> None:
        """The figures of one question."""
        self.measured[name] = measured
        self.findings += measured.findings

    def leave_open(self, name: str, reason: str) -> None:
        """A question that has no answer: said in one line, and a figure that keeps no bound."""
        print(f"{name}: {reason}", file=sys.stderr)
        self.failed = True
        self.findings.append(Finding(name, "not measured", math.nan, at_least=0, note="none"))


def run(wanted: Wanted, engine: Callable[[], Asked]) -> int:
    """The exit status: 0 done (judged: every bound kept), 1 a question left open or a bound missed, 2 wrong usage.

    `engine` makes the face engine of this process, when one is needed.
    """
    try:
        _check(wanted)
        results = _results(wanted, engine)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except FAILURES as error:
        print(f"{wanted.question}: {one_line(error)}", file=sys.stderr)
        return 1
    if not wanted.judge:
        results.findings = unjudged(results.findings)
    print_table(results.findings, Console())
    try:
        _write(wanted, results)
    except OSError as error:
        print(one_line(error), file=sys.stderr)
        return 1
    missed = wanted.judge and not all(finding.passed for finding in results.findings)
    return 1 if missed or results.failed else 0


def one_line(error: Exception) -> str:
    """What went wrong; of an operating system's error, the file or address and its reason."""
    if isinstance(error, UnexpectedAnswerError) and error.code == RESTRICTED:
        return "the device refuses: it wants a key that opens this (--key), or has switched it off"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def record(results: Results) -> dict[str, Any]:
    """The figures as one JSON object, and all that they rest on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": dict(results.facts),
        "counts": {name: dict(measured.counts) for name, measured in results.measured.items()},
        "answers": {"asked": results.asked, "remembered": results.remembered},
        "findings": as_json(results.findings),
    }


def _check(wanted: Wanted) -> None:
    """Raises UsageError for what cannot work, before anything is measured."""
    if wanted.device is not None and wanted.question == detection.QUESTION:
        raise UsageError("detection: the HTTP API gives no scores, which AP needs: leave out --device")
    if wanted.key is not None and wanted.device is None:
        raise UsageError("--key: only a running device asks for one: add --device URL")
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if wanted.report is not None and missing:
        raise UsageError(f"--report: {' and '.join(missing)} missing: pip install 'face-appliance[report]'")
    for option, path in (("--json", wanted.json), ("--answers", wanted.answers)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{option}: {path.parent}: no such folder")
    if not wanted.data.is_dir():
        raise UsageError(f"{wanted.data}: no such folder")
    if wanted.question == ALL and not any(folder.is_dir() for folder in wanted.folders.values()):
        raise UsageError(f"{wanted.data}: none of the folders {', '.join(NAMES)} is there")


def _results(wanted: Wanted, engine: Callable[[], Asked]) -> Results:
    results = Results()
    with ExitStack() as stack:
        asked = _Engines(wanted, engine, stack)
        for name, folder in _present(wanted, results):
            try:
                if name == robustness.QUESTION:
                    results.facts = results.facts or asked.device().facts()
                    results.add(name, _robustness(asked.device(), folder, wanted.workers))
                else:
                    inquiry = asked.inquiry()
                    results.facts = inquiry.engine.facts()
                    ask = QUESTIONS.get(name) or partial(identified, wished=wanted.search)
                    results.add(name, ask(inquiry, folder))
            except FAILURES as error:
                results.leave_open(name, one_line(error))
        results.asked, results.remembered = asked.counts
    return results


def _present(wanted: Wanted, results: Results) -> Iterator[tuple[str, Path]]:
    """The questions that can be asked; the others are named in one line each."""
    for name, folder in wanted.folders.items():
        if not folder.is_dir():
            if wanted.judge and name not in NEVER_JUDGED:
                results.leave_open(name, f"{folder}: no such folder")
            else:
                print(f"{name}: left out, there is no folder {folder}", file=sys.stderr)
        elif name == detection.QUESTION and wanted.device is not None:
            print("detection: left out, the HTTP API gives no scores, which AP needs", file=sys.stderr)
        else:
            yield name, folder


class _Engines:
    """Whom to ask, made when first asked, and closed with `stack`."""

    def __init__(self, wanted: Wanted, engine: Callable[[], Asked], stack: ExitStack) -> None:
        self._wanted, self._engine, self._stack = wanted, engine, stack
        self._inquiry: Inquiry | None = None
        self._device: Device | None = None

    def inquiry(self) -> Inquiry:
        """The device that was named, else the engine of this process."""
        if self._inquiry is None:
            asked = self._engine() if self._wanted.device is None else self.device()
            journal = self._stack.enter_context(Journal(self._wanted.answers, asked.facts()))
            self._inquiry = Inquiry(asked, journal, self._wanted.workers)
        return self._inquiry

    def device(self) -> Device:
        """The device that was named, else one that is started."""
        if self._device is None:
            self._device = self._stack.enter_context(_device(self._address(), self._wanted.key))
        return self._device

    @property
    def counts(self) -> tuple[int, int]:
        """How many questions were asked, and how many answers were there already."""
        return (0, 0) if self._inquiry is None else (self._inquiry.journal.asked, self._inquiry.journal.remembered)

    def _address(self) -> str:
        if self._wanted.device is not None:
            return self._wanted.device
        options = [] if self._wanted.config is None else ["--config", str(self._wanted.config)]
        return self._stack.enter_context(own_device(*options)).url


def _device(url: str, key: str | None) -> Device:
    try:
        return Device(url, key)
    except ValueError as error:
        raise UsageError(f"--device: {error}") from error


def _robustness(device: Device, folder: Path, workers: int) -> Measured:
    findings = robustness.measure(device, folder, PORTRAIT.read_bytes(), workers)
    return Measured(findings, {"files": sum(path.is_file() for path in folder.iterdir())})


def _write(wanted: Wanted, results: Results) -> None:
    if wanted.json is not None:
        wanted.json.write_text(json.dumps(record(results), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if wanted.report is not None and results.measured:
        from appliance.evaluation.chapters import chapter
        from appliance.evaluation.page import write_page

        chapters = [chapter(outcome) for each in results.measured.values() for outcome in each.outcomes]
        path = write_page(wanted.report, record(results), results.findings, chapters)
        print(f"{path}: pictures of people's faces are in it; do not pass it on", file=sys.stderr)
