"""`appliance calibrate similarity` and `appliance calibrate liveness`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from math import ceil
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, track

from appliance import state
from appliance.calibration import points, statistics
from appliance.calibration.points import (
    REAL,
    Basis,
    CalibrationError,
    Entry,
    Kind,
    LivenessEntry,
    Measured,
    Rounds,
    SimilarityEntry,
    now,
    record,
)
from appliance.calibration.rates import RULE_OF_THREE, Reals, bona_fide_classification_error, rate
from appliance.calibration.statistics import (
    Attacks,
    Impostors,
    Indices,
    Pairs,
    Statistics,
    compared,
    genuine_bounds,
    impostor_bounds,
    measured,
)
from appliance.config import Config
from appliance.face.types import AlignedFace, DetectLimits
from appliance.faults import Fault, ResultCode
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.liveness import SHIPPED_ODDS
from appliance.vision.loading import Choice, Chosen
from appliance.vision.manifest import ModelError, ModelFile, ModelStore, Role

UNITS = {Kind.SIMILARITY: "cosine", Kind.LIVENESS: "log odds"}

NAMES = {"fmr": "FMR", "tmr": "TMR", "bpcer": "BPCER", "apcer": "APCER"}


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point that was found: for which file, and where it was before."""

    file: str
    before: float
    entry: Entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """The operating points that were found, and what else is to be said."""

    kind: Kind
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()
    checked: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    """By file: the rates on photos that were not used."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(point.entry for point in self.points)


def document(outcome: Outcome, *, written: bool) -> dict[str, Any]:
    """The same as JSON."""
    points = [{"file": point.file, "before": point.before, **record(point.entry)} for point in outcome.points]
    checked = {
        file: {name: each.model_dump() for name, each in rates.items()} for file, rates in outcome.checked.items()
    }
    return {
        "kind": outcome.kind,
        "written": written,
        "points": points,
        "checked": checked,
        "notes": list(outcome.notes),
    }


def lines(outcome: Outcome) -> Iterator[str]:
    """The same for people."""
    for point in outcome.points:
        entry = point.entry
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in entry.counts.items())
        yield f"{point.file}, from {entry.basis}: {counts}"
        yield f"  threshold ({UNITS[outcome.kind]}): {entry.threshold:.4f}, it was {point.before:.4f}"
        for name, value in entry.measured.items():
            yield f"  {_title(name)}: {in_words(value)}{_wish(name, entry)}"
        for name, value in outcome.checked.get(point.file, {}).items():
            yield f"  {_title(name)} of photos that were not used: {in_words(value)}"
    yield from outcome.notes


def in_words(rate: Measured) -> str:
    """Such as "0.10 % [0.06 … 0.18], 98 of 98,123"."""
    if rate.count == 0:
        bounds = f"[at most {100 * rate.upper:.3g} %, rule of three]"
    else:
        bounds = f"[{100 * rate.lower:.3g} … {100 * rate.upper:.3g}]"
    return f"{100 * rate.value:.3g} % {bounds}, {rate.count:,} of {rate.total:,}"


def _title(name: str) -> str:
    head, _, rest = name.partition(" ")
    return f"{NAMES[head]} {rest}".strip()


def _wish(name: str, entry: Entry) -> str:
    wanted = entry.wanted.get(name.partition(" ")[0])
    if wanted is None:
        return ""
    missed = " and NOT kept" if entry.measured[name].value > wanted else ""
    return f" (wanted: at most {100 * wanted:g} %{missed})"


TIMEOUT = 30.0
"""Seconds after which the document's clients give up."""

OK, NOT_READY, NO_FACE = "INF-00", "INF-08", "INF-17"

REFUSALS = {
    401: "it wants a key: --key KEY, with the scope live",
    403: "the key does not open the camera: --key KEY, with the scope live",
    406: 'the liveness check is switched off: liveness.mode = "multi", and access.restricted without it',
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the device said: the log odds; or why there are none, nobody there or a device that cannot say now."""

    odds: float | None = None
    nobody: bool = False
    unready: bool = False


@dataclass(frozen=True, slots=True)
class InUse:
    """The liveness model of the device (sha256, file), its operating point in log odds, and since when if it is its own."""

    model: str
    file: str
    threshold: float
    since: str | None


class Door:
    """Asks over one connection at a time."""

    def __init__(self, url: str, key: str | None) -> None:
        """`url` is http://HOST:PORT. Raises CalibrationError for anything else."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise CalibrationError(f"--device {url} is not http://HOST:PORT")
        self.url = url
        self._address = (parts.hostname, parts.port or 80)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def in_use(self) -> InUse:
        """What judges there now. Raises CalibrationError."""
        status, _, answer = self._ask("/version")
        try:
            point = answer["calibration"]["liveness"]
            (file,) = [each["file"] for each in answer["models"] if each["sha256"] == point["model"]]
            return InUse(point["model"], file, float(point["threshold"]), point["date"])
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"{self.url}: {self._reason(status, answer)}") from error

    def judge(self) -> Judged:
        """The verdict on the camera's newest frames. Raises CalibrationError."""
        status, headers, answer = self._ask("/liveness/multiframe")
        match _code(answer):
            case "INF-00":
                return Judged(odds=float(headers["x-liveness-odds"]))
            case "INF-17":
                return Judged(nobody=True)
            case "INF-08":
                return Judged(unready=True)
        raise CalibrationError(f"{self.url}: {self._reason(status, answer)}")

    def trouble(self) -> str:
        """What the device says of itself, as one line. Raises CalibrationError."""
        _, _, answer = self._ask("/healthz")
        reasons = answer.get("reasons") or []
        return " ".join(str(reason.get("text")) for reason in reasons) or "it has no camera"

    def _reason(self, status: int, answer: Mapping[str, Any]) -> str:
        return REFUSALS.get(status) or f"HTTP {status} {_code(answer)}: is this a device of this version, and ready?"

    def _ask(self, path: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        connection = HTTPConnection(*self._address, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = json.loads(response.read())
        except (OSError, HTTPException) as error:
            raise CalibrationError(f"no device answers at {self.url} ({error}): does it run? --device URL") from error
        except ValueError:
            answer = {}
        finally:
            connection.close()
        return response.status, headers, answer if isinstance(answer, dict) else {}


def _code(answer: Mapping[str, Any]) -> str:
    message = answer.get("return_msg")
    return str(message.get("return_code", "")) if isinstance(message, dict) else ""


PACE_SECONDS = 1.2
"""From question to question: all four frames of the next answer are new."""

USELESS = 0.5
"""BPCER from which on a threshold decides nothing: an attack has the better chance."""

UNREADY_SECONDS = 10.0
"""A camera that has not shown anything for so long will not by itself."""


NOTICED_SECONDS, POLL_SECONDS = 4.0, 0.2
"""How long a running device may take to notice, twice what it promises; and how often it is asked."""


def measure_liveness(door: Door, in_use: InUse, shown: str, seconds: float) -> tuple[tuple[float, ...], str]:
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
                said = liveness_in_words(shown, odds, in_use.threshold, judged)
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


def taken_sequences(door: Door, entry: Entry) -> bool:
    """Whether the device has taken a new operating point within some seconds. Raises CalibrationError."""
    since = str(record(entry)["date"])
    until = time.monotonic() + NOTICED_SECONDS
    while not (seen := door.in_use().since == since) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    return seen


def liveness_in_words(shown: str, odds: list[float], threshold: float, newest: Judged) -> str:
    """Such as "real: 12 sequences, 92 % taken for live now · nobody is there"."""
    live = sum(each >= threshold for each in odds)
    share = f", {100 * live / len(odds):.0f} % taken for live now" if odds else ""
    state = " · nobody is there" if newest.nobody else " · no picture yet" if newest.unready else ""
    return f"{shown}: {len(odds)} sequences{share}{state}"


def chosen_odds(in_use: InUse, rounds: Rounds, shipped: Attacks | None, bpcer: float, apcer: float) -> Outcome:
    """The operating point from all rounds; species that were not tried here are as in the bundled statistics.

    Raises CalibrationError with too few sequences of real people, and when most of them would be turned away.
    """
    real, tried = rounds.real(), rounds.attacks()
    known = shipped.odds() if shipped else {}
    threshold = statistics.odds(real, known, tried, bpcer, apcer, SHIPPED_ODDS)
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
        measured=_liveness_rates(threshold, real, known, tried),
        counts={"real_sequences": real.size, **{f"{name}_sequences": odds.size for name, odds in tried.items()}},
        basis=Basis.CAMERA,
        date=now(),
    )
    notes = tuple(_liveness_notes(entry, real, tried, lowerable=statistics.lowerable(tried)))
    return Outcome(Kind.LIVENESS, (Point(in_use.file, in_use.threshold, entry),), notes)


def _liveness_rates(
    threshold: float, real: Reals, shipped: dict[str, Reals], tried: dict[str, Reals]
) -> dict[str, Measured]:
    bundled = {f"apcer {name} (bundled)": odds for name, odds in shipped.items()}
    attacks = {**{f"apcer {name}": odds for name, odds in tried.items()}, **bundled}
    errors = {name: measured(rate(odds >= threshold)) for name, odds in attacks.items()}
    return {"bpcer": measured(bona_fide_classification_error(real, threshold)), **errors}


def _liveness_notes(entry: LivenessEntry, real: Reals, tried: dict[str, Reals], *, lowerable: bool) -> Iterator[str]:
    refused, wanted = entry.measured["bpcer"], entry.wanted["bpcer"]
    if refused.value > wanted and entry.threshold == SHIPPED_ODDS and not lowerable:
        yield (
            f"the shipped threshold turns {100 * refused.value:.3g} % of real people away instead of {100 * wanted:g} %; it is "
            f"lowered only when {statistics.FEWEST_SEQUENCES} sequences of prints and of replays each were tried at this camera"
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


T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo, and whose it is."""

    path: Path
    person: str


@dataclass(frozen=True, slots=True)
class Faces:
    """The faces of photos, one each, and the photos that cannot be used."""

    photos: tuple[Photo, ...]
    aligned: tuple[AlignedFace, ...]
    unusable: tuple[Path, ...]

    def people(self) -> Indices:
        """The number of each photo's person."""
        return numbered(self.photos)


def numbered(photos: Sequence[Photo]) -> Indices:
    """The number of each photo's person: 0, 1, 2, … in the order of their names."""
    return np.unique([photo.person for photo in photos], return_inverse=True)[1].astype(np.int64)


def listed(folders: Sequence[Path]) -> list[Photo]:
    """The photos of all folders. Raises CalibrationError for a folder that cannot be read."""
    try:
        return [photo for folder in folders for photo in found(folder)]
    except OSError as error:
        raise CalibrationError(f"{error.filename}: {error.strerror}") from error


def found(folder: Path) -> Iterator[Photo]:
    """The photos in the folders of a folder, which are named after their people; and those that lie in it themselves, named
    PERSON_NUMBER. Raises OSError.
    """
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from (Photo(each, path.name) for each in sorted(path.iterdir()) if _is_photo(each))
        elif _is_photo(path):
            yield Photo(path, path.stem.rpartition("_")[0] or path.stem)


def meant(faces: Sequence[AlignedFace], size: tuple[int, int]) -> AlignedFace | None:
    """The face that a photo (width, height) is of, None without one: large and in the middle, area less twice the squared
    distance from the centre, as facenet's preparation of labelled photos chooses (Sandberg, align_dataset_mtcnn.py).
    """
    centre = np.array(size) / 2

    def weight(face: AlignedFace) -> float:
        return face.box.side**2 - 2 * float(np.square(np.array(face.box.center) - centre).sum())

    return max(faces, key=weight, default=None)


class PhotoEngine:
    """The device's engine with each embedder that it may choose."""

    def __init__(self, settings: Config) -> None:
        """Raises ModelError, CalibrationError when a model that is needed does not work."""
        section = settings.engine
        self._max_pixels = int(settings.server.max_megapixels * 1e6)
        choice, self._engine = loading.first_engine(section.folder, section.precisions, section.threads)
        store = ModelStore.open(section.folder)
        precisions = {
            role: _chosen(choice, role).files[0].precision for role in (Role.DETECTOR, Role.LANDMARKS, Role.EMBEDDER)
        }
        self.embedders: dict[ModelFile, FaceEngine] = {}
        for file in store.candidates(Role.EMBEDDER, section.embedder):
            pinned = loading.choose(store, {**precisions, Role.EMBEDDER: file.precision}, section.threads)
            self.embedders[file] = loading.build(pinned, section.threads)

    def faces(self, photos: Sequence[Photo]) -> Faces:
        """The face that each photo is of. Raises CalibrationError for a photo that cannot be read, Fault."""
        usable: list[tuple[Photo, AlignedFace]] = []
        unusable = []
        for photo in _progress(photos, "finding faces"):
            face = self._face(photo.path)
            if face is None:
                unusable.append(photo.path)
            else:
                usable.append((photo, face))
        return Faces(tuple(p for p, _ in usable), tuple(f for _, f in usable), tuple(unusable))

    def embeddings(self, file: ModelFile, faces: Faces) -> npt.NDArray[np.float32]:
        """N x D of unit length. Raises Fault."""
        engine = self.embedders[file]
        return np.stack([engine.embed(face) for face in _progress(faces.aligned, file.file)])

    def _face(self, path: Path) -> AlignedFace | None:
        """None without a face, and for what is no picture. Raises CalibrationError when it cannot be read, Fault."""
        try:
            picture = EncodedPicture(path.read_bytes(), self._max_pixels)
            return meant(self._engine.align(picture, DetectLimits()), (picture.width, picture.height))
        except OSError as error:
            raise CalibrationError(f"{path}: {error.strerror}") from error
        except Fault as fault:
            if fault.code is not ResultCode.BROKEN_IMAGE:
                raise
            return None


def _chosen(choice: Choice, role: Role) -> Chosen:
    chosen = choice[role]
    if isinstance(chosen, Fault):
        raise CalibrationError(f"the {role} model does not work: {chosen.detail}")
    return chosen


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _progress(items: Sequence[T], title: str) -> Iterator[T]:
    """With a bar on the error stream when somebody looks."""
    yield from track(items, title, console=Console(stderr=True), disable=not sys.stderr.isatty())


FEW_PEOPLE = 20
"""With fewer, drawing other people (the bootstrap) says little about people who are not there."""

NAMED = 3
"""Of the photos that cannot be used."""


@dataclass(frozen=True, slots=True)
class SimilarityCalibrator:
    """Finds an operating point for each embedder file that the device may choose: which one is fastest may change."""

    settings: Config
    before: dict[str, float]
    """The device's own operating points so far."""

    def from_statistics(self, fmr: float) -> Outcome:
        """Raises CalibrationError, ModelError."""
        folder = self.settings.engine.folder
        files = ModelStore.open(folder).candidates(Role.EMBEDDER, self.settings.engine.embedder)
        known = Statistics.read(folder).impostors
        return Outcome(Kind.SIMILARITY, tuple(self._tabulated(file, known.get(file.sha256), fmr) for file in files))

    def from_photos(self, folders: Sequence[Path], fmr: float, check: Sequence[Path]) -> Outcome:
        """`check` are folders of photos that are not used, but to see what the operating point is worth.

        Raises CalibrationError, ModelError, Fault.
        """
        photos, others_photos = listed(folders), listed(check)
        _enough(photos, fmr)
        engine = PhotoEngine(self.settings)
        faces = engine.faces(photos)
        _enough(faces.photos, fmr)
        used = {photo.person for photo in photos}
        others = engine.faces([photo for photo in others_photos if photo.person not in used])
        points, checked, alike = [], {}, []
        for file in engine.embedders:
            impostors, genuine = compared(engine.embeddings(file, faces), faces.people())
            points.append(self._point(file, _entry(file, fmr, impostors, genuine)))
            alike.append(_most_alike(faces, impostors))
            if others.photos:
                pairs = compared(engine.embeddings(file, others), others.people())
                checked[file.file] = _similarity_rates(points[-1].entry.threshold, *pairs)
        notes = [*_similarity_notes(faces), *dict.fromkeys(alike)]
        if check:
            notes.append(f"checked on {_counted(others)}, nobody of whom was used")
        return Outcome(Kind.SIMILARITY, tuple(points), tuple(notes), checked)

    def _tabulated(self, file: ModelFile, table: Impostors | None, fmr: float) -> Point:
        if table is None:
            raise CalibrationError(f"there are no statistics of {file.file}: name a folder of photos")
        row = table.row(fmr)
        counts = {name: getattr(table, name) for name in ("people", "pictures", "impostor_pairs", "genuine_pairs")}
        entry = SimilarityEntry(
            model=file.sha256,
            threshold=table.cosine[row],
            wanted={"fmr": fmr},
            measured={"fmr": table.false_match_rate(row), "tmr": table.true_match_rate(row)},
            counts=counts,
            basis=Basis.STATISTICS,
            date=now(),
        )
        return self._point(file, entry)

    def _point(self, file: ModelFile, entry: SimilarityEntry) -> Point:
        assert file.operating_point is not None
        return Point(file.file, self.before.get(file.sha256, file.operating_point.cosine), entry)


def _entry(file: ModelFile, fmr: float, impostors: Pairs, genuine: Pairs) -> SimilarityEntry:
    threshold = statistics.cosine(impostors.scores, fmr)
    pairs = {"impostor_pairs": impostors.scores.size, "genuine_pairs": genuine.scores.size}
    return SimilarityEntry(
        model=file.sha256,
        threshold=threshold,
        wanted={"fmr": fmr},
        measured=_similarity_rates(threshold, impostors, genuine),
        counts={"people": impostors.people, "pictures": int(impostors.pictures.sum()), **pairs},
        basis=Basis.PHOTOS,
        date=now(),
    )


def _similarity_rates(threshold: float, impostors: Pairs, genuine: Pairs) -> dict[str, Measured]:
    """FMR, and TMR where anybody has two photos."""
    at = np.array([threshold])
    rates = {"fmr": impostor_bounds(impostors, at)[0]} if impostors.scores.size else {}
    return rates | ({"tmr": genuine_bounds(genuine, at)[0]} if genuine.scores.size else {})


def _enough(photos: Sequence[Photo], fmr: float) -> None:
    pictures = np.bincount(numbered(photos))
    pairs = int(pictures.sum() ** 2 - (pictures**2).sum()) // 2
    needed = statistics.fewest_pairs(fmr)
    if pairs < needed:
        people = int(np.ceil((1 + np.sqrt(1 + 8 * needed)) / 2))
        raise CalibrationError(
            f"FMR {fmr:g} needs {needed:,} pairs of different people (such as {people:,} people with a photo each), "
            f"these photos make {pairs:,}: more people, or a larger --fmr"
        )


def _similarity_notes(faces: Faces) -> list[str]:
    notes = []
    people = int(faces.people().max()) + 1
    if people < FEW_PEOPLE:
        notes.append(f"{people} people say little about others: the true bounds are wider")
    if faces.unusable:
        named = ", ".join(str(path) for path in faces.unusable[:NAMED])
        more = ", …" if len(faces.unusable) > NAMED else ""
        notes.append(f"not used, no face in it or no picture: {len(faces.unusable)} ({named}{more})")
    return notes


def _counted(faces: Faces) -> str:
    return f"{len({photo.person for photo in faces.photos}):,} people, {len(faces.photos):,} photos"


def _most_alike(faces: Faces, impostors: Pairs) -> str:
    """The pair to look at when a folder has somebody else's photo in it."""
    most = int(impostors.scores.argmax())
    names = np.unique([photo.person for photo in faces.photos])
    first, second = names[impostors.first[most]], names[impostors.second[most]]
    return f"most alike of different people: {first} and {second}, cosine {impostors.scores[most]:.2f}"


def similarity(options: argparse.Namespace, settings: Config) -> int:
    """Finds, prints and keeps the embedder's operating point; the exit status."""
    path = _folder(settings) / points.FILE

    def run() -> int:
        if options.reset:
            return _reset(path, Kind.SIMILARITY)
        calibrator = SimilarityCalibrator(settings, points.read(path).thresholds())
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
        if options.reset:
            points.forget_rounds(folder / points.ROUNDS_FILE)
            return _reset(folder / points.FILE, Kind.LIVENESS)
        before = points.read(folder / points.FILE)  # a damaged one is said before anybody stands before the camera
        door = Door(options.device or f"http://127.0.0.1:{settings.server.port}", options.key)
        in_use = door.in_use()
        so_far = points.read_rounds(folder / points.ROUNDS_FILE, in_use.model)
        shown = options.attack or REAL
        odds, ended = measure_liveness(door, in_use, shown, 60 * options.minutes)
        if ended:
            print(ended, file=sys.stderr)
        judged = _with_round(options, folder, so_far, shown, odds)
        attacks = Statistics.read(settings.engine.folder).attacks.get(in_use.model)
        found = chosen_odds(in_use, judged, attacks, options.bpcer, options.apcer)
        status = _keep(options, folder / points.FILE, found)
        if options.dry_run:
            return status
        if taken_sequences(door, found.entries[0]):
            return _said(f"{door.url} has taken it")
        points.keep(folder / points.FILE, Kind.LIVENESS, before.liveness)
        points.put_rounds(folder / points.ROUNDS_FILE, so_far)
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
    return points.add_rounds(folder / points.ROUNDS_FILE, so_far.model, shown, odds)


def _keep(options: argparse.Namespace, path: Path, found: Outcome) -> int:
    written = not options.dry_run
    if written:
        points.keep(path, found.kind, found.entries)
    if options.json:
        print(json.dumps(document(found, written=written)))
    else:
        print("\n".join(lines(found)))
        print(f"written: {path}" if written else "nothing is written (--dry-run)")
    return 0


def _reset(path: Path, kind: Kind) -> int:
    points.forget(path, kind)
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
