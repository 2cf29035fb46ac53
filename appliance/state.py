"""Where the device keeps what must outlive it, how that is written, and how a running device notices that it was."""

import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

NAME = "face-appliance"

LOOK_SECONDS = 1.0
"""How often a running device looks whether a file has changed, at most."""

LEAST_FREE = 8 * 2**20
"""Bytes below which a disk is called full: what is kept takes some kB, but its neighbours grow, too."""


def folder(configured: Path | None) -> Path:
    """The configured folder, else that of the service (`$STATE_DIRECTORY`, systemd.exec(5)), else that of the user (XDG)."""
    if configured is not None:
        return configured
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / NAME


def full(directory: Path) -> bool:
    """Whether what is to be kept there may soon not be. A folder that is not there yet is not full."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < LEAST_FREE


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Puts a file in the place of another: whoever reads, and a power cut, find the whole old one or the whole new one.

    The file belongs to the folder's owner when root writes it. Raises OSError.
    """
    with replacing(path, mode) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, mode: int) -> Iterator[BinaryIO]:
    """The same for what is written piece by piece: the new file is there when the block has ended, and not when it raised."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)
        move(Path(temporary), path)
    finally:
        Path(temporary).unlink(missing_ok=True)  # it has another name by now, unless something went wrong


def move(file: Path, path: Path) -> None:
    """Gives a file another name in its folder, for good: whoever has that name now has it no more. Raises OSError."""
    file.replace(path)
    _sync(path.parent)


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """What root does here is done with the rights of the folder's owner, so that whatever comes to be in it is theirs. Holds
    for all threads; changes nothing for anybody else than root, and where there is no folder yet.
    """
    if os.geteuid() != 0 or not directory.is_dir():
        yield
        return
    owner, groups = directory.stat(), os.getgroups()
    os.setgroups([owner.st_gid])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(os.getgid())
        os.setgroups(groups)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """The folder of a file, made if need be, against another command that changes the file at the same time. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Watch:
    """Tells whether a file has become another one. Not thread-safe."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._looked, self._seen = clock(), self._mark()

    def changed(self) -> bool:
        """Whether the file is another one than at the last look; looks once in LOOK_SECONDS at most."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return False
        self._looked, mark = self._clock(), self._mark()
        changed, self._seen = mark != self._seen, mark
        return changed

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size


def _sync(directory: Path) -> None:
    """A new name is only there to stay when its folder has been written, too (fsync(2))."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


audit_log = logging.getLogger(__name__)

CONFIGURATION = "configuration.json"
"""The configuration of the last start."""

Tables = Mapping[str, Mapping[str, Any]]
"""Section -> key -> value, as JSON knows them."""


def audit_configuration(folder: Path, tables: Tables) -> None:
    """Tells what has changed since the last start, and keeps `tables` for the next one; a folder that cannot be written is a
    warning.
    """
    path = folder / CONFIGURATION
    before = _kept(path)
    if before == tables:
        return
    for change in changes(tables if before is None else before, tables):
        audit_log.info("configuration: %s", change)
    try:
        write_atomically(path, json.dumps(tables, indent=1).encode(), 0o600)
    except OSError as error:
        audit_log.warning("configuration: not kept for the next start: %s: %s", error.filename, error.strerror)


def changes(before: Tables, after: Tables) -> Iterator[str]:
    """A line a key, `camera.fps: 15 -> 30`; what is absent is null."""
    for section in dict.fromkeys([*before, *after]):
        old, new = before.get(section, {}), after.get(section, {})
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                yield f"{section}.{key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"


def _kept(path: Path) -> Tables | None:
    """What was kept at the last start; None when that cannot be known."""
    try:
        kept = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        audit_log.warning("configuration: that of the last start is not known: %s: %s", path, error)
        return None
    return kept if isinstance(kept, dict) and all(isinstance(table, dict) for table in kept.values()) else None
