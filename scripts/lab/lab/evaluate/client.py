"""Many requests to a device: several at a time, with a progress bar, and none twice."""

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from errno import EBUSY
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lab.device import CutFace, Device, FeatureFace, UnexpectedAnswerError
from lab.pictures import size
from lab.report import tracked

NO_PICTURE = frozenset({"INF-01", "INF-04", "INF-14"})
"""Codes of a picture that is too large, broken or has no face that can be cut out: no face is acquired from it, which is the
failure of that picture alone (failure to acquire, ISO/IEC 19795-1)."""

IDENTITY = ("sdk_version", "runtime", "models", "calibration")  # the facts of a device on which its answers depend
UNKEPT = ("/alignedfaces", "/similarity/v2")  # large answers; the comparison that they are for is kept instead

# A killed program loses nothing that it has written; one file has one writer.
OPENING = """
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
COMMIT;
"""

Question = TypeVar("Question")
Answered = TypeVar("Answered")
Centred = TypeVar("Centred", CutFace, FeatureFace)


class Journal:
    """Answers kept in a file, so that a measurement that was killed continues where it stopped: a SQLite table by question,
    SHA-256 of its parts, query, and SHA-256 of what the device is.
    """

    def __init__(self, path: Path | None, facts: Mapping[str, Any]) -> None:
        """Without `path` nothing is kept. `facts` are the device's own. Raises OSError, also when another process uses it."""
        self._engine = sha256(_canonical({name: facts.get(name) for name in IDENTITY}).encode()).hexdigest()
        self._lock = threading.Lock()
        self.asked = self.remembered = 0
        self._kept = None if path is None else sqlite3.connect(path, 0, isolation_level=None, check_same_thread=False)
        try:
            if self._kept is not None:
                self._kept.executescript(OPENING)
        except sqlite3.Error as error:
            self.close()
            reason = f"another evaluation is writing to it, or it is no file of answers ({error})"
            raise OSError(EBUSY, reason, str(path)) from error

    def close(self) -> None:
        """Ends the use of the file."""
        if self._kept is not None:
            self._kept.close()

    def answer(self, question: str, parts: Sequence[bytes], query: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
        """The kept answer, else that of `ask`, plain JSON, which is kept now. Raises what `ask` raises, sqlite3.Error."""
        if self._kept is None:
            self.asked += 1
            return ask()
        key = _canonical([question, [sha256(part).hexdigest() for part in parts], dict(query), self._engine])
        with self._lock:
            known = self._kept.execute("SELECT answer FROM answers WHERE question = ?", (key,)).fetchone()
            self.remembered += known is not None
        if known is not None:
            return json.loads(known[0])
        answer = ask()
        with self._lock:
            self.asked += 1
            self._kept.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, _canonical(answer)))
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

    def result(
        self, path: str, parts: Mapping[str, bytes], query: Mapping[str, int | str] | None = None
    ) -> dict[str, Any]:
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


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
