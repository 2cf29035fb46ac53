"""The database of a gallery and its contents in memory, kept in step, also with what other programs change."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from appliance.gallery import database as storage
from appliance.gallery.counter import CounterGuard, CounterStore, CounterUnreadableError
from appliance.gallery.database import Database, DeletedError
from appliance.gallery.people import GalleryDamagedError, GalleryError, GalleryUnavailableError, RollbackError
from appliance.gallery.repository import GallerySnapshot, Repository, Transaction
from appliance.gallery.vault import BrokenSealError, Rotation, Seal, SiteKey

EMPTYING_PATIENCE_MS = 1000
"""How long an erasure waits for another program that reads."""


class Store:
    """The database and its contents in memory, kept in step. Thread-safe. Raises the subclasses of
    GalleryUnavailableError.
    """

    def __init__(self, path: Path, key: SiteKey, record: CounterStore | None = None, *, fresh: bool = False) -> None:
        """A missing database that the record knows is an error unless a `fresh` one is wanted, which leaves the record as it
        is until it is opened again.
        """
        self._path, self._seal = path, Seal(key)
        self._guard = CounterGuard(self._seal, record, keeps=not fresh)
        self._lock = threading.RLock()
        self._trouble: GalleryUnavailableError | None = None
        self._damage: GalleryDamagedError | None = None
        self._emptied, self._stale, self._disconnected, self.version = True, False, False, 0
        if not fresh and not path.exists():
            with suppress(CounterUnreadableError):
                if self._guard.kept()[1]:
                    raise storage.deleted(path)
        self._open()

    @property
    def snapshot(self) -> GallerySnapshot:
        return self._snapshot

    def problem(self) -> GalleryUnavailableError | None:
        return self._trouble or self._damage

    def rollback(self) -> RollbackError | None:
        """Returns whether the gallery or the record of decisions is an older copy."""
        return self._guard.rollback

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """Everything written in the block is on the disk when it ends; nothing is if it raises."""
        with self._lock:
            if self._damage:
                raise self._damage
            try:
                with self._database.transaction():
                    self._follow()
                    if self._damage:
                        raise self._damage
                    transaction = Transaction(self._database, self._seal, self._snapshot)
                    yield transaction
                    snapshot = transaction.result()
                    counted = None
                    if transaction.accepted or snapshot.people != self._snapshot.people:
                        counted = self._guard.count(transaction)
            except GalleryUnavailableError as error:
                self._note(error)
                raise
            self._trouble = None
            self._take(snapshot)
            self._guard.keep(counted)
            try:
                self._database.settle()
            except GalleryUnavailableError as error:  # the change is safe in the log all the same
                self._trouble = error

    @contextmanager
    def reading(self) -> Iterator[tuple[Repository, Rotation]]:
        """Gives access to rows that are not in memory, and their rotation; no change happens within the block. A broken seal is
        a problem from then on.
        """
        with self._lock, self._database.view():
            self._follow()
            try:
                yield Repository(self._database, self._seal), self._snapshot.rotation
            except BrokenSealError as error:
                self._database.losses.append(str(error))
                self._damage = self._found_damage()
                raise

    def empty_log(self, patience_ms: int = EMPTYING_PATIENCE_MS) -> bool:
        """Removes erased content from the log, too. False if that has to wait for another program; `refresh` tries again."""
        with self._lock:
            try:
                self._emptied = self._database.empty_log(patience_ms)
            except GalleryUnavailableError as error:
                self._trouble, self._emptied = error, False
            return self._emptied

    def refresh(self) -> None:
        """Takes over other programs' changes, finishes what had to wait, and checks whether a problem is over. Errors go to
        `problem`.
        """
        with self._lock:
            try:
                if self._disconnected or self._database.moved():
                    self._open_again()
                    self._disconnected = False
                with self._database.view():
                    self._follow()
                if self._guard.due or self._guard.rollback:
                    self._guard.compare(Repository(self._database, self._seal).counter)
                if not self._damage:
                    self._try_to_write()
            except GalleryUnavailableError as error:
                self._note(error)
            if not self._emptied:
                self.empty_log(patience_ms=0)

    def close(self) -> None:
        """Closes the database. Nothing can be changed afterwards; the snapshot stays readable."""
        with self._lock:
            self._database.close()

    def _open(self) -> None:
        """Changes nothing if it raises."""
        database = Database.open(self._path)
        try:
            repository = Repository(database, self._seal)
            if not database.unwritable and not repository.initialised():
                with database.transaction():
                    repository.initialise()
            repository.check_key()
            database.examine()
            with database.view():
                snapshot = repository.snapshot()
            self._guard.compare(repository.counter)
        except GalleryError:
            database.close()
            raise
        self._database, self._snapshot = database, snapshot
        self.version += 1
        self._damage = self._found_damage()
        self._trouble = database.unwritable
        if not database.unwritable:
            self.empty_log()

    def _open_again(self) -> None:
        """Opens the file that now has the database's name, which was restored, for example."""
        if not self._path.exists():
            raise storage.deleted(self._path)
        before, contents = self._database, self._snapshot
        self._open()
        if contents.people and not self._snapshot.people:  # a new empty file: memory may hold the only copy
            self._database.close()
            self._database, self._snapshot = before, contents
            raise storage.deleted(self._path)
        before.close()

    def _follow(self) -> None:
        if self._database.changed() or self._stale:
            self._take(Repository(self._database, self._seal).snapshot())
            self._damage = self._found_damage()
            self._stale, self._guard.due = False, True

    def _note(self, error: GalleryUnavailableError) -> None:
        """Memory stays valid for a damaged file; after any other error it may differ from the disk."""
        if isinstance(error, GalleryDamagedError) and not isinstance(error, DeletedError):
            self._damage = error
        else:
            self._trouble, self._stale = error, True

    def _found_damage(self) -> GalleryDamagedError | None:
        if not (losses := self._database.losses):
            return None
        counts = Counter(losses).items()
        reasons = ", ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in counts)
        kept = f"{len(self._snapshot.people)} people and {self._snapshot.templates} templates are still there"
        return storage.damaged(self._path, f"{reasons}; {kept}")

    def _take(self, snapshot: GallerySnapshot) -> None:
        self.version += snapshot.people != self._snapshot.people
        self._snapshot = snapshot

    def _try_to_write(self) -> None:
        """Raises if the gallery can be read but not written. Writes something only after a problem."""
        if self._trouble is None:
            storage.check_not_read_only(self._path)
            return
        storage.check_writable(self._path)
        if self._database.unwritable:
            self._disconnected = True  # until it can be opened again
            self._database.close()  # first, because connections of a process share what they know of the log
            self._open()
            self._disconnected = False
            return
        with self._database.transaction():
            Repository(self._database, self._seal).touch()
        self._trouble = None
