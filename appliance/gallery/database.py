"""The gallery's database: SQLite, as durable and as forgetful as it can be made."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from appliance import state
from appliance.gallery import storage_errors
from appliance.gallery.people import GalleryUnavailableError, ReadOnlyError
from appliance.gallery.schema import migrate
from appliance.gallery.storage_errors import translated

PATIENCE_MS = 5000
"""How long another program's transaction is waited for."""

PAGE_BYTES = 8192
"""Three templates of 2.1 kB; in SQLite's own 4096 there is room for one."""

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


class Database:
    """One connection; it may go from thread to thread, but works for one at a time. Every method raises the classes of
    GalleryUnavailableError.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, writable: bool) -> None:
        self._path, self._connection, self.writable = path, connection, writable
        self._file = _identity(path)
        self._version = self._data_version()
        self.losses: list[str] = []

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a database, made when it is absent and brought to the newest version; one that cannot be written is opened
        for reading (`writable` is false then).
        """
        try:
            with translated(path):
                _create(path)
                if path.stat().st_size == 0:
                    raise storage_errors.damaged(path, "it is empty")
                return cls(path, _connected(path, f"{path.absolute().as_uri()}?mode=rw", _SETTINGS), writable=True)
        except ReadOnlyError:
            if not path.exists():
                raise
            with translated(path):
                return cls(path, _connected(path, _for_reading(path), ()), writable=False)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; on the disk when it is left. Nobody else writes meanwhile."""
        if not self.writable:
            raise storage_errors.read_only(self._path)
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
        """The rows of a query that ends in "WHERE number > ? ORDER BY number" and gives the number first. When a page between
        them is damaged, those before it come, then those behind it from the last one on, and `losses` says so.
        """
        last = -1
        try:
            for row in self._connection.execute(query, (last,)):
                last = row[0]
                yield row
        except sqlite3.DatabaseError as error:
            if not storage_errors.unreadable(error):
                raise
            self.losses.append(str(error))
            yield from self._rows_from_the_end(query, last)

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
        self.losses += [reason for (reason,) in found if reason != "ok"]

    def close(self) -> None:
        """Closes the connection; the last one settles the log and removes it."""
        with translated(self._path):
            self._connection.close()

    def _rows_from_the_end(self, query: str, last: int) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(f"{query} DESC", (last,))
        except sqlite3.DatabaseError as error:
            if not storage_errors.unreadable(error):
                raise  # else it is the other side of the same damage

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
