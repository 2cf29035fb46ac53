"""The operating point of the liveness check: from real people, and attacks, before the device's own camera."""

import sys
import time
from collections.abc import Iterator
from math import ceil

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.calibration import choice
from appliance.calibration.bounds import measured
from appliance.calibration.entries import Basis, CalibrationError, Entry, Kind, LivenessEntry, Measured, now, record
from appliance.calibration.rounds import Rounds
from appliance.calibration.statistics import Attacks
from appliance.calibrator.door import Door, InUse, Judged
from appliance.calibrator.outcome import Outcome, Point
from appliance.evaluation.measures import RULE_OF_THREE, Reals, bona_fide_classification_error, rate
from appliance.vision.liveness import SHIPPED_ODDS

PACE_SECONDS = 1.2
"""From question to question: all four frames of the next answer are new."""

USELESS = 0.5
"""BPCER from which on a threshold decides nothing: an attack has the better chance."""

UNREADY_SECONDS = 10.0
"""A camera that has not shown anything for so long will not by itself."""


NOTICED_SECONDS, POLL_SECONDS = 4.0, 0.2
"""How long a running device may take to notice, twice what it promises; and how often it is asked."""


def measure(door: Door, in_use: InUse, shown: str, seconds: float) -> tuple[tuple[float, ...], str]:
    """Asks for so long what the device makes of those before its camera: log odds, and why it ended early if it did.

    Ctrl-C ends it early. Raises CalibrationError when nothing was judged before the device stopped answering.
    """
    odds: list[float] = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(20), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task, begun = progress.add_task(shown, total=seconds), time.monotonic()
        try:
            for judged in asked(door, seconds):
                odds += [] if judged.odds is None else [judged.odds]
                said = in_words(shown, odds, in_use.threshold, judged)
                progress.update(task, completed=time.monotonic() - begun, description=said)
        except KeyboardInterrupt:
            return tuple(odds), "ended by Ctrl-C"
        except CalibrationError as error:
            if not odds:
                raise
            return tuple(odds), str(error)
    return tuple(odds), ""


def asked(door: Door, seconds: float) -> Iterator[Judged]:
    """One verdict every PACE_SECONDS, for so long. Raises CalibrationError."""
    answered = begun = time.monotonic()
    while (at := time.monotonic()) < begun + seconds:
        judged = door.judge()
        if not judged.unready:
            answered = at
        elif at - answered > UNREADY_SECONDS:
            raise CalibrationError(f"{door.url}: {door.trouble()}")
        yield judged
        time.sleep(max(0.0, at + PACE_SECONDS - time.monotonic()))


def taken(door: Door, entry: Entry) -> bool:
    """Whether the device has taken a new operating point within some seconds. Raises CalibrationError."""
    since = str(record(entry)["date"])
    until = time.monotonic() + NOTICED_SECONDS
    while not (seen := door.in_use().since == since) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return seen


def in_words(shown: str, odds: list[float], threshold: float, newest: Judged) -> str:
    """Such as "real: 12 sequences, 92 % taken for live now · nobody is there"."""
    live = sum(each >= threshold for each in odds)
    share = f", {100 * live / len(odds):.0f} % taken for live now" if odds else ""
    state = " · nobody is there" if newest.nobody else " · no picture yet" if newest.unready else ""
    return f"{shown}: {len(odds)} sequences{share}{state}"


def chosen(in_use: InUse, rounds: Rounds, shipped: Attacks | None, bpcer: float, apcer: float) -> Outcome:
    """The operating point from all rounds; species that were not tried here are as in the bundled statistics.

    Raises CalibrationError with too few sequences of real people, and when most of them would be turned away.
    """
    real, tried = rounds.real(), rounds.attacks()
    known = shipped.odds() if shipped else {}
    threshold = choice.odds(real, known, tried, bpcer, apcer, SHIPPED_ODDS)
    refused = bona_fide_classification_error(real, threshold)
    if refused.value > USELESS:
        raise CalibrationError(
            f"{refused.count} of {refused.total} real people would be turned away: is the picture sharp, bright and of one "
            "moving person, and do attacks look as alive as people? `--reset`, and again"
        )
    entry = LivenessEntry(
        model=in_use.model,
        threshold=threshold,
        wanted={"bpcer": bpcer, "apcer": apcer},
        measured=_rates(threshold, real, known, tried),
        counts={"real_sequences": real.size, **{f"{name}_sequences": odds.size for name, odds in tried.items()}},
        basis=Basis.CAMERA,
        date=now(),
    )
    notes = tuple(_notes(entry, real, tried, lowerable=choice.lowerable(tried)))
    return Outcome(Kind.LIVENESS, (Point(in_use.file, in_use.threshold, entry),), notes)


def _rates(threshold: float, real: Reals, shipped: dict[str, Reals], tried: dict[str, Reals]) -> dict[str, Measured]:
    bundled = {f"apcer {name} (bundled)": odds for name, odds in shipped.items()}
    attacks = {**{f"apcer {name}": odds for name, odds in tried.items()}, **bundled}
    errors = {name: measured(rate(odds >= threshold)) for name, odds in attacks.items()}
    return {"bpcer": measured(bona_fide_classification_error(real, threshold)), **errors}


def _notes(entry: LivenessEntry, real: Reals, tried: dict[str, Reals], *, lowerable: bool) -> Iterator[str]:
    refused, wanted = entry.measured["bpcer"], entry.wanted["bpcer"]
    if refused.value > wanted and entry.threshold == SHIPPED_ODDS and not lowerable:
        yield (
            f"the shipped threshold turns {100 * refused.value:.3g} % of real people away instead of {100 * wanted:g} %; it is "
            f"lowered only when {choice.FEWEST_SEQUENCES} sequences of prints and of replays each were tried at this camera"
        )
    elif refused.value > wanted:
        yield f"keeping the APCER costs a BPCER of {100 * refused.value:.3g} % instead of {100 * wanted:g} %"
    fewest = ceil(RULE_OF_THREE / wanted)
    if real.size < fewest:
        yield f"from {fewest} sequences of as many people on the BPCER can be borne out: the same command again adds a round"
    if not tried:
        yield (
            "no attack was tried here: what gets through at this camera is not known; "
            "`--attack print`, `--attack replay` try them"
        )
