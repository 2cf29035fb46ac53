"""The fleet's keys, and the sealed value that stands for a person on its servers, which learn no name, id or template."""

import base64
import json
import math
import struct
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from pydantic import TypeAdapter

from appliance.gallery import records
from appliance.gallery.people import PersonExport, Reference
from appliance.gallery.pin import StoredPin
from appliance.gallery.shares import Share, fingerprint
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

_HEAD = struct.Struct(">BBQ32s")
"""Format, generation of the key, revision and the sha256 of the embedder (zeros without templates), in clear."""

_FORMAT = 1

MOST_BYTES = 1 << 20
"""Of an opened value. A person with 32 templates of both networks has 150 kB; NATS takes 1 MiB."""

MOST_REVISIONS = 1 << 53
"""More than people can make; so that the next ones fit into their place."""

NOTE_BLOCK = 256
"""Bytes. A last passage has 95 to 140, by its direction and the one before."""

_REFERENCES = TypeAdapter(tuple[Reference, ...])

_TAG_DIGITS = 32
"""Hexadecimal digits of a key in the bucket: 128 bits of an HMAC."""


class RefusedValueError(Exception):
    """A value of the servers is not what a device of the fleet wrote there; the text says why."""


class UnreadableValueError(RefusedValueError):
    """A device of the fleet may have written this value, but this one cannot read it: it was sealed with a later key, so that
    this device has to join again, or by a later program.
    """


@dataclass(frozen=True, slots=True)
class Arrival:
    """An opened value: the version, the person with their PIN, None once they are erased, and whether it is `outdated`: sealed
    with a key that was replaced.
    """

    share: Share
    person: PersonExport | None
    pin: StoredPin | None
    outdated: bool


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """The public `id` of a fleet (12 hexadecimal digits) and its secrets, one of each generation: the first tags people, the
    last one seals what is written, all of them open what was written before. `ends` says of each but the last one when the
    stream of decisions had been made (ISO 8601), and how far it reached, as the next one took its place.
    """

    id: str
    secrets: tuple[bytes, ...] = field(repr=False)
    ends: tuple[tuple[str, int], ...] = ()

    def rotated(self, secret: bytes, created: datetime, position: int) -> Self:
        """Returns the keys with which this secret seals, after the stream had reached this position."""
        unknown = [("", 0)] * (len(self.secrets) - 1 - len(self.ends))  # of keys that an earlier version replaced
        end = created.isoformat(), position
        return replace(self, secrets=(*self.secrets, secret), ends=(*self.ends, *unknown, end))

    @property
    def seals(self) -> tuple[Seal, ...]:
        """The seal of each generation."""
        return tuple(Seal(SiteKey(secret)) for secret in self.secrets)


class Envelopes:
    """Seals and opens the values of people."""

    def __init__(self, keys: FleetKeys) -> None:
        self._seals, self._ends = keys.seals, keys.ends

    @property
    def generation(self) -> int:
        """Of the key that seals: how many were replaced."""
        return len(self._seals) - 1

    def key(self, identity: str) -> str:
        """Returns the key of a person in the bucket, which only a holder of the fleet's keys can trace to the id."""
        return self._seals[0].tag(identity).hex()[:_TAG_DIGITS]

    def close(self, key: str, share: Share, person: PersonExport | None, pin: StoredPin | None) -> bytes:
        """Returns the value of a version for a key: without the pictures of templates, which stay on their device."""
        content: dict[str, object] = {"reference": share.reference, "erased": share.erased}
        embedder = bytes(32)
        if person is not None:
            bare = tuple(
                replace(each, template=replace(each.template, pictured=False), picture=None)
                for each in person.templates
            )
            content["person"] = records.pack_export(PersonExport(person.person, bare))
            content["pin"] = base64.b64encode(pin.pack()).decode() if pin else None
            embedder = next((bytes.fromhex(each.template.model) for each in bare), embedder)
        head = _HEAD.pack(_FORMAT, self.generation, share.revision, embedder)
        return head + self._seals[-1].close(zlib.compress(json.dumps(content).encode()), "fleet", key, head.hex())

    def open(self, key: str, value: bytes) -> Arrival:
        """Returns what was sealed for this key. Raises RefusedValueError."""
        head = value[: _HEAD.size]
        if len(head) < _HEAD.size:
            raise RefusedValueError("deleted or cut off")
        version, generation, revision, _ = _HEAD.unpack(head)
        if version != _FORMAT or generation >= len(self._seals):
            raise UnreadableValueError("sealed with a later key or by a later program")
        try:
            packed = self._seals[generation].open(value[_HEAD.size :], "fleet", key, head.hex())
        except BrokenSealError as error:
            raise RefusedValueError("altered, or another person's") from error
        unpacking = zlib.decompressobj()
        try:
            content = json.loads(unpacking.decompress(packed, MOST_BYTES))
            person = records.unpack_export(content["person"]) if content["reference"] else None
            pin = StoredPin.unpack(base64.b64decode(content["pin"])) if person and content["pin"] else None
            erased = _REFERENCES.validate_python(content["erased"])
        except (records.MalformedError, zlib.error, LookupError, ValueError, TypeError, RecursionError) as error:
            raise UnreadableValueError(f"malformed, or by a later program: {error}") from error
        if unpacking.unconsumed_tail or revision > MOST_REVISIONS:
            raise UnreadableValueError("too large")
        digest = fingerprint(person.person, (each.template for each in person.templates), pin) if person else ""
        share = Share(revision, digest, person.person.reference if person else "", erased)
        return Arrival(share, person, pin, generation < self.generation)

    def close_note(self, content: bytes, *place: str, block: int = NOTE_BLOCK) -> bytes:
        """Returns JSON that is not a person, sealed for a place; padded with blanks to a multiple of `block` bytes, so that its
        length says little about the content.
        """
        generation = self.generation
        padded = content.ljust(-(-len(content) // block) * block)
        return bytes([generation]) + self._seals[-1].close(padded, *place, generation)

    def outdated(self, note: bytes) -> bool:
        """Returns whether a note is sealed with a key that was replaced."""
        return note[0] < self.generation

    def reach(self, note: bytes, created: datetime) -> float:
        """Returns up to which position, in the stream of decisions that was made at `created`, notes that are sealed as this
        one count: without a limit, unless their key was replaced.
        """
        if not self.outdated(note):
            return math.inf
        made, position = self._ends[note[0]] if note[0] < len(self._ends) else ("", 0)
        return position if made == created.isoformat() else 0

    def open_note(self, value: bytes, *place: str) -> bytes:
        """Returns what was sealed for a place. Raises RefusedValueError."""
        if not value or value[0] >= len(self._seals):
            raise UnreadableValueError("deleted, or sealed with a later key")
        try:
            return self._seals[value[0]].open(value[1:], *place, value[0])
        except BrokenSealError as error:
            raise RefusedValueError("altered, or of another place") from error
