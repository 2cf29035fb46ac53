"""People on their way to another device, or into safety: a label, a line of JSON a person, and a line that closes the list.
Nothing of it is ever written in clear: it goes into an envelope, and comes out of one.
"""

import hmac
import json
import secrets
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.gallery import records
from appliance.gallery.people import Dossier, GalleryError

MAGIC = b"face-appliance archive\n"
VERSION = 1

SHORTEST_PASSPHRASE = 12
"""Characters: an archive is attacked at leisure, on other machines than this one."""

CHUNK = 64 * 1024
"""Bytes of content in a chunk, as in age: what is held in memory, and what an attacker can at most delay."""

_HEADER = struct.Struct(">BBBB16s16s")  # version, log2 of n, r, p, salt, authentication code
_NONCE = struct.Struct(">3xQ?")  # the chunk's number, and whether it is the last
_TAG_BYTES = 16
_LARGEST_COST = (18, 8, 16)
"""What a foreign archive may ask for: 256 MiB, which a board of 1 GB can spare for some seconds."""


class ArchiveError(GalleryError):
    """An archive cannot be read: the text says why. Nothing has been changed by it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess of a passphrase costs (scrypt, RFC 7914): 128 * r * 2**log_n bytes of memory, p times as much work."""

    log_n: int = 16
    r: int = 8
    p: int = 2


SHIPPED_COST = Cost()
"""64 MiB, which a board of 1 GB has beside the running device; one of the equal choices of OWASP's Password Storage Cheat
Sheet. 0.5 s on two-core x86-64; a Pi 4 takes about three times as long for the like.
"""


def check_passphrase(passphrase: str) -> None:
    """Raises ArchiveError when it is too short for a new archive."""
    if len(_normal(passphrase)) < SHORTEST_PASSPHRASE:
        raise ArchiveError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters: several words, say")


def sealed(content: Iterable[bytes], passphrase: str, cost: Cost = SHIPPED_COST) -> Iterator[bytes]:
    """The pieces of a file that only the passphrase opens. `content` may come in pieces of any size. Raises ArchiveError."""
    check_passphrase(passphrase)
    salt = secrets.token_bytes(16)
    keys = _Keys.derive(passphrase, cost, salt)
    yield MAGIC + _HEADER.pack(VERSION, cost.log_n, cost.r, cost.p, salt, keys.code)
    waiting, number = bytearray(), 0
    for piece in content:
        waiting += piece
        while len(waiting) > CHUNK:  # not when just full: it may be the last
            yield keys.stream.encrypt(_NONCE.pack(number, False), bytes(waiting[:CHUNK]), None)
            del waiting[:CHUNK]
            number += 1
    yield keys.stream.encrypt(_NONCE.pack(number, True), bytes(waiting), None)


class Opened:
    """A file whose passphrase is known: its content can be read again and again."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """`file` can be sought in, and stands at the header. Raises ArchiveError when it is no archive, or the passphrase is
        wrong.
        """
        self._file, self._stream = file, _keys_of(file, passphrase).stream
        self._begin = file.tell()

    def content(self) -> Iterator[bytes]:
        """What was sealed, a chunk at a time, each as soon as it is known to be genuine. Raises ArchiveError; until this has
        ended without one, the whole is not.
        """
        self._file.seek(self._begin)
        number, piece = 0, self._file.read(CHUNK + _TAG_BYTES)
        while piece:
            following = self._file.read(CHUNK + _TAG_BYTES)
            try:
                content = self._stream.decrypt(_NONCE.pack(number, not following), piece, None)
            except InvalidTag as error:
                raise ArchiveError(f"the archive is damaged or cut off (in its part {number + 1})") from error
            yield content
            number, piece = number + 1, following
        if not number:
            raise ArchiveError("the archive is cut off: there is nothing in it")


@dataclass(frozen=True, slots=True)
class _Keys:
    """`code` belongs to the header, `stream` seals the chunks."""

    code: bytes
    stream: AESGCM

    @classmethod
    def derive(cls, passphrase: str, cost: Cost, salt: bytes) -> "_Keys":
        """All that the header says goes into both, so that nothing of it can be altered."""
        secret = Scrypt(salt=salt, length=32, n=1 << cost.log_n, r=cost.r, p=cost.p).derive(
            _normal(passphrase).encode()
        )
        said = struct.pack(">BBBB", VERSION, cost.log_n, cost.r, cost.p)
        code, stream = (
            HKDF(hashes.SHA256(), length, salt, MAGIC + said + purpose).derive(secret)
            for length, purpose in ((_TAG_BYTES, b"header"), (32, b"stream"))
        )
        return cls(code, AESGCM(stream))


def _keys_of(file: BinaryIO, passphrase: str) -> _Keys:
    if file.read(len(MAGIC)) != MAGIC:
        raise ArchiveError("this is no archive of an appliance")
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise ArchiveError("the archive is cut off in its header")
    version, log_n, r, p, salt, code = _HEADER.unpack(header)
    if version != VERSION:
        raise ArchiveError(f"the archive is of version {version}; this program reads {VERSION}: bring it up to date")
    if not all(1 <= value <= most for value, most in zip((log_n, r, p), _LARGEST_COST, strict=True)):
        raise ArchiveError("the archive's header is damaged")
    keys = _Keys.derive(passphrase, Cost(log_n, r, p), salt)
    if not hmac.compare_digest(keys.code, code):
        raise ArchiveError("the passphrase is wrong, or the archive's header damaged")
    return keys


def _normal(passphrase: str) -> str:
    """The same however a keyboard puts its accents together (RFC 8265)."""
    return unicodedata.normalize("NFC", passphrase)


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
        yield _line(records.record(dossier))
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
            dossier = records.dossier(table)
        except records.MalformedError as error:
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
