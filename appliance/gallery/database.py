"""The gallery's database: SQLite, as durable and as forgetful as it can be made."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from appliance import state
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    ReadOnlyError,
    StorageFullError,
)

MIGRATIONS = (
    """
    CREATE TABLE facts (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE people (number INTEGER PRIMARY KEY AUTOINCREMENT, tag BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL);
    CREATE TABLE templates (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        person INTEGER NOT NULL REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    CREATE INDEX templates_of_a_person ON templates (person);
    CREATE TABLE pictures (
        number INTEGER PRIMARY KEY REFERENCES templates (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    CREATE TABLE passages (
        number INTEGER PRIMARY KEY REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    """,
)
"""Each makes the next version (PRAGMA user_version) of the one before; what is here once never changes.

`people.tag` is an HMAC of the id; `pictures.number` is that of the template, `passages.number` that of the person.
"""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings a database to the newest version, one transaction a step. Raises GalleryUnavailableError when it is newer than
    this program, and SQLite's errors.
    """
    while (version := _version(connection)) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == version:
                for statement in MIGRATIONS[version].split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    if version > len(MIGRATIONS):
        raise GalleryUnavailableError(f"{path} was made by a newer version of this program: install that one again")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


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


PATIENCE_MS = 5000
"""How long another program's transaction is waited for."""

_PAGES = f"PRAGMA page_size = {PAGE_BYTES}"

_SETTINGS = (
    f"PRAGMA busy_timeout = {PATIENCE_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)


_MOST = 2**63 - 1
"""Of the numbers of rows, which begin with 1."""


class Database:
    """One connection; it may go from thread to thread, but works for one at a time. Every method raises the classes of
    GalleryUnavailableError.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, unwritable: GalleryUnavailableError | None = None
    ) -> None:
        self._path, self._connection, self.unwritable = path, connection, unwritable
        self._file = _identity(path)
        self._version = self._data_version()
        self.losses: list[str] = []

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a database, made when it is absent and brought to the newest version; one that cannot be written is opened
        for reading (`unwritable` says why).
        """
        try:
            with translated(path):
                _create(path)
                if path.stat().st_size == 0:
                    raise damaged(path, "it is empty")
                check_not_read_only(path)  # SQLite takes one whose log is there for a writable one
                return cls(path, _connected(path, f"{path.absolute().as_uri()}?mode=rw", _SETTINGS))
        except (ReadOnlyError, StorageFullError) as error:
            if not path.exists():
                raise
            with translated(path):
                return cls(path, _connected(path, _for_reading(path), ()), unwritable=error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; on the disk when it is left. Nobody else writes meanwhile."""
        if self.unwritable:
            raise self.unwritable
        if self.moved():
            raise deleted(self._path)
        with translated(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def view(self) -> Iterator[None]:
        """What is read within is of one moment."""
        with translated(self._path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def run(self, statement: str, *values: Any) -> int:
        """Carries out a statement; how many rows it changed."""
        with translated(self._path):
            return self._connection.execute(statement, values).rowcount

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """The first row of an answer."""
        with translated(self._path):
            found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
            return found

    def rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that ends in "WHERE number > ? AND number < ? ORDER BY number" and gives the number first. When a
        page between them is damaged, those before it come, then those behind it from the last one on, and `losses` says so.
        """
        last = 0
        try:
            for row in self._connection.execute(query, (last, _MOST)):
                last = row[0]
                yield row
        except sqlite3.DatabaseError as error:
            if not unreadable(error):
                raise
            self.losses.append(str(error))
            yield from self._around(query, last)

    def changed(self) -> bool:
        """Whether another connection, this program's or another's, has changed something since the last time."""
        before, self._version = self._version, self._data_version()
        return self._version != before

    def moved(self) -> bool:
        """Whether the file is not that of its name any more."""
        return _identity(self._path) != self._file

    def settle(self) -> None:
        """Brings what the log (WAL) holds into the file, as far as readers let it, so that little depends on it."""
        with translated(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def empty_log(self, patience_ms: int) -> bool:
        """Empties the log (WAL), so that nothing old stands in it; false when another program still reads from it."""
        with translated(self._path):
            self._connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
            try:
                (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        return not busy

    def examine(self) -> None:
        """Notes in `losses` when the structure is damaged."""
        try:
            found = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            found = [(str(error),)]
        self.losses += [reason.splitlines()[-1] for (reason,) in found if reason != "ok"]

    def close(self) -> None:
        """Closes the connection; the last one settles the log and removes it."""
        with translated(self._path):
            self._connection.close()

    def _around(self, query: str, last: int) -> Iterator[tuple[Any, ...]]:
        """Those behind the `last` row up to the damage, then those from the end down to it; one by one, for Python asks for the
        next row before it gives the one it has.
        """
        first = _MOST
        while row := self._one(f"{query} LIMIT 1", last, first):
            last = row[0]
            yield row
        while row := self._one(f"{query} DESC LIMIT 1", last, first):
            first = row[0]
            yield row

    def _one(self, query: str, last: int, first: int) -> tuple[Any, ...] | None:
        """None when it cannot be read, too."""
        try:
            found: tuple[Any, ...] | None = self._connection.execute(query, (last, first)).fetchone()
        except sqlite3.DatabaseError as error:
            if not unreadable(error):
                raise
            return None
        return found

    def _data_version(self) -> int:
        with translated(self._path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return int(version)


def _create(path: Path) -> None:
    """A new database under its name, whole, that others cannot read; the log's files take its rights and its owner. So one
    that is empty is no new one. Raises OSError and SQLite's errors.
    """
    if path.exists():
        return
    with state.held(path):
        if path.exists():
            return
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            connection.execute(_PAGES)
            migrate(connection, path)
        finally:
            connection.close()
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(new, owner.st_uid, owner.st_gid)
        new.replace(path)


def _connected(path: Path, address: str, settings: tuple[str, ...]) -> sqlite3.Connection:
    """Raises SQLite's errors."""
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        for setting in settings:
            connection.execute(setting).fetchall()
        migrate(connection, path)
    except (sqlite3.Error, GalleryUnavailableError):
        connection.close()
        raise
    return connection


def _for_reading(path: Path) -> str:
    """A log that holds something must be read with the file; without one the file is read as it is, for SQLite can make none
    there (sqlite.org/wal.html, "Read-Only Databases").
    """
    log = path.with_name(f"{path.name}-wal")
    settled = not log.exists() or log.stat().st_size == 0
    return f"{path.absolute().as_uri()}?mode=ro" + ("&immutable=1" if settled else "")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
