"""Answers kept in a file, so that a measurement that was killed goes on where it stopped."""

import fcntl
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

IDENTITY = ("sdk_version", "runtime", "models", "calibration", "limits")
"""Of the facts of a face engine, those on which its answers depend."""


class Journal:
    """JSON lines: question, SHA-256 of its pictures, query, SHA-256 of what the engine is, and its answer.

    Lines are only ever added, each in one write; a line that is torn or is none of ours is passed over.
    """

    def __init__(self, path: Path | None, facts: Mapping[str, Any]) -> None:
        """Without `path` nothing is kept. `facts` are the engine's own. Raises OSError, also when another process uses it."""
        self._engine = _digest(_canonical({name: facts.get(name) for name in IDENTITY}).encode())
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self._file = None if path is None else path.open("a+b")
        self.asked = self.remembered = 0
        if self._file is not None:
            self._claim()
            self._places = dict(self._kept())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def answer(self, question: str, pictures: Sequence[bytes], query: Mapping[str, Any], ask: Callable[[], Any]) -> Any:
        """The answer that is kept, else that of `ask`, plain JSON, which is kept from now on. Raises what `ask` raises,
        OSError when it cannot be written.
        """
        asked = {
            "question": question,
            "pictures": [_digest(picture) for picture in pictures],
            "query": dict(query),
            "engine": self._engine,
        }
        key = _digest(_canonical(asked).encode())
        with self._lock:
            if key in self._places:
                self.remembered += 1
                return self._read(self._places[key])["answer"]
        answer = ask()
        with self._lock:
            self.asked += 1
            if self._file is not None:
                self._places[key] = self._write({**asked, "answer": answer})
        return answer

    def _claim(self) -> None:
        """Two processes would take each other's lines for their own."""
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            name = self._file.name
            self._file.close()
            raise BlockingIOError(error.errno, "another evaluation is writing to it", str(name)) from error

    def _kept(self) -> Iterator[tuple[str, int]]:
        """Key and place of each whole line."""
        assert self._file is not None
        self._file.seek(0)
        place = 0
        for line in self._file:
            entry = _entry(line)
            if entry is not None:
                asked = {name: entry[name] for name in ("question", "pictures", "query", "engine")}
                yield _digest(_canonical(asked).encode()), place
            place += len(line)

    def _read(self, place: int) -> dict[str, Any]:
        assert self._file is not None
        self._file.seek(place)
        entry = _entry(self._file.readline())
        assert entry is not None
        return entry

    def _write(self, entry: Mapping[str, Any]) -> int:
        """Returns the place of the line. A torn line before it is ended first."""
        assert self._file is not None
        end = self._file.seek(0, 2)
        torn = b""
        if end:
            self._file.seek(end - 1)
            torn = b"" if self._file.read(1) == b"\n" else b"\n"
        self._file.write(torn + _canonical(entry).encode() + b"\n")
        self._file.flush()
        return end + len(torn)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(entry, dict) and {"question", "pictures", "query", "engine", "answer"} <= set(entry)
    return entry if whole and line.endswith(b"\n") else None


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
