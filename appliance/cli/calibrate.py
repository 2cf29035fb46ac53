"""`appliance calibrate similarity` and `liveness`. Each raises CalibrationError, ModelError, Fault or OSError."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from appliance import state
from appliance.calibration import points, statistics
from appliance.calibration.points import (
    REAL,
    Basis,
    CalibrationError,
    Kind,
    LivenessEntry,
    Measured,
    PointEntry,
    Rounds,
    SimilarityEntry,
    now,
)
from appliance.calibration.rates import RULE_OF_THREE, Reals, bona_fide_classification_error, rate
from appliance.calibration.statistics import (
    Attacks,
    ImpostorTable,
    Pairs,
    Statistics,
    compared,
    genuine_bounds,
    impostor_bounds,
    measured,
)
from appliance.cli.photos import Photo, PhotoEngine, PhotoFaces, listed, numbered
from appliance.client import Client, Reply
from appliance.config import Config
from appliance.faults import ResultCode
from appliance.vision.embedder import Comparator
from appliance.vision.liveness import SHIPPED_ODDS
from appliance.vision.loading import listed_comparators
from appliance.vision.manifest import ModelStore

FEW_PEOPLE = 20
"""With fewer people, resampling them (the bootstrap) says little about others."""

MOST_NAMED = 3
"""Unusable photos that are named."""

TIMEOUT_SECONDS = 30.0
"""Of a request to the device, as clients of the contract wait."""

PACE_SECONDS = 1.2
"""Interval of liveness requests: all four frames of the next answer are new."""

UNREADY_SECONDS = 10.0
"""A camera that has given no picture for so long has a fault."""

NOTICED_SECONDS, POLL_SECONDS = 4.0, 0.2
"""How long a running device may take to notice a new operating point, twice what it promises; and how often it is asked."""

USELESS_BPCER = 0.5
"""From this BPCER on a threshold decides nothing: attacks have the better chance."""

UNITS = {Kind.SIMILARITY: "cosine", Kind.LIVENESS: "log odds"}

REFUSALS = {
    401: "an API key is required: --key KEY, with the scope live",
    403: "the API key does not have the scope live: --key KEY",
    406: 'the liveness check is switched off: set liveness.mode = "multi", and remove it from access.restricted',
}


@dataclass(frozen=True, slots=True)
class FoundPoint:
    """A new operating point, the model file it is for, and the threshold before."""

    file: str
    before: float
    entry: PointEntry


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The new operating points and remarks about them."""

    kind: Kind
    points: tuple[FoundPoint, ...]
    notes: tuple[str, ...] = ()
    checked: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    """By file: the rates on photos that were not used."""


def similarity(options: argparse.Namespace, settings: Config) -> int:
    """Finds, prints and keeps the operating points of the embedders that the device may choose; the exit status."""
    path = state.folder(settings.state.folder) / points.FILE
    if options.reset:
        return _reset(path, Kind.SIMILARITY)
    before = points.read(path).thresholds()
    if options.photos:
        return _keep(options, path, from_photos(settings, before, options.photos, options.fmr, options.check))
    return _keep(options, path, from_statistics(settings, before, options.fmr))


def liveness(options: argparse.Namespace, settings: Config) -> int:
    """Measures at a running device, prints and keeps the operating point of its liveness check; the exit status."""
    folder = state.folder(settings.state.folder)
    path, rounds_path = folder / points.FILE, folder / points.ROUNDS_FILE
    if options.reset:
        rounds_path.unlink(missing_ok=True)
        return _reset(path, Kind.LIVENESS)
    before = points.read(path)  # a damaged file is reported before anyone stands in front of the camera
    device = Device(options.device or f"http://127.0.0.1:{settings.server.port}", options.key)
    in_use = device.in_use()
    so_far = points.read_rounds(rounds_path, in_use.model)
    shown = options.attack or REAL
    odds, ended = measure(device, in_use, shown, 60 * options.minutes)
    if ended:
        print(ended, file=sys.stderr)
    if not odds:
        raise CalibrationError(f"{shown}: no face was judged: stand in front of the camera and try again")
    if options.dry_run:
        rounds = so_far.with_round(shown, odds)
    else:  # kept at once: a round stays even if others are still missing
        rounds = points.add_rounds(rounds_path, so_far.model, shown, odds)
        print(f"{shown}: {len(odds)} sequences, kept", file=sys.stderr)
    attacks = Statistics.read(settings.engine.folder).attacks.get(in_use.model)
    found = from_rounds(in_use, rounds, attacks, options.bpcer, options.apcer)
    status = _keep(options, path, found)
    if options.dry_run:
        return status
    if not device.has_noticed(found.points[0].entry):
        points.keep(path, Kind.LIVENESS, before.liveness)
        points.put_rounds(rounds_path, so_far)
        raise CalibrationError(
            f"{device.url} does not use it, so nothing is kept: its state is not in {folder} (state.folder, STATE_DIRECTORY); "
            "run this command on that device"
        )
    print(f"{device.url} uses it", file=sys.stderr)
    return status


def from_statistics(settings: Config, before: Mapping[str, float], fmr: float) -> CalibrationResult:
    """Operating points from the bundled statistics. `before`: the device's own thresholds so far, by sha256."""
    folder = settings.engine.folder
    known = Statistics.read(folder).impostors
    found = []
    for way in listed_comparators(ModelStore.open(folder), settings.engine.recognition).every():
        table = known.get(way.model)
        if table is None:
            raise CalibrationError(f"there are no statistics of {way.file}: name a folder of photos")
        found.append(_point(before, way, _tabulated(table, fmr)))
    return CalibrationResult(Kind.SIMILARITY, tuple(found))


def from_photos(
    settings: Config, before: Mapping[str, float], folders: Sequence[Path], fmr: float, check: Sequence[Path]
) -> CalibrationResult:
    """Operating points from photos, measured also on people in `check` who are not among them. `before` as above."""
    photos, check_photos = listed(folders), listed(check)
    _require_pairs(photos, fmr)
    engine = PhotoEngine(settings)
    faces = engine.faces(photos)
    _require_pairs(faces.photos, fmr)
    used = {photo.person for photo in photos}
    others = engine.faces([photo for photo in check_photos if photo.person not in used])
    found, checked, alike = [], {}, []
    unused = engine.embeddings(others) if others.photos else {}
    for way, embeddings in engine.embeddings(faces).items():
        impostors, genuine = compared(embeddings, faces.people())
        entry = _measured_entry(way, fmr, impostors, genuine)
        found.append(_point(before, way, entry))
        alike.append(_most_alike(faces, impostors))
        if way in unused:
            checked[way.file] = _similarity_rates(entry.threshold, *compared(unused[way], others.people()))
    notes = [*_photo_notes(faces), *dict.fromkeys(alike)]
    if check:
        people = len({photo.person for photo in others.photos})
        notes.append(f"checked on {people:,} people, {len(others.photos):,} photos, none of which were used")
    return CalibrationResult(Kind.SIMILARITY, tuple(found), tuple(notes), checked)


def from_rounds(
    in_use: "InUse", rounds: Rounds, shipped: Attacks | None, bpcer: float, apcer: float
) -> CalibrationResult:
    """The operating point from all rounds; for species that were not tried here the bundled statistics count. Raises
    CalibrationError with too few sequences of real people, and if most of them would be rejected.
    """
    real, tried = rounds.real(), rounds.attacks()
    known = shipped.odds() if shipped else {}
    threshold = statistics.odds(real, known, tried, bpcer, apcer, SHIPPED_ODDS)
    rejected = bona_fide_classification_error(real, threshold)
    if rejected.value > USELESS_BPCER:
        raise CalibrationError(
            f"{rejected.count} of {rejected.total} real people would be rejected: is the picture sharp, bright and of one "
            "moving person, or do the attacks look as live as people? Start again with `--reset`"
        )
    bundled = {f"apcer {name} (bundled)": odds for name, odds in known.items()}
    attacks = {**{f"apcer {name}": odds for name, odds in tried.items()}, **bundled}
    rates = {name: measured(rate(odds >= threshold)) for name, odds in attacks.items()}
    entry = LivenessEntry(
        model=in_use.model,
        threshold=threshold,
        wanted={"bpcer": bpcer, "apcer": apcer},
        measured={"bpcer": measured(rejected), **rates},
        counts={"real_sequences": real.size, **{f"{name}_sequences": odds.size for name, odds in tried.items()}},
        basis=Basis.CAMERA,
        date=now(),
    )
    notes = tuple(_liveness_notes(entry, real, tried))
    return CalibrationResult(Kind.LIVENESS, (FoundPoint(in_use.file, in_use.threshold, entry),), notes)


def _point(before: Mapping[str, float], way: Comparator, entry: SimilarityEntry) -> FoundPoint:
    return FoundPoint(way.file, before.get(way.model, way.shipped.cosine), entry)


def _tabulated(table: ImpostorTable, fmr: float) -> SimilarityEntry:
    row = table.row(fmr)
    rates = {"fmr": table.false_match_rate(row), "tmr": table.true_match_rate(row)}
    counts = {name: getattr(table, name) for name in ("people", "pictures", "impostor_pairs", "genuine_pairs")}
    return _similarity_entry(table.model, table.cosine[row], fmr, rates, counts, Basis.STATISTICS)


def _measured_entry(way: Comparator, fmr: float, impostors: Pairs, genuine: Pairs) -> SimilarityEntry:
    threshold = statistics.cosine(impostors.scores, fmr)
    counts = {
        "people": impostors.people,
        "pictures": int(impostors.pictures.sum()),
        "impostor_pairs": impostors.scores.size,
        "genuine_pairs": genuine.scores.size,
    }
    rates = _similarity_rates(threshold, impostors, genuine)
    return _similarity_entry(way.model, threshold, fmr, rates, counts, Basis.PHOTOS)


def _similarity_entry(
    model: str, threshold: float, fmr: float, rates: dict[str, Measured], counts: dict[str, int], basis: Basis
) -> SimilarityEntry:
    return SimilarityEntry(
        model=model, threshold=threshold, wanted={"fmr": fmr}, measured=rates, counts=counts, basis=basis, date=now()
    )


def _similarity_rates(threshold: float, impostors: Pairs, genuine: Pairs) -> dict[str, Measured]:
    """FMR, and TMR if some person has two photos."""
    at = np.array([threshold])
    rates = {"fmr": impostor_bounds(impostors, at)[0]} if impostors.scores.size else {}
    return rates | ({"tmr": genuine_bounds(genuine, at)[0]} if genuine.scores.size else {})


def _require_pairs(photos: Sequence[Photo], fmr: float) -> None:
    pictures = np.bincount(numbered(photos))
    pairs = int(pictures.sum() ** 2 - (pictures**2).sum()) // 2
    needed = statistics.fewest_pairs(fmr)
    if pairs < needed:
        people = ceil((1 + sqrt(1 + 8 * needed)) / 2)
        raise CalibrationError(
            f"FMR {fmr:g} needs {needed:,} pairs of different people (such as {people:,} people with a photo each), "
            f"these photos make {pairs:,}: add people, or choose a larger --fmr"
        )


def _photo_notes(faces: PhotoFaces) -> list[str]:
    notes = []
    people = int(faces.people().max()) + 1
    if people < FEW_PEOPLE:
        notes.append(f"{people} people say little about others: the true bounds are wider")
    if faces.unusable:
        named = ", ".join(str(path) for path in faces.unusable[:MOST_NAMED])
        more = ", …" if len(faces.unusable) > MOST_NAMED else ""
        notes.append(f"not used, because they are no pictures or have no face: {len(faces.unusable)} ({named}{more})")
    return notes


def _most_alike(faces: PhotoFaces, impostors: Pairs) -> str:
    """The pair to check: one of the folders may contain the other person's photo."""
    most = int(impostors.scores.argmax())
    names = np.unique([photo.person for photo in faces.photos])
    first, second = names[impostors.first[most]], names[impostors.second[most]]
    return f"most alike of different people: {first} and {second}, cosine {impostors.scores[most]:.2f}"


def _liveness_notes(entry: LivenessEntry, real: Reals, tried: Mapping[str, Reals]) -> Iterator[str]:
    rejected, wanted = 100 * entry.measured["bpcer"].value, 100 * entry.wanted["bpcer"]
    if rejected > wanted and entry.threshold == SHIPPED_ODDS and not statistics.lowerable(tried):
        yield (
            f"the shipped threshold rejects {rejected:.3g} % of real people instead of {wanted:g} %; it is lowered only "
            f"after {statistics.FEWEST_SEQUENCES} sequences of prints and of replays each were tried at this camera"
        )
    elif rejected > wanted:
        yield f"keeping the APCER costs a BPCER of {rejected:.3g} % instead of {wanted:g} %"
    fewest = ceil(RULE_OF_THREE / entry.wanted["bpcer"])
    if real.size < fewest:
        yield f"{fewest} sequences of as many people are enough to show the BPCER: run the command again to add a round"
    if not tried:
        yield (
            "no attack was tried here, so the APCER of this camera is not known: add `--attack print` and `--attack replay`"
        )


@dataclass(frozen=True, slots=True)
class InUse:
    """The liveness model of a device (sha256, file), its threshold in log odds, and the date of its own calibration, if any."""

    model: str
    file: str
    threshold: float
    since: str | None


class NoJudgement(Enum):
    """Why the device did not judge."""

    FACE = "no face"
    PICTURE = "no picture yet"


class Device:
    """A running device, asked over HTTP."""

    def __init__(self, url: str, key: str | None) -> None:
        """`url`: http://HOST:PORT. Raises CalibrationError for anything else."""
        try:
            self._client = Client(url, TIMEOUT_SECONDS)
        except ValueError:
            url = ""
        if not url.startswith("http:"):
            raise CalibrationError("--device is not http://HOST:PORT")
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def in_use(self) -> InUse:
        """The current liveness model and threshold. Raises CalibrationError."""
        reply, answer = self._get("/version")
        try:
            point = answer["calibration"]["liveness"]
            (file,) = [each["file"] for each in answer["models"] if each["sha256"] == point["model"]]
            return InUse(point["model"], file, float(point["threshold"]), point["date"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(reply, answer) from error

    def odds(self) -> float | NoJudgement:
        """The log odds of the camera's newest frames. Raises CalibrationError."""
        reply, answer = self._get("/liveness/multiframe")
        match _code(answer):
            case ResultCode.OK.text:
                return float(reply.headers["X-Liveness-Odds"])
            case ResultCode.NO_FACE.text:
                return NoJudgement.FACE
            case ResultCode.NOT_READY.text:
                return NoJudgement.PICTURE
        raise self._refused(reply, answer)

    def problems(self) -> str:
        """What the device reports to be wrong, in one line. Raises CalibrationError."""
        _, answer = self._get("/healthz")
        return " ".join(str(reason.get("text")) for reason in answer.get("reasons") or []) or "it has no camera"

    def has_noticed(self, entry: PointEntry) -> bool:
        """Whether the device uses a new operating point within some seconds. Raises CalibrationError."""
        since, end = str(entry.model_dump(mode="json")["date"]), time.monotonic() + NOTICED_SECONDS
        while not (noticed := self.in_use().since == since) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return noticed

    def _refused(self, reply: Reply, answer: Mapping[str, Any]) -> CalibrationError:
        other = f"HTTP {reply.status} {_code(answer)}: is this a device of this version, and ready?"
        return CalibrationError(f"{self.url}: {REFUSALS.get(reply.status, other)}")

    def _get(self, path: str) -> tuple[Reply, dict[str, Any]]:
        try:
            reply = self._client.request("GET", path, headers=self._headers)
        except (OSError, ValueError) as error:
            raise CalibrationError(f"no device answers at {self.url} ({error}): is it running? --device URL") from error
        try:
            answer = json.loads(reply.body)
        except ValueError:
            answer = {}
        return reply, answer if isinstance(answer, dict) else {}


def _code(answer: Mapping[str, Any]) -> str:
    message = answer.get("return_msg")
    return str(message.get("return_code", "")) if isinstance(message, dict) else ""


def measure(device: Device, in_use: InUse, shown: str, seconds: float) -> tuple[tuple[float, ...], str]:
    """The log odds of sequences at the device's camera during so many seconds, and why it ended early, if it did. Ctrl-C ends
    it. Raises CalibrationError if nothing was judged before the device stopped answering.
    """
    odds: list[float] = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(20), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task, begun = bar.add_task(shown, total=seconds), time.monotonic()
        try:
            for found in sequences(device, seconds):
                odds += [] if isinstance(found, NoJudgement) else [found]
                text = progress_text(shown, odds, in_use.threshold, found)
                bar.update(task, completed=time.monotonic() - begun, description=text)
        except KeyboardInterrupt:
            return tuple(odds), "ended by Ctrl-C"
        except CalibrationError as error:
            if not odds:
                raise
            return tuple(odds), str(error)
    return tuple(odds), ""


def sequences(device: Device, seconds: float) -> Iterator[float | NoJudgement]:
    """A judgement every PACE_SECONDS. Raises CalibrationError."""
    answered = begun = time.monotonic()
    while (at := time.monotonic()) < begun + seconds:
        found = device.odds()
        if found is not NoJudgement.PICTURE:
            answered = at
        elif at - answered > UNREADY_SECONDS:
            raise CalibrationError(f"{device.url}: {device.problems()}")
        yield found
        time.sleep(max(0.0, at + PACE_SECONDS - time.monotonic()))


def progress_text(shown: str, odds: Sequence[float], threshold: float, newest: float | NoJudgement) -> str:
    """Such as "real: 12 sequences, 92 % live now · no face"."""
    share = f", {100 * sum(each >= threshold for each in odds) / len(odds):.0f} % live now" if odds else ""
    missing = f" · {newest.value}" if isinstance(newest, NoJudgement) else ""
    return f"{shown}: {len(odds)} sequences{share}{missing}"


def _reset(path: Path, kind: Kind) -> int:
    points.forget(path, kind)
    print(f"{kind}: the shipped operating point is used again", file=sys.stderr)
    return 0


def _keep(options: argparse.Namespace, path: Path, found: CalibrationResult) -> int:
    written = not options.dry_run
    if written:
        points.keep(path, found.kind, tuple(point.entry for point in found.points))
    if options.json:
        print(json.dumps(document(found, written=written)))
    else:
        print("\n".join(lines(found)))
        print(f"written: {path}" if written else "nothing is written (--dry-run)")
    return 0


def document(result: CalibrationResult, *, written: bool) -> dict[str, Any]:
    """The result as JSON."""
    return {
        "kind": result.kind,
        "written": written,
        "points": [
            {"file": point.file, "before": point.before, **point.entry.model_dump(mode="json")}
            for point in result.points
        ],
        "checked": {
            file: {name: each.model_dump() for name, each in rates.items()} for file, rates in result.checked.items()
        },
        "notes": list(result.notes),
    }


def lines(result: CalibrationResult) -> Iterator[str]:
    """The result as text."""
    for point in result.points:
        entry = point.entry
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in entry.counts.items())
        yield f"{point.file}, from {entry.basis}: {counts}"
        yield f"  threshold ({UNITS[result.kind]}): {entry.threshold:.4f}, before: {point.before:.4f}"
        for name, value in entry.measured.items():
            yield f"  {_title(name)}: {rate_text(value)}{_wanted(name, entry)}"
        for name, value in result.checked.get(point.file, {}).items():
            yield f"  {_title(name)} of photos that were not used: {rate_text(value)}"
    yield from result.notes


def rate_text(rate: Measured) -> str:
    """Such as "0.10 % [0.06 … 0.18], 98 of 98,123"."""
    if rate.count == 0:
        bounds = f"[at most {100 * rate.upper:.3g} %, rule of three]"
    else:
        bounds = f"[{100 * rate.lower:.3g} … {100 * rate.upper:.3g}]"
    return f"{100 * rate.value:.3g} % {bounds}, {rate.count:,} of {rate.total:,}"


def _title(name: str) -> str:
    head, _, rest = name.partition(" ")
    return f"{head.upper()} {rest}".strip()


def _wanted(name: str, entry: PointEntry) -> str:
    wanted = entry.wanted.get(name.partition(" ")[0])
    if wanted is None:
        return ""
    return f" (wanted: at most {100 * wanted:g} %{' and NOT kept' if entry.measured[name].value > wanted else ''})"
