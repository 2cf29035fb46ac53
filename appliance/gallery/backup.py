"""Archives of people: a label, a line of JSON a person and a closing line, encrypted with a passphrase. Their content is never
written in clear.
"""

import hmac
import json
import secrets
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import TypeAdapter, ValidationError

from appliance.gallery import records
from appliance.gallery.people import GalleryError, PersonExport

MAGIC = b"face-appliance archive\n"
VERSION = 1

FORMAT = 1

SHORTEST_PASSPHRASE = 12
"""Characters: an archive is attacked offline, at leisure and on faster machines than this one."""

CHUNK = 64 * 1024
"""Bytes of content in a chunk, as in age: what is held in memory, and the most an attacker can delay."""

LONGEST_LINE = 16 * 2**20
"""Bytes of a person: 32 templates with their pictures, 37,632 bytes of pixels each, are 1.8 MB of JSON."""

_HEADER = struct.Struct(">BBBB16s16s")
"""Version, log2 of n, r, p, salt, authentication code."""

_NONCE = struct.Struct(">3xQ?")
"""The chunk's number, and whether it is the last."""

_TAG_BYTES = 16

_LARGEST_COST = (18, 8, 16)
"""What a foreign archive may ask for: 256 MiB, which a board of 1 GB can spare for some seconds."""


class ArchiveError(GalleryError):
    """An archive cannot be read or written; the text says why. The gallery has not been changed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one guess of a passphrase (scrypt, RFC 7914): 128 * r * 2**log_n bytes of memory, p times as much work."""

    log_n: int = 16
    r: int = 8
    p: int = 2


SHIPPED_COST = Cost()
"""64 MiB, which a board of 1 GB has beside the running device; one of the equal choices of OWASP's Password Storage Cheat
Sheet. 0.5 s on two-core x86-64; a Pi 4 takes about three times as long.
"""


@dataclass(frozen=True, slots=True)
class Label:
    """Describes an archive: whether it holds everyone of a gallery (a backup) or a selection (an export), when and by which
    version of the program it was made, and the embedder (sha256) of its templates, None without any.
    """

    whole: bool
    made: datetime
    program: str
    embedder: str | None


_LABEL = TypeAdapter(Label)


@dataclass(frozen=True, slots=True)
class Count:
    """A number of people, and of their templates together."""

    people: int
    templates: int

    def __str__(self) -> str:
        return f"{_plural(self.people, 'person', 'people')} with {_plural(self.templates, 'template', 'templates')}"


def check_passphrase(passphrase: str) -> None:
    """Raises ArchiveError if it is too short for a new archive."""
    if len(_normal(passphrase)) < SHORTEST_PASSPHRASE:
        raise ArchiveError(f"a passphrase has at least {SHORTEST_PASSPHRASE} characters: several words, say")


def sealed(content: Iterable[bytes], passphrase: str, cost: Cost | None = None) -> Iterator[bytes]:
    """Yields the pieces of a file that only the passphrase opens, at the shipped cost where none is given. `content` may come
    in pieces of any size. Raises ArchiveError.
    """
    check_passphrase(passphrase)
    cost, salt = cost or SHIPPED_COST, secrets.token_bytes(16)
    keys = _Keys.derive(passphrase, cost, salt)
    yield MAGIC + _HEADER.pack(VERSION, cost.log_n, cost.r, cost.p, salt, keys.code)
    waiting, number = bytearray(), 0
    for piece in content:
        waiting += piece
        while len(waiting) > CHUNK:  # a chunk that is just full may be the last
            yield keys.stream.encrypt(_NONCE.pack(number, False), bytes(waiting[:CHUNK]), None)
            del waiting[:CHUNK]
            number += 1
    yield keys.stream.encrypt(_NONCE.pack(number, True), bytes(waiting), None)


class Opened:
    """An archive whose passphrase is known. Its content can be read repeatedly."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """`file` is seekable and positioned at the header. Raises ArchiveError if it is not an archive, or the passphrase is
        wrong.
        """
        self._file, self._stream = file, _Keys.read(file, passphrase).stream
        self._begin = file.tell()

    def content(self) -> Iterator[bytes]:
        """Yields what was sealed, a chunk at a time, each once it is authenticated. The whole is authentic only if this ends
        without raising ArchiveError.
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
            raise ArchiveError("the archive is cut off: it is empty")


def packed(label: Label, people: Iterable[PersonExport]) -> Iterator[bytes]:
    """Yields the lines of an archive."""
    yield _line({"format": FORMAT, **_LABEL.dump_python(label, mode="json")})
    count = templates = 0
    for each in people:
        yield _line(records.pack_export(each))
        count, templates = count + 1, templates + len(each.templates)
    yield _line({"people": count, "templates": templates})


def unpacked(content: Iterable[bytes]) -> tuple[Label, Iterator[PersonExport]]:
    """Returns the label of an archive's content, which may come in pieces of any size, and its people; template numbers are 0.
    Raises ArchiveError, here and while the people are read.
    """
    lines = _lines(content)
    head = _table(next(lines, b""))
    if head.get("format") != FORMAT:
        raise ArchiveError(f"the archive's content has format {head.get('format')}: update this program")
    try:
        label = _LABEL.validate_python(head)
    except ValidationError as error:
        raise ArchiveError("the archive's label is malformed") from error
    return label, _people(lines)


def counted(people: Iterable[PersonExport]) -> Count:
    """Reads all people and counts them."""
    count = templates = 0
    for each in people:
        count, templates = count + 1, templates + len(each.templates)
    return Count(count, templates)


@dataclass(frozen=True, slots=True)
class _Keys:
    """`code` authenticates the header, `stream` seals the chunks."""

    code: bytes
    stream: AESGCM

    @classmethod
    def derive(cls, passphrase: str, cost: Cost, salt: bytes) -> Self:
        """Derives both from everything in the header, so that no part of it can be altered."""
        secret = Scrypt(salt=salt, length=32, n=1 << cost.log_n, r=cost.r, p=cost.p).derive(
            _normal(passphrase).encode()
        )
        header = struct.pack(">BBBB", VERSION, cost.log_n, cost.r, cost.p)
        code, stream = (
            HKDF(hashes.SHA256(), length, salt, MAGIC + header + purpose).derive(secret)
            for length, purpose in ((_TAG_BYTES, b"header"), (32, b"stream"))
        )
        return cls(code, AESGCM(stream))

    @classmethod
    def read(cls, file: BinaryIO, passphrase: str) -> Self:
        """Derives the keys from an archive's header. Raises ArchiveError."""
        if file.read(len(MAGIC)) != MAGIC:
            raise ArchiveError("this is not an archive of an appliance")
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise ArchiveError("the archive is cut off in its header")
        version, log_n, r, p, salt, code = _HEADER.unpack(header)
        if version != VERSION:
            raise ArchiveError(f"the archive has version {version}, this program reads {VERSION}: update this program")
        if not all(1 <= value <= most for value, most in zip((log_n, r, p), _LARGEST_COST, strict=True)):
            raise ArchiveError("the archive's header is damaged")
        keys = cls.derive(passphrase, Cost(log_n, r, p), salt)
        if not hmac.compare_digest(keys.code, code):
            raise ArchiveError("the passphrase is wrong, or the archive's header is damaged")
        return keys


def _people(lines: Iterator[bytes]) -> Iterator[PersonExport]:
    count = templates = 0
    for line in lines:
        table = _table(line)
        if "person" not in table:
            if table != {"people": count, "templates": templates} or next(lines, None) is not None:
                break
            return
        try:
            person = records.unpack_export(table)
        except records.MalformedError as error:
            raise ArchiveError(f"the archive's person {count + 1} is malformed: {error}") from error
        count, templates = count + 1, templates + len(person.templates)
        yield person
    raise ArchiveError("the archive is not complete")


def _normal(passphrase: str) -> str:
    """Returns the same text however a keyboard composes its accents (RFC 8265)."""
    return unicodedata.normalize("NFC", passphrase)


def _plural(count: int, one: str, many: str) -> str:
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
