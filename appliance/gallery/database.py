"""The gallery's database: SQLite, set to lose nothing that was committed and to keep nothing that was erased."""

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
    """
    CREATE TABLE pins (
        number INTEGER PRIMARY KEY REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    """,
    """
    CREATE TABLE shares (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, sealed BLOB NOT NULL);
    """,
    """
    CREATE TABLE fits (
        number INTEGER PRIMARY KEY REFERENCES people (number) ON DELETE CASCADE,
        sealed BLOB NOT NULL
    );
    """,
)
"""Each raises the schema version (PRAGMA user_version) by one; an entry never changes once it is here.

`people.tag` is an HMAC of the id. `pictures.number` is that of the template, `passages.number`, `pins.number` and `fits.number`
those of the person. `shares.key` is an HMAC of the id under the fleet's key.
"""

RESTORE = "restore a backup with `appliance people restore FILE`"

LOGS = ("-wal", "-shm")
"""Suffixes of the files beside a database. An old database's would be applied to its successor
(sqlite.org/howtocorrupt.html, 4.4).
"""

PAGE_BYTES = 8192
"""Of the database: three templates of 2.1 kB; SQLite's default of 4096 holds one."""

PATIENCE_MS = 5000
"""How long to wait for another program's transaction."""

_PAGE_SIZE = f"PRAGMA page_size = {PAGE_BYTES}"

_SETTINGS = (
    f"PRAGMA busy_timeout = {PATIENCE_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)

_LAST_ROW = 2**63 - 1
"""The largest row number; the first is 1."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_UNCLEAR = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
"""SQLite also returns these for a full or read-only file system, depending on which of its files is concerned."""

_NO_UNNAMED_FILES = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}
"""Returned by file systems without O_TMPFILE, or for a missing folder."""


class DeletedError(GalleryDamagedError):
    """The database's file was deleted, moved or renamed."""


def full(path: Path) -> StorageFullError:
    """Returns the error for a full disk."""
    return StorageFullError(f"the disk of {path.parent} is full: make room; until then nothing is enrolled or erased")


def read_only(path: Path) -> ReadOnlyError:
    """Returns the error for a read-only folder."""
    return ReadOnlyError(f"{path.parent} cannot be written: remount it, or give its owner write permission")


def damaged(path: Path, reason: str) -> GalleryDamagedError:
    """Returns the error for a damaged database."""
    return GalleryDamagedError(f"{path} is damaged ({reason}): nothing is written; {RESTORE}")


def lost(what: str) -> GalleryDamagedError:
    """Returns the error for a row that has disappeared."""
    return GalleryDamagedError(f"{what} of the gallery is no longer on the disk: nothing is written; {RESTORE}")


def deleted(path: Path) -> DeletedError:
    """Returns the error for a file that has disappeared from its name."""
    return DeletedError(f"{path} was deleted, moved or renamed: put it back, or {RESTORE}")


@contextmanager
def all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that writes, ended with the block; undone if that raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises the gallery's error for SQLite's or the system's about the database at `path`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _of_sqlite(error, path) from error
    except OSError as error:
        raise _of_system(error, path) from error


def check_not_read_only(path: Path) -> None:
    """Raises ReadOnlyError if the file system reports that it is read-only."""
    with translated(path):
        if path.exists() and os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            raise read_only(path)


def check_writable(path: Path) -> None:
    """Raises ReadOnlyError or StorageFullError if no page can be written beside the database. It writes to an unnamed file
    (open(2), O_TMPFILE), because statvfs(3) may not show that a broken disk has become read-only.
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
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return GalleryUnavailableError(f"{path} is being changed by another program: try again")
    if code in _UNCLEAR:
        try:
            check_writable(path)
        except GalleryUnavailableError as clearer:
            return clearer
    return GalleryUnavailableError(f"{path} cannot be used: {error}: see `journalctl -k` for disk errors")


def _of_system(error: OSError, path: Path) -> GalleryError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return full(path)
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return read_only(path)
    return GalleryUnavailableError(f"{path} cannot be used: {error.strerror}")


def _primary(error: sqlite3.DatabaseError) -> int:
    """Returns SQLite's primary result code (sqlite.org/rescode.html); errors of Python's own module have none."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _unreadable(error: sqlite3.DatabaseError) -> bool:
    """Returns whether one place of the file cannot be read while others may be."""
    return _primary(error) in {*_DAMAGED, sqlite3.SQLITE_IOERR}


class Database:
    """One connection, which may move between threads but serves one at a time. Every method raises the subclasses of
    GalleryUnavailableError. `losses` lists what could not be read.
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
        """Opens a database, made if absent and migrated to the newest schema. One that cannot be written is opened for
        reading, and `unwritable` says why.
        """
        try:
            with translated(path):
                _create(path)
                if path.stat().st_size == 0:
                    raise damaged(path, "it is empty")
                check_not_read_only(path)  # SQLite would treat one with a log as writable
                return cls(path, _connected(path, f"{path.absolute().as_uri()}?mode=rw", _SETTINGS))
        except (ReadOnlyError, StorageFullError) as error:
            if not path.exists():
                raise
            with translated(path):
                return cls(path, _connected(path, _for_reading(path), ()), unwritable=error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes all or nothing; on the disk when the block ends. Excludes other writers."""
        if self.unwritable:
            raise self.unwritable
        if self.moved():
            raise deleted(self._path)
        with translated(self._path), all_or_nothing(self._connection):
            yield

    @contextmanager
    def view(self) -> Iterator[None]:
        """Reads within the block see one moment."""
        with translated(self._path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def run(self, statement: str, *values: Any) -> None:
        with translated(self._path):
            self._connection.execute(statement, values)

    def row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        with translated(self._path):
            found: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
            return found

    def rows(self, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Yields number and `columns` of a table's rows in order. If a page is damaged, yields the rows before it, then those
        behind it from the last one backwards, and adds the damage to `losses`.
        """
        selected = ", ".join(("number", *columns))
        query = f"SELECT {selected} FROM {table} WHERE number > ? AND number < ? ORDER BY number"  # noqa: S608 - constants
        last = 0
        try:
            for row in self._connection.execute(query, (last, _LAST_ROW)):
                last = row[0]
                yield row
        except sqlite3.DatabaseError as error:
            if not _unreadable(error):
                raise
            self.losses.append(str(error))
            yield from self._around(query, last)

    def changed(self) -> bool:
        """Returns whether any other connection has written since the last call."""
        before, self._version = self._version, self._data_version()
        return self._version != before

    def moved(self) -> bool:
        return _identity(self._path) != self._file

    def settle(self) -> None:
        """Copies the log (WAL) into the file as far as readers permit, so that little depends on the log."""
        with translated(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def empty_log(self, patience_ms: int) -> bool:
        """Empties the log (WAL), so that nothing erased is left in it; false if another program still reads from it."""
        with translated(self._path):
            self._connection.execute(f"PRAGMA busy_timeout = {patience_ms}")
            try:
                (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                self._connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        return not busy

    def examine(self) -> None:
        """Adds damage of the file's structure to `losses`."""
        try:
            found = self._connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            found = [(str(error),)]
        self.losses += [reason.splitlines()[-1] for (reason,) in found if reason != "ok"]

    def close(self) -> None:
        """Closes the connection; the last one to close settles and removes the log."""
        with translated(self._path):
            self._connection.close()

    def _around(self, query: str, last: int) -> Iterator[tuple[Any, ...]]:
        """Yields the rows behind `last` up to the damage, then those from the end down to it. It asks for one row at a time,
        because Python fetches the next row before it returns the current one.
        """
        first = _LAST_ROW
        while row := self._one(f"{query} LIMIT 1", last, first):
            last = row[0]
            yield row
        while row := self._one(f"{query} DESC LIMIT 1", last, first):
            first = row[0]
            yield row

    def _one(self, query: str, last: int, first: int) -> tuple[Any, ...] | None:
        """Returns None also for a row that cannot be read."""
        try:
            found: tuple[Any, ...] | None = self._connection.execute(query, (last, first)).fetchone()
        except sqlite3.DatabaseError as error:
            if not _unreadable(error):
                raise
            return None
        return found

    def _data_version(self) -> int:
        with translated(self._path):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return int(version)


def _create(path: Path) -> None:
    """Puts a complete new database at `path`, readable by its owner only; SQLite gives the logs the same owner and mode. So an
    empty file is never a new database. Raises OSError and SQLite's errors.
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
            connection.execute(_PAGE_SIZE)
            _migrate(connection, path)
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
        _migrate(connection, path)
    except (sqlite3.Error, GalleryUnavailableError):
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Brings a database to the newest schema, one transaction a step. Raises GalleryUnavailableError if its schema is newer
    than this program, and SQLite's errors.
    """
    while (version := _schema_version(connection)) < len(MIGRATIONS):
        with all_or_nothing(connection):
            if _schema_version(connection) == version:
                for statement in MIGRATIONS[version].split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
    if version > len(MIGRATIONS):
        raise GalleryUnavailableError(f"{path} was made by a newer version of this program: install that version again")


def _schema_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _for_reading(path: Path) -> str:
    """Returns the URI of a database that cannot be written. A log with content must be read with the file; without one the
    file is read as immutable, because SQLite could create no log there (sqlite.org/wal.html, "Read-Only Databases").
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
