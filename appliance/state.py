"""The state folder: where it is, how files in it are written, how a running device notices changes, and the audit trail."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

NAME = "face-appliance"

CHECKSUM = "checksum"
"""Key of the checksum in a JSON file: a flipped bit must not change a threshold or a scope unnoticed."""

LOOK_SECONDS = 1.0
"""How often a running device checks at most whether a file has changed."""

IN_USE = "in-use"
"""The file that names the program that uses the folder, and is locked meanwhile."""

LEAST_FREE = 8 * 2**20
"""A disk with fewer free bytes counts as full: the state needs some kB, but other files grow as well."""


def folder(configured: Path | None) -> Path:
    """The configured folder, the service's (`$STATE_DIRECTORY`, systemd.exec(5)), or the user's (XDG), in this order."""
    if configured is not None:
        return configured
    if service := os.environ.get("STATE_DIRECTORY"):
        return Path(service)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / NAME


def credential(name: str) -> Path | None:
    """The file of systemd's credential of this name (systemd.exec(5), LoadCredential=), if there is one."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, name) if folder else None
    return path if path and path.exists() else None


def full(directory: Path) -> bool:
    """Whether there is too little space to write to it. A folder that does not exist is not full."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < LEAST_FREE


class DamagedError(Exception):
    """A file in the state folder is not as it was written; the text says how, in one line."""


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file that `write_document` wrote. Raises DamagedError; FileNotFoundError if the file does not exist;
    OSError.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if found := misnamed(path):
            raise DamagedError(f"it is missing, but its name is one bit away from {found.name}: rename that") from None
        raise
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error
    if not isinstance(document, dict):
        raise DamagedError("it is not a JSON object")
    checksum = document.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(document):
        raise DamagedError("its checksum is wrong")
    return document


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces a file by a JSON object with a checksum. Raises OSError."""
    content = json.dumps({**document, CHECKSUM: _checksum(document)}, indent=1)
    write_atomically(path, content.encode() + b"\n", 0o600)


def misnamed(path: Path) -> Path | None:
    """A file in the same folder whose name differs from this one in a single bit, as damage to a folder leaves it."""
    name = os.fsencode(path.name)
    try:
        others = [os.fsencode(each.name) for each in path.parent.iterdir()]
    except OSError:
        return None
    for other in others:
        flipped = [a ^ b for a, b in zip(name, other, strict=False) if a != b]
        if len(other) == len(name) and len(flipped) == 1 and flipped[0].bit_count() == 1:
            return path.parent / os.fsdecode(other)
    return None


def _checksum(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replaces a file: readers, and the device after a power cut, find the complete old file or the complete new one. If root
    writes it, it belongs to the folder's owner. Makes the folder if it is missing. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path, mode) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, mode: int) -> Iterator[BinaryIO]:
    """The same for a file written in pieces, in a folder that must exist: it is replaced at the end of the block, unless the
    block raises.
    """
    require_folder(path)
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
        Path(temporary).unlink(missing_ok=True)  # renamed by now, unless an error occurred


def require_folder(file: Path) -> None:
    """Raises FileNotFoundError if the folder of a file that a person has named does not exist: it may be a typing error."""
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(file.parent))


def move(file: Path, path: Path) -> None:
    """Renames a file in its folder durably, replacing the file of that name. Raises OSError."""
    file.replace(path)
    _sync(path.parent)


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Inside, root has the rights of the folder's owner, in all threads, so that new files belong to the owner. Without
    effect for other users and if the folder does not exist.
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
    """Locks the folder of a file, created if missing, against other commands that change the file. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def occupied(directory: Path, program: Path) -> Iterator[None]:
    """Inside, the folder is marked as in use by the program with this prefix (sys.prefix). Logs which other one uses it, or
    used it last, unless that is another version beside this one; a folder that cannot be written is not marked.
    """
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context((directory / IN_USE).open("a+", encoding="utf-8", errors="replace"))
            file.seek(0)
            other = Path(file.read().strip() or program)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if other.parent != program.parent:
                audit_log.info("%s has keys, people and settings that %s used last", directory, other.parent)
            file.truncate(0)
            file.write(f"{program}\n")
            file.flush()
        except BlockingIOError:
            text = "%s is in use by another device, of %s: their changes get in each other's way; set state.folder"
            audit_log.warning(text, directory, other.parent)
        except OSError as error:
            audit_log.warning("%s: %s", directory, error.strerror)
        yield


class Watch:
    """Notices when a file has been replaced. Not thread-safe."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._looked, self._seen = clock(), self._mark()

    def changed(self) -> bool:
        """Whether the file has changed since the last check; checks once in LOOK_SECONDS at most."""
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
    """A rename is durable once the folder has been written as well (fsync(2))."""
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
    """Logs what has changed since the last start, and stores `tables` for the next one. A folder that cannot be written is
    logged as a warning.
    """
    path = folder / CONFIGURATION
    before = _kept(path)
    if before == tables:
        return
    for change in changes(tables if before is None else before, tables):
        audit_log.info("configuration: %s", change)
    try:
        write_document(path, tables)
    except OSError as error:
        audit_log.warning("configuration: cannot be stored for the next start: %s: %s", error.filename, error.strerror)


def changes(before: Tables, after: Tables) -> Iterator[str]:
    """A line per changed key, `camera.fps: 15 -> 30`; a missing value is null."""
    for section in dict.fromkeys([*before, *after]):
        old, new = before.get(section, {}), after.get(section, {})
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) != new.get(key):
                yield f"{section}.{key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"


def _kept(path: Path) -> Tables | None:
    """The tables of the last start; None if they are not known."""
    try:
        kept = read_document(path)
    except FileNotFoundError:
        return None
    except (OSError, DamagedError) as error:
        audit_log.warning("configuration: cannot read that of the last start: %s: %s", path, error)
        return None
    return kept if all(isinstance(table, dict) for table in kept.values()) else None
