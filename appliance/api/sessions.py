"""Signed-in browsers. A session is random and stands for a key; it ends by itself, with its key, or when the user signs out."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from appliance import keys, state
from appliance.keys import Key, KeyStore

log = logging.getLogger(__name__)

FILE = "sessions.json"

LIFE_SECONDS = 30 * 24 * 3600
"""A session lasts 30 days; then the user signs in again."""

MOST = 256
"""Sessions at the same time; the one that expires first makes room for a new one."""

PREFIX, TOKEN_BYTES = "fs_", 32
"""How a session's token begins, and its random bytes (RFC 6750 asks for more than 16)."""


@dataclass(frozen=True, slots=True)
class Session:
    """`key` is the digest of the key it stands for, `expires` in seconds since 1970."""

    key: str
    expires: float


SESSIONS = TypeAdapter(dict[str, Session])
"""The file: sessions by the digest of their token."""


class Sessions:
    """The sessions by the digest of their token, in a file that outlives the process. Thread-safe."""

    def __init__(self, path: Path, store: KeyStore, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        """A file that cannot be read is like none: the users sign in again."""
        self._path, self._store, self._clock, self._most = path, store, clock, most
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        try:
            self._sessions = SESSIONS.validate_json(path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, users sign in again: %s", path.name, error)

    def begin(self, key: Key) -> str:
        token, now = PREFIX + secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        with self._lock:
            valid = [each for each in self._sessions.items() if _valid(each[1], now)]
            valid.sort(key=lambda each: each[1].expires)
            newest = valid[max(0, len(valid) - self._most + 1) :]
            self._sessions = {**dict(newest), keys.digest_of(token): Session(key.digest, now + LIFE_SECONDS)}
            self._write()
        return token

    def key(self, token: str) -> Key | None:
        """The key that a session stands for; None once it has ended."""
        session = self._sessions.get(keys.digest_of(token))
        return self._store.of(session.key) if session and _valid(session, self._clock()) else None

    def end(self, token: str) -> None:
        with self._lock:
            if self._sessions.pop(keys.digest_of(token), None):
                self._write()

    def _write(self) -> None:
        try:
            state.write_atomically(self._path, SESSIONS.dump_json(self._sessions, indent=1) + b"\n", 0o600)
        except OSError as error:
            log.warning("%s cannot be written, sessions end with the process: %s", self._path.name, error)


def _valid(session: Session, now: float) -> bool:
    """Whether a session has begun and not ended: one that began with the clock ahead would last longer than LIFE_SECONDS."""
    return now < session.expires <= now + LIFE_SECONDS
