"""The gallery's storage as it goes on: opened, followed, changed, and told of when it cannot be."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.gallery import storage_errors
from appliance.gallery.book import Book
from appliance.gallery.database import Database
from appliance.gallery.draft import Draft
from appliance.gallery.people import GalleryDamagedError, GalleryError, GalleryUnavailableError
from appliance.gallery.rotation import Rotation
from appliance.gallery.sealing import Seal
from appliance.gallery.site_key import SiteKey
from appliance.gallery.snapshot import Snapshot
from appliance.gallery.storage_errors import DeletedError

EMPTYING_PATIENCE_MS = 1000
"""How long an erasure waits for another program that reads."""


class Storage:
    """The database and what it holds, kept the same. Thread-safe. Raises the classes of GalleryUnavailableError."""

    def __init__(self, path: Path, key: SiteKey) -> None:
        self._path, self._seal = path, Seal(key)
        self._lock = threading.RLock()
        self._trouble: GalleryUnavailableError | None = None
        self._damage: GalleryDamagedError | None = None
        self._emptied, self._stale, self.version = True, False, 0
        self._open()

    @property
    def snapshot(self) -> Snapshot:
        """What the gallery holds now."""
        return self._snapshot

    def problem(self) -> GalleryUnavailableError | None:
        """What is wrong with the storage; None when all is well."""
        return self._trouble or self._damage

    @contextmanager
    def change(self) -> Iterator[Draft]:
        """A transaction: what was written in it is on the disk when it is left, or nothing is, when something is raised."""
        with self._lock:
            if self._damage:
                raise self._damage
            try:
                with self._database.transaction():
                    self._follow()
                    if self._damage:
                        raise self._damage
                    draft = Draft(self._book, self._snapshot)
                    yield draft
                    snapshot = draft.done()
            except GalleryUnavailableError as error:
                self._note(error)
                raise
            self._trouble = None
            self._take(snapshot)
            self._settle()

    @contextmanager
    def reading(self) -> Iterator[tuple[Book, Rotation]]:
        """The book and its rotation, to read something that is not in memory; nobody changes them meanwhile."""
        with self._lock, self._database.view():
            self._follow()
            yield self._book, self._snapshot.rotation

    def empty_log(self, patience_ms: int = EMPTYING_PATIENCE_MS) -> bool:
        """Takes what was erased out of the log, too; false when that has to wait for another program, see `refresh`."""
        with self._lock:
            try:
                self._emptied = self._database.empty_log(patience_ms)
            except GalleryUnavailableError as error:
                self._trouble, self._emptied = error, False
            return self._emptied

    def refresh(self) -> None:
        """Takes over what other programs have changed, finishes what had to wait, and looks whether a trouble is over. What is
        wrong is told by `problem`.
        """
        with self._lock:
            try:
                if self._database.moved():
                    self._open_again()
                with self._database.view():
                    self._follow()
                if not self._damage:
                    self._try_to_write()
            except GalleryUnavailableError as error:
                self._note(error)
            if not self._emptied:
                self.empty_log(patience_ms=0)

    def close(self) -> None:
        """Closes the database; nothing can be changed from then on."""
        with self._lock:
            self._database.close()

    def _open(self) -> None:
        """Nothing is different when it raises."""
        database = Database.open(self._path)
        try:
            book = Book(database, self._seal)
            if not database.unwritable and not book.begun():
                with database.transaction():
                    book.begin()
            book.check_key()
            database.examine()
            with database.view():
                snapshot = Snapshot.of(book)
        except GalleryError:
            database.close()
            raise
        self._database, self._book, self._snapshot = database, book, snapshot
        self.version += 1
        self._damage = self._found_damage()
        self._trouble = database.unwritable
        if not database.unwritable:
            self.empty_log()

    def _open_again(self) -> None:
        """Another file has the database's name: it was restored, say."""
        if not self._path.exists():
            raise storage_errors.deleted(self._path)
        before, book, known = self._database, self._book, self._snapshot
        self._open()
        if (
            known.people and not self._snapshot.people
        ):  # made anew by somebody: what is in memory may be all that is left
            self._database.close()
            self._database, self._book, self._snapshot = before, book, known
            raise storage_errors.deleted(self._path)
        before.close()

    def _follow(self) -> None:
        if self._database.changed() or self._stale:
            self._load()
            self._stale = False

    def _note(self, error: GalleryUnavailableError) -> None:
        """What is in memory stays when the file turns out to be damaged; else it may not be what is on the disk."""
        if isinstance(error, GalleryDamagedError) and not isinstance(error, DeletedError):
            self._damage = error
        else:
            self._trouble, self._stale = error, True

    def _load(self) -> None:
        self._take(Snapshot.of(self._book))
        self._damage = self._found_damage()

    def _found_damage(self) -> GalleryDamagedError | None:
        losses = self._database.losses
        kept = f"{len(self._snapshot.people)} people and {self._snapshot.templates} templates are still there"
        return storage_errors.damaged(self._path, f"{_counted(losses)}; {kept}") if losses else None

    def _take(self, snapshot: Snapshot) -> None:
        self.version += snapshot.people != self._snapshot.people
        self._snapshot = snapshot

    def _settle(self) -> None:
        """What is in the file does not depend on the log; when it cannot be, it is safe in the log all the same."""
        try:
            self._database.settle()
        except GalleryUnavailableError as error:
            self._trouble = error

    def _try_to_write(self) -> None:
        """Whether what can be read can be written, too; something is written only after a trouble."""
        if self._trouble is None:
            storage_errors.check_not_read_only(self._path)
            return
        storage_errors.check_writable(self._path)
        if self._database.unwritable:
            self._database.close()  # first: connections of a process share what they know of the log
            self._open()
            return
        with self._database.transaction():
            self._book.touch()
        self._trouble = None


def _counted(losses: list[str]) -> str:
    """The reasons, each once, with how often."""
    counts = {reason: losses.count(reason) for reason in losses}
    return ", ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in counts.items())
