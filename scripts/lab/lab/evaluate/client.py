"""Many requests to a device: several at a time, with a progress bar, and none twice."""

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lab.device import CutFace, Device, FeatureFace, UnexpectedAnswerError
from lab.pictures import size
from lab.report import tracked

NO_PICTURE = frozenset({"INF-01", "INF-04", "INF-14"})
"""Codes of a picture that is too large, broken or has no face that can be cut out: no face is acquired from it, which is the
failure of that picture alone (failure to acquire, ISO/IEC 19795-1)."""

IDENTITY = ("sdk_version", "runtime", "models", "calibration")
"""Of the facts of a device, those on which its answers depend."""

UNKEPT = ("/alignedfaces", "/similarity/v2")
"""Large answers, and the similarity of what they hold: the comparison that they are for is kept instead."""

Question = TypeVar("Question")
Answered = TypeVar("Answered")
Centred = TypeVar("Centred", CutFace, FeatureFace)


class Journal:
    """Answers kept in a file, so that a measurement that was killed continues where it stopped.

    JSON lines: question, SHA-256 of its parts, query, SHA-256 of what the device is, and its answer. Lines are only ever
    added; a torn or foreign line is skipped.
    """

    def __init__(self, path: Path | None, facts: Mapping[str, Any]) -> None:
        """Without `path` nothing is kept. `facts` are the device's own. Raises OSError, also when another process uses it."""
        self._engine = _digest(_canonical({name: facts.get(name) for name in IDENTITY}).encode())
        self._answers: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._file = None if path is None else path.open("a+b")
        self.asked = self.remembered = 0
        if self._file is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise BlockingIOError(error.errno, "another evaluation is writing to it", str(path)) from error
        self._file.seek(0)
        content = self._file.read()
        self._answers = dict(filter(None, map(_entry, content.split(b"\n")[:-1])))
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")

    def close(self) -> None:
        """Ends the use of the file."""
        if self._file is not None:
            self._file.close()

    def answer(self, question: str, parts: Sequence[bytes], query: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
        """The kept answer, else that of `ask`, plain JSON, which is kept from now on. Raises what `ask` raises, OSError when
        it cannot be written.
        """
        digests = [_digest(part) for part in parts]
        asked = {"question": question, "pictures": digests, "query": dict(query), "engine": self._engine}
        key = _canonical(asked)
        with self._lock:
            if key in self._answers:
                self.remembered += 1
                return self._answers[key]
        answer = ask()
        with self._lock:
            self.asked += 1
            if self._file is not None:
                self._answers[key] = answer
                self._file.write(_canonical({**asked, "answer": answer}).encode() + b"\n")
                self._file.flush()
        return answer


class Client(Device):
    """A device whose answers are kept. A picture that cannot be read has no faces."""

    def __init__(self, url: str, key: str | None = None, *, answers: Path | None = None, workers: int = 1) -> None:
        """Sends `workers` requests at a time. Raises ValueError for the address, OSError, UnexpectedAnswerError."""
        super().__init__(url, key)
        self.workers, self.version = workers, self.facts()
        self.journal = Journal(answers, self.version)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.journal.close()

    def result(self, path: str, parts: Mapping[str, bytes], query: Mapping[str, int] | None = None) -> dict[str, Any]:
        """As the device's."""

        def ask() -> dict[str, Any]:
            try:
                return super(Client, self).result(path, parts, query)
            except UnexpectedAnswerError as error:
                if error.code not in NO_PICTURE:
                    raise
                return {}

        if path in UNKEPT:
            return ask()
        kept: dict[str, Any] = self.journal.answer(path, list(parts.values()), query or {}, ask)
        return kept

    def each(self, title: str, ask: Callable[[Question], Answered], questions: Sequence[Question]) -> list[Answered]:
        """`ask` of every question on as many threads as there are workers, in order; with a progress bar on a terminal.

        Raises what `ask` raises.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            return list(tracked(pool.map(ask, questions), title, len(questions)))


def central(faces: Sequence[Centred], picture: bytes) -> Centred | None:
    """The face nearest to the picture's centre, None without faces: LFW centres the person who is named."""
    if not faces:
        return None
    centre = np.array(size(picture)) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(face.box[:2] + face.box[2:] / 2 - centre)))


def _entry(line: bytes) -> tuple[str, Any] | None:
    """Key and answer of a whole line."""
    try:
        entry = json.loads(line)
        return _canonical({name: entry[name] for name in ("question", "pictures", "query", "engine")}), entry["answer"]
    except (ValueError, KeyError, TypeError):
        return None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
