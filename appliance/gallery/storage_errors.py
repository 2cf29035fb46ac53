"""What SQLite and the system say of a storage, as errors of the gallery: one line each, that says what to do."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    ReadOnlyError,
    StorageFullError,
)

RESTORE = "restore a backup with `appliance people restore FILE`"

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_UNCLEAR = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""SQLite says these of a full or read-only file system, too, depending on which of its files it was about."""


class DeletedError(GalleryDamagedError):
    """The database's file is gone from under its name."""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises the gallery's error for one of SQLite's or the system's about the database at `path`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _of_sqlite(error, path) from error
    except OSError as error:
        raise _of_system(error, path) from error


def full(path: Path) -> StorageFullError:
    """The disk is full."""
    return StorageFullError(f"the disk of {path.parent} is full: make room; until then nobody is enrolled or erased")


def read_only(path: Path) -> ReadOnlyError:
    """Nothing can be written."""
    return ReadOnlyError(f"{path.parent} cannot be written: remount it, or give its owner the right to write")


def damaged(path: Path, reason: str) -> GalleryDamagedError:
    """The database is damaged; the reason says how."""
    return GalleryDamagedError(f"{path} is damaged ({reason}): nothing is written; {RESTORE}")


def lost(what: str) -> GalleryDamagedError:
    """Something that was there is not on the disk any more."""
    return GalleryDamagedError(f"{what} of the gallery is not on the disk any more: nothing is written; {RESTORE}")


def deleted(path: Path) -> DeletedError:
    """The file is gone; what is in memory is all that is left."""
    return DeletedError(f"{path} was deleted or moved while in use: put it back, or {RESTORE}")


def unreadable(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that a place of the file cannot be read, while others may be."""
    return _primary(error) in {*_DAMAGED, sqlite3.SQLITE_IOERR}


def on_read_only_system(path: Path) -> bool:
    """Whether the file system of a folder can be read alone."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _of_sqlite(error: sqlite3.DatabaseError, path: Path) -> GalleryError:
    code = _primary(error)
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return full(path)
    if code == sqlite3.SQLITE_READONLY or (code in _UNCLEAR and on_read_only_system(path.parent)):
        return read_only(path)
    if code in _UNCLEAR and _no_room(path.parent):
        return full(path)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return GalleryUnavailableError(f"{path} is being changed by another program: try again")
    return GalleryUnavailableError(f"{path} cannot be used: {error}: see `journalctl -k` for the disk's own complaints")


def _of_system(error: OSError, path: Path) -> GalleryError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(path)
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return read_only(path)
    return GalleryUnavailableError(f"{path} cannot be used: {error.strerror}")


def _no_room(folder: Path) -> bool:
    try:
        return os.statvfs(folder).f_bavail == 0
    except OSError:
        return False


def _primary(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary result code (sqlite.org/rescode.html); what Python's module itself complains of has none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
