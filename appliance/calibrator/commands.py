"""`appliance calibrate similarity` and `appliance calibrate liveness`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from appliance import machine, state
from appliance.calibration import file, rounds
from appliance.calibration.entries import CalibrationError, Kind
from appliance.calibration.rounds import REAL, Rounds
from appliance.calibration.statistics import Statistics
from appliance.calibrator import liveness as liveness_calibrator
from appliance.calibrator import outcome, recording
from appliance.calibrator.door import Door
from appliance.calibrator.outcome import Outcome
from appliance.calibrator.similarity import SimilarityCalibrator
from appliance.config import Config
from appliance.faults import Fault
from appliance.vision.store import ModelError


def similarity(options: argparse.Namespace, settings: Config) -> int:
    """Finds, prints and keeps the embedder's operating point; the exit status."""
    path = _folder(settings) / file.FILE

    def run() -> int:
        if options.record:
            return _said(f"recorded: {recording.impostors(settings, options.photos)}")
        if options.reset:
            return _reset(path, Kind.SIMILARITY)
        calibrator = SimilarityCalibrator(settings, file.read(path).thresholds())
        if options.photos:
            found = calibrator.from_photos(options.photos, options.fmr, options.check)
        else:
            found = calibrator.from_statistics(options.fmr)
        return _keep(options, path, found)

    return _answered(run)


def liveness(options: argparse.Namespace, settings: Config) -> int:
    """Asks the device, prints and keeps the liveness check's operating point; the exit status."""
    folder = _folder(settings)

    def run() -> int:
        if options.record:
            return _said(f"recorded: {recording.attacks(settings, options.record)}")
        if options.reset:
            rounds.forget(folder / rounds.FILE)
            return _reset(folder / file.FILE, Kind.LIVENESS)
        before = file.read(folder / file.FILE)  # a damaged one is said before anybody stands before the camera
        door = Door(options.device or f"http://127.0.0.1:{settings.server.port}", options.key)
        in_use = door.in_use()
        so_far = rounds.read(folder / rounds.FILE, in_use.model)
        shown = options.attack or REAL
        odds, ended = liveness_calibrator.measure(door, in_use, shown, 60 * options.minutes)
        if ended:
            print(ended, file=sys.stderr)
        judged = _with_round(options, folder, so_far, shown, odds)
        attacks = Statistics.read(machine.model_folder(settings.engine)).attacks.get(in_use.model)
        found = liveness_calibrator.chosen(in_use, judged, attacks, options.bpcer, options.apcer)
        status = _keep(options, folder / file.FILE, found)
        if options.dry_run:
            return status
        if liveness_calibrator.taken(door, found.entries[0]):
            return _said(f"{door.url} has taken it")
        file.keep(folder / file.FILE, Kind.LIVENESS, before.liveness)
        rounds.put(folder / rounds.FILE, so_far)
        raise CalibrationError(
            f"{door.url} does not take it, so nothing is kept: its state is not in {folder} (state.folder, STATE_DIRECTORY); "
            "run this on that device"
        )

    return _answered(run)


def _with_round(
    options: argparse.Namespace, folder: Path, so_far: Rounds, shown: str, odds: tuple[float, ...]
) -> Rounds:
    """Kept at once, so that too few of one kind are not lost."""
    if not odds:
        raise CalibrationError(f"{shown}: nobody was judged: stand before the camera, and again")
    if options.dry_run:
        return so_far.with_round(shown, odds)
    print(f"{shown}: {len(odds)} sequences, kept", file=sys.stderr)
    return rounds.add(folder / rounds.FILE, so_far.model, shown, odds)


def _keep(options: argparse.Namespace, path: Path, found: Outcome) -> int:
    written = not options.dry_run
    if written:
        file.keep(path, found.kind, found.entries)
    if options.json:
        print(json.dumps(outcome.document(found, written=written)))
    else:
        print("\n".join(outcome.lines(found)))
        print(f"written: {path}" if written else "nothing is written (--dry-run)")
    return 0


def _reset(path: Path, kind: Kind) -> int:
    file.forget(path, kind)
    return _said(f"{kind}: the shipped operating point holds again")


def _said(line: str) -> int:
    print(line, file=sys.stderr)
    return 0


def _folder(settings: Config) -> Path:
    return state.folder(settings.state.folder)


def _answered(run: Callable[[], int]) -> int:
    try:
        return run()
    except OSError as error:
        print(": ".join(filter(None, (error.filename, error.strerror))), file=sys.stderr)
    except (CalibrationError, ModelError, Fault) as error:
        print(error, file=sys.stderr)
    return 1
