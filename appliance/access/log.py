"""The record of decisions: what was decided, and what was done with the data of the people it is about.

Entries are only added. Each has the hash of the one before and is on the disk before the decision is answered. People appear by
their reference; nothing biometric appears. Only an anchor that is kept elsewhere shows that the whole record, or its end, was
replaced by someone who can write to the disk.
"""

import hashlib
import json
import logging
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance import state
from appliance.access.token import Anchor, stamp
from appliance.faults import ReportedError
from appliance.gallery.counter import CounterUnreadableError
from appliance.gallery.database import all_or_nothing
from appliance.gallery.people import Erasure

log = logging.getLogger(__name__)

RECORD_FILE = "decisions.db"
"""In the state folder."""

DECISION, DOOR, ERASURE, EXPIRED, PASS, CONSENT = "decision", "door", "erased", "expired", "pass", "consent"
"""Kinds of entries; DOOR is an event there. EXPIRED says up to which sequence older entries were removed, and has the hash of
the last of those. CONSENT has the person who has agreed to be enrolled, and the SHA-256 of what they have agreed to.
"""

VOIDS = "voids"
"""The fact of a decision that names the sequence of another one, which it replaces and which was never answered."""

START = "0" * 64
"""What the first entry has for the hash of the one before."""

LEAST_FREE = 2**20
"""Bytes below which a disk counts as full: some 2,000 entries, and the databases' journals."""

_KIND = re.compile(r"[a-z][a-z_]{0,31}")

_PATIENCE_SECONDS = 5.0
"""How long another process's transaction is waited for; one takes milliseconds."""

_STEP = 256
"""Pages of 4 kB that are copied at once, in some milliseconds: nothing can be added meanwhile."""

_PAGE, _BEYOND = 1000, 2**62
"""Entries that `each` reads at once, in 20 ms; a sequence that no entry has."""

_TABLE = (
    "CREATE TABLE IF NOT EXISTS counter (number INTEGER PRIMARY KEY CHECK (number = 1), sealed BLOB NOT NULL) STRICT",
    """CREATE TABLE IF NOT EXISTS entries (
        sequence INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, facts TEXT NOT NULL, hash TEXT NOT NULL
    ) STRICT""",
    """CREATE TRIGGER IF NOT EXISTS entries_stay_as_they_are BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'an entry is not changed'); END""",
    """CREATE TRIGGER IF NOT EXISTS entries_go_when_expired BEFORE DELETE ON entries
        WHEN (SELECT kind FROM entries ORDER BY sequence DESC LIMIT 1) <> 'expired'
        BEGIN SELECT RAISE(ABORT, 'an entry has not expired'); END""",
)

_SETTINGS = (
    "PRAGMA journal_mode = PERSIST",  # 0.9 ms an entry; DELETE 25 ms, WAL closed each time 20 ms (x86-64, ext4)
    "PRAGMA journal_size_limit = 65536",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA cell_size_check = ON",
    "PRAGMA trusted_schema = OFF",
)

_SELECT = """SELECT sequence, time, kind, facts, hash,
    (SELECT hash FROM entries AS previous WHERE previous.sequence = entries.sequence - 1) FROM entries"""

Fact = str | int | bool | tuple[str | int, ...] | None
"""No floats: a score says something about a face, and a number that can be written in two ways has two hashes."""


class RecordError(ReportedError):
    """The record cannot be read or written; the text is one line that gives the reason."""


class RecordDamagedError(RecordError):
    """An entry is not as it was written: it is kept as it is, and nothing is added."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What was recorded: `sequence` counts from 1 without a gap, `time` is UTC in milliseconds, `previous` the hash of the
    entry before, and `hash` (SHA-256 in hexadecimal) covers all the rest.
    """

    sequence: int
    time: datetime
    kind: str
    facts: Mapping[str, Fact]
    previous: str
    hash: str

    @property
    def anchor(self) -> Anchor:
        return Anchor(self.sequence, self.hash)

    def document(self) -> dict[str, Any]:
        time, facts = stamp(self.time), dict(self.facts)
        return {"sequence": self.sequence, "time": time, "kind": self.kind, "facts": facts, "hash": self.hash}


def voided(entries: Iterable[Entry]) -> set[Fact]:
    """The sequences of the decisions that these entries void."""
    return {entry.facts[VOIDS] for entry in entries if VOIDS in entry.facts}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `Record.verify` found: `entries` sound ones from sequence `first` to `last` (0: none), the hash of the last, and
    what is wrong with the next one, or None.
    """

    entries: int
    first: int
    last: int
    hash: str
    problem: str | None

    @property
    def sound(self) -> bool:
        return self.problem is None


class Record:
    """Thread-safe, and safe beside other processes. The database is opened anew each time, so that it may be moved away,
    and its disk unmounted, while the device runs. A reader creates nothing.
    """

    def __init__(
        self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, most_bytes: int | None = None
    ) -> None:
        """`most_bytes`: the size of the database from which on the oldest day is dropped."""
        self._path, self._clock, self._most = path, clock, most_bytes
        self._lock = threading.Lock()
        self._last: Anchor | None = None
        self._reported: str | None = None

    def append(self, kind: str, facts: Mapping[str, Fact]) -> Entry:
        """Adds an entry, which is on the disk when this returns. Raises RecordError, and then nothing of it is recorded;
        ValueError for a kind or facts that may not be recorded.
        """
        with self._lock, self._writing() as connection:
            with all_or_nothing(connection):
                removed = self._make_room(connection)
                entry = self._append(connection, kind, facts)
            if removed:
                _forget_journal(connection)
                log.warning("record of decisions: full: the oldest %d entries were dropped", removed)
        self._last = entry.anchor
        return entry

    def note_change(self, kind: str, facts: Mapping[str, Fact]) -> Entry | None:
        """Adds an entry unless the newest of its kind says the same. Raises RecordError."""
        before = self.newest(1, kind)
        return None if before and before[0].facts == dict(facts) else self.append(kind, facts)

    def newest(self, count: int, kind: str | None = None) -> tuple[Entry, ...]:
        """The last entries, of one kind if it is given, newest first. Raises RecordError."""
        with self._opened() as connection:
            return tuple(_newest(connection, count, kind))

    def after(self, sequence: int, count: int) -> tuple[Entry, ...]:
        """The first `count` entries after this sequence, oldest first. Raises RecordError."""
        with self._opened() as connection:
            return tuple(_selected(connection, "sequence > ? ORDER BY sequence", sequence, count))

    def each(self, kind: str) -> Iterator[Entry]:
        """All entries of a kind, newest first, read in pages, so that others can be added meanwhile. Raises RecordError."""
        before = _BEYOND
        while True:
            with self._opened() as connection:
                page = _newest(connection, _PAGE, kind, before)
            yield from page
            if len(page) < _PAGE:
                return
            before = page[-1].sequence

    def latest(self, until: datetime | None = None) -> datetime | None:
        """The latest time in the record, of the entries up to `until` if it is given; None without any. Raises RecordError."""
        condition, values = ("WHERE time <= ?", (stamp(until),)) if until else ("", ())
        with self._opened() as connection:
            (latest,) = connection.execute(f"SELECT max(time) FROM entries {condition}", values).fetchone()  # noqa: S608
        try:
            return None if latest is None else datetime.fromisoformat(latest)
        except (ValueError, TypeError) as error:
            raise RecordDamagedError(f"{self._path}: {latest!r} is not a time") from error

    def expire(self, days: int) -> int:
        """Removes the oldest entries that are more than `days` days old; returns how many. Entries of a wrong clock among them,
        more than a day ahead, do not keep them. An entry that says so is added in the same transaction, from which `verify`
        goes on. To be called while the clock can be trusted. Raises RecordError.
        """
        now = self._clock().astimezone(UTC)
        oldest, ahead = (now.date() - timedelta(days=days)).isoformat(), stamp(now + timedelta(days=1))
        past = "SELECT max(sequence) + 1 FROM entries WHERE time < ?"
        kept = f"SELECT coalesce(min(sequence), ({past})) FROM entries WHERE time >= ? AND time <= ?"  # noqa: S608 - constants
        with self._lock, self._writing() as connection:
            with all_or_nothing(connection):
                (first,) = connection.execute(kept, (oldest, oldest, ahead)).fetchone()
                removed = self._remove(connection, first, "age")
            if removed:
                _forget_journal(connection)
        return removed

    def verify(self, anchor: Anchor | None = None) -> Verdict:
        """Whether each entry is as it was written and in its place, by a copy in memory, so that entries can be added
        meanwhile. Raises RecordError when the record cannot be read.
        """
        with self._opened() as connection, closing(sqlite3.connect(":memory:")) as copy:
            copy.text_factory = connection.text_factory
            return _walked(connection, copy, anchor, self._check_lock)

    def _check_lock(self, status: int, *_: int) -> None:
        """Raises RecordError when another program kept the record locked: a copy would go on trying for ever."""
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RecordError(f"{self._path}: another program keeps it locked")

    def counter(self) -> bytes | None:
        """The gallery's sealed counter of changes; None without one, or if the record is damaged (see `problem`). Raises
        CounterUnreadableError while the record cannot be read: because another program keeps it locked, for example.
        """
        try:
            with self._opened() as connection:
                return _counter(connection)
        except RecordDamagedError:
            return None
        except RecordError as error:
            raise CounterUnreadableError(str(error)) from error

    def keep_counter(self, sealed: bytes, before: bytes | None) -> None:
        """Keeps the gallery's counter if the one from `before` is still kept. A failure is logged: the counter is behind then,
        which the gallery allows for.
        """
        try:
            with self._lock, self._opened(create=True) as connection, all_or_nothing(connection):
                if before is None:
                    connection.execute("INSERT OR IGNORE INTO counter VALUES (1, ?)", (sealed,))
                else:
                    connection.execute("UPDATE counter SET sealed = ? WHERE sealed = ?", (sealed, before))
        except RecordError as error:
            log.warning("record of decisions: the gallery's counter is not kept: %s", error)

    def problem(self) -> str | None:
        """Why nothing can be recorded now, also in the log once; None when all is well."""
        found = self._problem()
        if found is not None and found != self._reported:
            log.warning("record of decisions: %s", found)
        self._reported = found
        return found

    def _problem(self) -> str | None:
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock, self._opened() as connection:
                self._end(connection)
                _counter(connection)
            room = os.statvfs(folder)
        except OSError as error:
            return f"{error.filename or folder}: {error.strerror}"
        except RecordError as error:
            return str(error)
        needed = {folder: os.W_OK | os.X_OK} | ({self._path: os.W_OK} if self._path.exists() else {})
        accessible = all(os.access(path, mode, effective_ids=True) for path, mode in needed.items())
        if room.f_flag & os.ST_RDONLY or not accessible:
            return f"{self._path}: it cannot be written"
        return f"{self._path}: the disk is full" if room.f_bavail * room.f_frsize < LEAST_FREE else None

    def _append(self, connection: sqlite3.Connection, kind: str, facts: Mapping[str, Fact]) -> Entry:
        before = self._end(connection)
        entry = _made(before.sequence + 1, self._clock(), kind, facts, before.hash)
        row = (entry.sequence, stamp(entry.time), kind, _canonical(facts), entry.hash)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row)
        return entry

    def _make_room(self, connection: sqlite3.Connection) -> int:
        """Removes the oldest day when the database is too large: a quarter of the entries when there is only one day."""
        size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        if self._most is None or connection.execute(size).fetchone()[0] <= self._most:
            return 0
        oldest = connection.execute("SELECT substr(time, 1, 10) FROM entries ORDER BY sequence LIMIT 1").fetchone()
        another_day = "SELECT min(sequence) FROM entries WHERE substr(time, 1, 10) <> ?"
        (first,) = connection.execute(another_day, oldest).fetchone()
        if first is None:
            (first,) = connection.execute("SELECT min(sequence) + (count(*) + 3) / 4 FROM entries").fetchone()
        return self._remove(connection, first, "size")

    def _remove(self, connection: sqlite3.Connection, first: int | None, cause: str) -> int:
        """Removes the entries before sequence `first`, because of age or size."""
        if first is None or first <= _first(connection):
            return 0
        (digest,) = connection.execute("SELECT hash FROM entries WHERE sequence = ?", (first - 1,)).fetchone()
        self._append(connection, EXPIRED, {"until": first - 1, "hash": digest, "cause": cause})
        return connection.execute("DELETE FROM entries WHERE sequence < ?", (first,)).rowcount

    def _end(self, connection: sqlite3.Connection) -> Anchor:
        """The last entry, which must not be older than the last one that this process knows."""
        newest = _newest(connection, 1)
        end, known = newest[0].anchor if newest else Anchor(0, START), self._last
        if known and end.sequence < known.sequence:
            raise RecordDamagedError(f"{self._path}: {_span(end.sequence + 1, known.sequence)} missing at the end")
        self._last = end if end.sequence else None
        return end

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The database, made if need be, while no other process writes: SQLite's own lock is not fair."""
        try:
            with state.held(self._path), self._opened(create=True) as connection:
                yield connection
        except OSError as error:
            raise RecordError(f"{error.filename or self._path}: {error.strerror}") from error

    @contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """The database, or an empty one in memory while there is none. Raises RecordError."""
        try:
            if create:
                self._create()
            there = self._path.exists() and self._path.stat().st_size > 0
            address = f"{self._path.absolute().as_uri()}?mode=rw" if create or there else ":memory:"
            connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE_SECONDS)
            try:
                connection.text_factory = lambda text: text.decode("utf-8", "replace")  # then its hash is another one
                for setting in _SETTINGS:
                    connection.execute(setting).fetchall()
                made = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
                if not made:  # new, or killed while it was made
                    connection.execute("PRAGMA auto_vacuum = FULL")  # the file shrinks when entries expire
                    with all_or_nothing(connection):
                        for statement in _TABLE:
                            connection.execute(statement)
                yield connection
            finally:
                connection.close()
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter of a message that quotes what is damaged
            raise self._error(error) from error
        except OSError as error:
            raise RecordError(f"{error.filename or self._path}: {error.strerror}") from error

    def _create(self) -> None:
        if self._path.exists():
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)  # its journal takes its mode and its owner
        try:
            if os.geteuid() == 0:
                owner = self._path.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)

    def _error(self, error: Exception) -> RecordError:
        if _damaging(error):
            return RecordDamagedError(f"{self._path}: the database is damaged: {error}")
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_FULL:
                return RecordError(f"{self._path}: the disk is full")
            case sqlite3.SQLITE_READONLY:
                return RecordError(f"{self._path}: it cannot be written")
            case sqlite3.SQLITE_BUSY:
                return RecordError(f"{self._path}: another program keeps it locked")
            case _:
                return RecordError(f"{self._path}: {error}")


def _counter(connection: sqlite3.Connection) -> bytes | None:
    found = connection.execute("SELECT sealed FROM counter").fetchone()
    return None if found is None else bytes(found[0])


def _forget_journal(connection: sqlite3.Connection) -> None:
    """The journal still holds the entries that were removed."""
    connection.execute("PRAGMA journal_mode = DELETE")


def _made(sequence: int, time: datetime, kind: str, facts: Mapping[str, Fact], previous: str) -> Entry:
    """Raises ValueError for a kind or facts that may not be recorded."""
    if not _KIND.fullmatch(kind):
        raise ValueError(f"{kind!r} is not a kind of entry")
    for name, fact in facts.items():
        parts = fact if isinstance(fact, tuple) else (fact,)
        if not all(part is None or isinstance(part, (str, int)) for part in parts):
            raise ValueError(f"{name}: {type(fact).__name__} may not be recorded")
    text = stamp(time)
    body = {"facts": dict(facts), "kind": kind, "previous": previous, "sequence": sequence, "time": text}
    digest = hashlib.sha256(_canonical(body).encode("ascii")).hexdigest()
    return Entry(sequence, datetime.fromisoformat(text), kind, facts, previous, digest)


def _read(row: tuple[Any, ...], previous: str) -> Entry:
    """The entry in a row. Raises RecordDamagedError unless it is as `_made` has made it."""
    sequence, time, kind, text, digest = row[:5]
    try:
        facts = {name: tuple(fact) if isinstance(fact, list) else fact for name, fact in json.loads(text).items()}
        entry = _made(sequence, datetime.fromisoformat(time), kind, facts, previous)
        as_written = (time, text, digest) == (stamp(entry.time), _canonical(facts), entry.hash)
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise RecordDamagedError(f"entry {sequence}: it is not as entries are: {error}") from error
    if not as_written:
        raise RecordDamagedError(f"entry {sequence}: its hash is another one")
    return entry


def _newest(connection: sqlite3.Connection, count: int, kind: str | None = None, before: int = _BEYOND) -> list[Entry]:
    condition, values = ("AND kind = ?", (kind,)) if kind else ("", ())
    return _selected(connection, f"sequence < ? {condition} ORDER BY sequence DESC", before, *values, count)


def _selected(connection: sqlite3.Connection, condition: str, *values: str | int) -> list[Entry]:
    rows = connection.execute(f"{_SELECT} WHERE {condition} LIMIT ?", values).fetchall()
    return [_read(row, row[5] or _expired(connection).hash) for row in rows]


def _expired(connection: sqlite3.Connection) -> Anchor:
    """The last entry that was removed, by the newest entry that says so."""
    query = "SELECT facts FROM entries WHERE kind = ? ORDER BY sequence DESC LIMIT 1"
    found = connection.execute(query, (EXPIRED,)).fetchone()
    if found is None:
        return Anchor(0, START)
    try:
        facts = json.loads(found[0])
        return Anchor(int(facts["until"]), str(facts["hash"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordDamagedError(f"the newest entry of the kind {EXPIRED} is not as entries are") from error


def _first(connection: sqlite3.Connection) -> int:
    """The sequence of the first entry that is kept; 0 without any."""
    (first,) = connection.execute("SELECT coalesce(min(sequence), 0) FROM entries").fetchone()
    return int(first)


def _walked(
    connection: sqlite3.Connection, copy: sqlite3.Connection, anchor: Anchor | None, copying: Callable[..., None]
) -> Verdict:
    """Along the chain of a copy, which is made here, up to the first thing that is wrong; `copying` is called after each
    step.
    """
    last, first, entries, problem = Anchor(0, START), 0, 0, None
    try:
        connection.backup(copy, pages=_STEP, progress=copying, sleep=0)
        (structure,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        before = _expired(copy)
        for row in copy.execute(f"{_SELECT} ORDER BY sequence"):
            if row[0] != before.sequence + 1:
                missing = _span(before.sequence + 1, row[0] - 1)
                why = "" if entries else ", without having expired"
                raise RecordDamagedError(f"entry {row[0]}: {missing} missing before it{why}")
            entry = _read(row, before.hash)
            if anchor and anchor.sequence == entry.sequence and anchor.hash != entry.hash:
                raise RecordDamagedError(f"entry {entry.sequence}: it is not the one of the anchor")
            first, entries = first or entry.sequence, entries + 1
            last = before = entry.anchor
        if structure != "ok":
            problem = f"the database is damaged: {structure.splitlines()[-1]}"
        elif anchor and anchor.sequence > last.sequence:
            problem = f"{_span(last.sequence + 1, anchor.sequence)} missing at the end, by the anchor"
    except RecordDamagedError as error:
        problem = str(error)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not _damaging(error):
            raise
        problem = f"the database is damaged: {error}"
    return Verdict(entries, first, last.sequence, last.hash, problem)


def _damaging(error: Exception) -> bool:
    """Whether the database is damaged (sqlite.org/rescode.html): SQLITE_ERROR is about a table that is not there."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _canonical(value: Mapping[str, object]) -> str:
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _span(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"


COPIES = (
    "Backups and exports made before still hold them, and so do copies of the state folder together with the site key: "
    "erase those, too. Blocks that a memory card has put aside hold only what the site key seals."
)
"""What a device cannot erase."""


def enter_receipt(record: Record, erasure: Erasure) -> Entry | None:
    """Records that a person was erased, by their reference; None, and a line in the log, when it cannot be recorded."""
    try:
        return record.append(ERASURE, {"person": erasure.reference, "templates": erasure.templates})
    except RecordError as error:
        log.error("person %s: erased, and not recorded: %s", erasure.reference, error)
        return None


def receipt(erasure: Erasure, entry: Entry | None) -> dict[str, Any]:
    """A receipt of an erasure as JSON. `complete`: nothing sealed of the person is left in the files; `record`: the place of
    its entry in the record.
    """
    return {
        "reference": erasure.reference,
        "templates": erasure.templates,
        "time": stamp(erasure.time, "seconds"),
        "complete": erasure.complete,
        "record": entry and {"sequence": entry.sequence, "hash": entry.hash},
        "copies": COPIES,
    }
