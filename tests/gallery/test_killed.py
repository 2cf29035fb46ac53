"""Killed at any moment: nothing that was acknowledged is lost, nothing half-written is seen."""

import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from strangers import MODEL, face, somebody

from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Source

ACTS, KILLS = 50, (4, 12)
"""Enrolments and erasures before each kill, and how many of these there are by day and by night."""

CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from strangers import MODEL, face, somebody
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Source
from appliance.gallery.vault import SiteKey

gallery = Gallery(Path(sys.argv[2]), SiteKey(bytes(range(32))), keep_pictures=True)
print("open", flush=True)
for line in sys.stdin:
    act, number = line.split()
    identity = f"p{number}"
    if act == "erase":
        gallery.erase(identity)
    elif act == "add":
        gallery.add(somebody(identity, f"Number {number}"))
    else:
        gallery.enrol(identity, face(int(number)), MODEL, 0.75, Source.PHOTO, bytes(37632))
    print(act, number, flush=True)
"""


class Book:
    """What the child has acknowledged, and the one act that it was told and has not acknowledged."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.people: dict[int, bool] = {}  # whether they are enrolled
        self.open: tuple[str, int] | None = None
        self._next = 0

    def act(self) -> tuple[str, int]:
        """What comes next: somebody is added, then enrolled; now and then one of those who are is erased."""
        waiting = [number for number, enrolled in self.people.items() if not enrolled]
        done = [number for number, enrolled in self.people.items() if enrolled]
        if waiting:
            self.open = ("enrol", waiting[0])
        elif len(done) > 5 and self._dice.random() < 0.5:
            self.open = ("erase", self._dice.choice(done))
        else:
            self._next += 1
            self.open = ("add", self._next)
        return self.open

    def acknowledge(self) -> None:
        """The act is done."""
        assert self.open is not None
        act, number = self.open
        if act == "erase":
            del self.people[number]
        else:
            self.people[number] = act == "enrol"
        self.open = None

    def settle(self, seen: dict[int, bool]) -> None:
        """After a kill: all that was acknowledged is as it was, and the open act is done, or is not."""
        if self.open is not None and seen != self.people:
            self.acknowledge()
        self.open = None
        assert seen == self.people


def seen(path: Path, key) -> dict[int, bool]:
    """Who is in the gallery, and whether they are enrolled; each template is whole, and found by the face it is of."""
    with closing(Gallery(path, key, keep_pictures=True)) as gallery:
        assert gallery.problem() is None
        people = {int(known.person.id[1:]): bool(known.templates) for known in gallery.people()}
        exports = list(gallery.export())
        assert len(exports) == len(people)
        for known in gallery.people():
            number = int(known.person.id[1:])
            assert known.person.name == f"Number {number}"
            if known.templates:
                (best, *_) = gallery.ranking(face(number))
                assert best.reference == known.person.reference
                assert best.cosine == pytest.approx(1, abs=1e-5)
                assert [content for _, content in gallery.pictures(best.reference)] == [bytes(37632)]
        return people


def started(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    return child


@pytest.mark.timeout(300)
def test_whatever_was_acknowledged_before_kill_9_is_as_it_was(tmp_path, key, thorough):
    path, dice, book = tmp_path / "gallery.db", random.Random(6), Book(6)
    for _ in range(KILLS[thorough]):
        child = started(path)
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(ACTS):
            act, number = book.act()
            child.stdin.write(f"{act} {number}\n")
            assert child.stdout.readline() == f"{act} {number}\n"
            book.acknowledge()
        act, number = book.act()
        child.stdin.write(f"{act} {number}\n")  # and while it does this one:
        try:
            child.wait(dice.uniform(0, 0.012))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.stdin.close()
        child.stdout.close()
        assert child.wait(10) == -signal.SIGKILL
        book.settle(seen(path, key))


def test_an_erased_person_is_in_no_file(tmp_path, key):
    path = tmp_path / "gallery.db"
    with closing(Gallery(path, key, keep_pictures=True)) as gallery, closing(Gallery(path, key)) as reader:
        for number in range(1, 30):
            gallery.add(somebody(f"p{number}", f"Number {number}"))
            gallery.enrol(f"p{number}", face(number), MODEL, 0.75, Source.PHOTO, random.Random(number).randbytes(9000))
        reader.refresh()
        pieces = sealed(path, 7)
        assert len(pieces) == 3, "a person, a template and a picture"
        assert all(found(path, piece) for piece in pieces), "what is looked for is there before"

        erasure = gallery.erase("p7")

        assert (erasure.templates, erasure.complete) == (1, True)
        assert not any(found(path, piece) for piece in pieces)
        reader.refresh()
        assert len(reader.people()) == 28
    assert not any(found(path, piece) for piece in pieces)


def sealed(path: Path, number: int) -> list[bytes]:
    """The sealed blobs of a person, by what SQL finds of them."""
    with closing(sqlite3.connect(path)) as database:
        template, person = database.execute(
            "SELECT number, person FROM templates WHERE number = ?", (number,)
        ).fetchone()
        return [
            database.execute(f"SELECT sealed FROM {table} WHERE number = ?", (row,)).fetchone()[0]
            for table, row in (("people", person), ("templates", template), ("pictures", template))
        ]


def found(path: Path, blob: bytes) -> bool:
    """Whether any stretch of a blob is in one of the files; SQLite cuts long ones into pages."""
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    return any(blob[start : start + 64] in content for start in range(0, len(blob) - 64, 64))
