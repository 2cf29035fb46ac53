"""Asking many questions: several at a time, with a progress bar, and none twice."""

import sys
from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from appliance.evaluation.asked import Asked, FeatureFace, FoundFace, ScoredFace, UnexpectedAnswerError, feature_of
from appliance.evaluation.journal import Journal

NO_PICTURE = frozenset({"INF-01", "INF-04", "INF-14"})
"""Codes that say that a picture is too large, broken or has no face that can be cut out: nothing is acquired from it, which
is the failure of that picture alone (failure to acquire, ISO/IEC 19795-1)."""

Question = TypeVar("Question")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A face engine, the answers it has given, and how many questions it is asked at a time.

    A question about a picture that cannot be read is answered as if nobody were in it.
    """

    engine: Asked
    journal: Journal
    workers: int

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]:
        """As the engine's. Raises UnexpectedAnswerError."""

        def ask() -> list[dict[str, object]]:
            found = readable(lambda: self.engine.faces(picture, **query), list[FoundFace]())
            return [{"box": f.box.tolist(), "points": f.points.tolist(), "pose": f.pose.tolist()} for f in found]

        kept = self.journal.answer("faces", [picture], query, ask)
        return [FoundFace(*(np.array(face[name]) for name in ("box", "points", "pose"))) for face in kept]

    def face_features(self, picture: bytes, **query: int) -> list[FeatureFace]:
        """As the engine's. Raises UnexpectedAnswerError."""

        def ask() -> list[dict[str, object]]:
            found = readable(lambda: self.engine.face_features(picture, **query), list[FeatureFace]())
            return [
                {"box": each.box.tolist(), "feature": b64encode(each.feature.astype("<f4").tobytes()).decode("ascii")}
                for each in found
            ]

        kept = self.journal.answer("face features", [picture], query, ask)
        return [FeatureFace(np.array(face["box"]), feature_of(face["feature"])) for face in kept]

    def scored_faces(self, picture: bytes, **query: int) -> list[ScoredFace]:
        """As the engine's. Raises UnexpectedAnswerError, UnscoredError."""

        def ask() -> list[list[float]]:
            found = readable(lambda: self.engine.scored_faces(picture, **query), list[ScoredFace]())
            return [[*face.box.tolist(), face.score] for face in found]

        kept = self.journal.answer("scored faces", [picture], query, ask)
        return [ScoredFace(np.array(face[:4], dtype=np.float64), face[4]) for face in kept]

    def liveness(self, frames: Sequence[bytes], suffix: str = ".jpg") -> float | None:
        """As the engine's. Raises UnexpectedAnswerError."""

        def ask() -> float | None:
            return readable(lambda: self.engine.liveness(frames, suffix), None)

        kept = self.journal.answer("liveness", frames, {"suffix": suffix}, ask)
        return None if kept is None else float(kept)

    def each(self, title: str, ask: Callable[[Question], Outcome], questions: Sequence[Question]) -> list[Outcome]:
        """`ask` of every question, in order. Raises what `ask` raises."""
        return in_parallel(title, ask, questions, self.workers)


def readable(ask: Callable[[], Outcome], otherwise: Outcome) -> Outcome:
    """What `ask` returns; `otherwise` when the picture is to blame. Raises UnexpectedAnswerError for other reasons."""
    try:
        return ask()
    except UnexpectedAnswerError as error:
        if error.code not in NO_PICTURE:
            raise
        return otherwise


def in_parallel(
    title: str, ask: Callable[[Question], Outcome], questions: Sequence[Question], workers: int
) -> list[Outcome]:
    """`ask` of every question on `workers` threads, in order; with a progress bar where the error stream is a terminal.

    Raises what `ask` raises.
    """
    with ThreadPoolExecutor(workers) as pool:
        answers = pool.map(ask, questions)
        shown = sys.stderr.isatty()
        return list(track(answers, title, total=len(questions), console=Console(stderr=True), disable=not shown))
