"""API keys: their names and scopes. Only their digests are stored."""

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from appliance import state
from appliance.faults import Problem, ReportedError
from appliance.state import audit_log as audit

FILE = "keys.json"

PREFIX = "fa_"
"""Identifies a key to people and to scanners for leaked secrets."""

KEY_BYTES = 32
"""Random bytes of a key: with 256 bits, its plain SHA-256 cannot be reversed by guessing."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Allowed names of keys, which are safe in a log line."""


class Scope(StrEnum):
    """What a key gives access to."""

    RECOGNISE = "recognise"
    LIVE = "live"
    DECIDE = "decide"
    ADMIN = "admin"
    METRICS = "metrics"
    KIOSK = "kiosk"


FORMAT = 2
"""Of the file. In one without a format, `live` includes what is now opened by `decide`: such keys have both scopes."""


class KeysError(ReportedError):
    """The keys cannot be read or changed; the text says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the device stores it: `digest` is the SHA-256 of its text in hexadecimal."""

    name: str
    scopes: frozenset[Scope]
    digest: str
    created: datetime


Keys = tuple[Key, ...]


def read(path: Path) -> Keys:
    """The keys in a file; none if it does not exist. Raises KeysError if it is damaged or cannot be read."""
    try:
        document = state.read_document(path)
        written = document.pop("format", 1)
        if set(document) != {"keys"} or written not in (1, FORMAT):
            raise state.DamagedError(f"it has {', '.join(document) or 'nothing'} in format {written!r} instead of keys")
        return tuple(_key(entry, before=written < FORMAT) for entry in document["keys"])
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from error
    except state.DamagedError as error:
        raise KeysError(f"{path} is damaged: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeysError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def add(path: Path, name: str, scopes: Sequence[Scope]) -> str:
    """Creates a key, stores its digest and returns the key; it cannot be shown again. Raises KeysError, OSError."""
    if not NAME.fullmatch(name):
        raise KeysError("a name has 1 to 64 letters, digits, '.', '_' and '-'")
    token = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    with state.held(path):
        keys = read(path)
        if any(key.name == name for key in keys):
            raise KeysError(f"there is a key {name} already: revoke it first, or choose another name")
        _write(path, (*keys, Key(name, frozenset(scopes), digest_of(token), datetime.now(UTC).replace(microsecond=0))))
    return token


def revoke(path: Path, name: str) -> None:
    """Removes a key. Raises KeysError, OSError."""
    with state.held(path):
        keys = read(path)
        if all(key.name != name for key in keys):
            raise KeysError(f"there is no key {name}")
        _write(path, tuple(key for key in keys if key.name != name))


def record(key: Key) -> dict[str, Any]:
    """A key as JSON, without its digest."""
    return {
        "name": key.name,
        "scopes": [scope for scope in Scope if scope in key.scopes],
        "created": key.created.isoformat().replace("+00:00", "Z"),
    }


def digest_of(token: str) -> str:
    """The SHA-256 of a key in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


class KeyStore:
    """The keys of a running device; it reads the file again when it has changed."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._watch = state.Watch(path, clock)
        self._keys, self._problem = self._read()
        self._audited = self._keys

    def find(self, token: str) -> Key | None:
        return self.of(digest_of(token))

    def of(self, digest: str) -> Key | None:
        """The key with this digest. Compares all digests in constant time, so that the duration reveals nothing."""
        self.refresh()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def empty(self) -> bool:
        """Whether there is no key; False if the file is damaged."""
        return not self._keys and self.problem() is None

    def problem(self) -> str | None:
        """Why no key is accepted; None if the file is sound."""
        self.refresh()
        return self._problem

    def problems(self) -> list[Problem]:
        if self.problem() is None:
            return []
        return [Problem("keys", "keys_damaged", "The file of keys cannot be read: no key is accepted.")]

    def refresh(self) -> None:
        """Reads the file again if it has changed; checks at most once a second."""
        with self._lock:
            if not self._watch.changed():
                return
            self._keys, self._problem = self._read()
            if self._problem is None:
                self._audit()

    def _audit(self) -> None:
        for key in self._audited:
            if key not in self._keys:
                audit.info("key revoked: %s", key.name)
        for key in self._keys:
            if key not in self._audited:
                audit.info("key added: %s (%s)", key.name, ", ".join(sorted(key.scopes)))
        self._audited = self._keys

    def _read(self) -> tuple[Keys, str | None]:
        try:
            return read(self._path), None
        except KeysError as error:
            audit.error("no key is accepted: %s", error)
            return (), str(error)


def _key(entry: dict[str, str], *, before: bool) -> Key:
    """A key of a file in this format, or the one before. Raises ValueError, KeyError or TypeError."""
    name, digest = entry["name"], entry["digest"]
    if not NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("a name or a digest is malformed")
    scopes = set(map(Scope, entry["scopes"]))
    if before and Scope.LIVE in scopes:
        scopes.add(Scope.DECIDE)
    return Key(name, frozenset(scopes), digest, datetime.fromisoformat(entry["created"]))


def _write(path: Path, keys: Keys) -> None:
    entries = [{**record(key), "digest": key.digest} for key in keys]
    state.write_document(path, {"format": FORMAT, "keys": entries})
