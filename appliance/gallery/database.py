"""The gallery's database: SQLite, as durable and as forgetful as it can be made."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from appliance import state
from appliance.gallery import storage_errors
from appliance.gallery.people import GalleryUnavailableError, ReadOnlyError, StorageFullError
from appliance.gallery.schema import migrate
from appliance.gallery.storage_errors import translated

PATIENCE_MS = 5000
"""How long another program's transaction is waited for."""

_PAGES = f"PRAGMA page_size = {storage_errors.PAGE_BYTES}"

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
                    raise storage_errors.damaged(path, "it is empty")
                storage_errors.check_not_read_only(path)  # SQLite takes one whose log is there for a writable one
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
            raise storage_errors.deleted(self._path)
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
            if not storage_errors.unreadable(error):
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
            if not storage_errors.unreadable(error):
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
