"""People on their way to another device, or into safety: a label, a line of JSON a person, and a line that closes the list.
Nothing of it is ever written in clear: it goes into an envelope, and comes out of one.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.gallery import copies
from appliance.gallery.dossier import Dossier
from appliance.gallery.envelope import ArchiveError

FORMAT = 1

LONGEST_LINE = 16 * 2**20
"""Bytes of a person: 32 templates with their pictures, 37,632 bytes of pixels each, are 1.8 MB of JSON."""


@dataclass(frozen=True, slots=True)
class Label:
    """What an archive says of itself: whether everybody of a gallery is in it (a backup) or a choice of them (an export), when
    and by which version of the program it was made, and the embedder (sha256) of its templates, None without any.
    """

    whole: bool
    made: datetime
    program: str
    embedder: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many people, and how many templates they have together."""

    people: int
    templates: int

    def __str__(self) -> str:
        return f"{_counted(self.people, 'person', 'people')} with {_counted(self.templates, 'template', 'templates')}"


def packed(label: Label, dossiers: Iterable[Dossier]) -> Iterator[bytes]:
    """The lines of an archive."""
    yield _line(
        {
            "format": FORMAT,
            "whole": label.whole,
            "made": label.made.isoformat(),
            "program": label.program,
            "embedder": label.embedder,
        }
    )
    people = templates = 0
    for dossier in dossiers:
        yield _line(copies.record(dossier))
        people, templates = people + 1, templates + len(dossier.templates)
    yield _line({"people": people, "templates": templates})


def unpacked(content: Iterable[bytes]) -> tuple[Label, Iterator[Dossier]]:
    """The label of an archive's lines, which may come in pieces of any size, and its people. Their templates have the number 0,
    for they will get another one. Raises ArchiveError, here and while the people are read.
    """
    lines = _lines(content)
    head = _table(next(lines, b""))
    if head.get("format") != FORMAT:
        raise ArchiveError(f"the archive's content is of format {head.get('format')}: bring this program up to date")
    try:
        label = Label(
            bool(head["whole"]), datetime.fromisoformat(head["made"]), str(head["program"]), head["embedder"] or None
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError("the archive's label is malformed") from error
    return label, _dossiers(lines)


def counted(dossiers: Iterable[Dossier]) -> Count:
    """Reads all of them."""
    people = templates = 0
    for dossier in dossiers:
        people, templates = people + 1, templates + len(dossier.templates)
    return Count(people, templates)


def _dossiers(lines: Iterator[bytes]) -> Iterator[Dossier]:
    people = templates = 0
    for line in lines:
        table = _table(line)
        if "person" not in table:
            if table != {"people": people, "templates": templates} or next(lines, None) is not None:
                break
            return
        try:
            dossier = copies.dossier(table)
        except copies.MalformedError as error:
            raise ArchiveError(f"the archive's person {people + 1} is malformed: {error}") from error
        people, templates = people + 1, templates + len(dossier.templates)
        yield dossier
    raise ArchiveError("the archive is not complete")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _line(table: dict[str, Any]) -> bytes:
    return json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _table(line: bytes) -> dict[str, Any]:
    try:
        table = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError("the archive's content is malformed") from error
    if not isinstance(table, dict):
        raise ArchiveError("the archive's content is malformed")
    return table


def _lines(content: Iterable[bytes]) -> Iterator[bytes]:
    waiting = b""
    for piece in content:
        *whole, waiting = (waiting + piece).split(b"\n")
        yield from whole
        if len(waiting) > LONGEST_LINE:
            break
    if waiting:
        raise ArchiveError("the archive's content is malformed")
