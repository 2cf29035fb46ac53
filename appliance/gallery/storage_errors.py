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


_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}
"""What file systems say that have none, or a folder that is not there."""

PAGE_BYTES = 8192
"""Of the database: three templates of 2.1 kB; in SQLite's own 4096 there is room for one."""


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


def check_not_read_only(path: Path) -> None:
    """Raises ReadOnlyError when the file system says that it is."""
    with translated(path):
        if path.exists() and os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            raise read_only(path)


def check_writable(path: Path) -> None:
    """Raises ReadOnlyError or StorageFullError when not even a page can be written beside the database; an unnamed file tries
    it (open(2), O_TMPFILE). A disk that broke may not show in statvfs(3) that it is read-only.
    """
    check_not_read_only(path)
    try:
        descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            os.write(descriptor, bytes(PAGE_BYTES))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise _of_system(error, path) from error


def _of_sqlite(error: sqlite3.DatabaseError, path: Path) -> GalleryError:
    code = _primary(error)
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return full(path)
    if code == sqlite3.SQLITE_READONLY:
        return read_only(path)
    if code in _UNCLEAR and (clearer := _complaint(path)):
        return clearer
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return GalleryUnavailableError(f"{path} is being changed by another program: try again")
    return GalleryUnavailableError(f"{path} cannot be used: {error}: see `journalctl -k` for the disk's own complaints")


def _complaint(path: Path) -> GalleryError | None:
    try:
        check_writable(path)
    except GalleryUnavailableError as error:
        return error
    return None


def _of_system(error: OSError, path: Path) -> GalleryError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(path)
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return read_only(path)
    return GalleryUnavailableError(f"{path} cannot be used: {error.strerror}")


def _primary(error: sqlite3.DatabaseError) -> int:
    """SQLite's primary result code (sqlite.org/rescode.html); what Python's module itself complains of has none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
