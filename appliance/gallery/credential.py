"""A person's credential: the bits by which an access panel knows them, as a Wiegand card of theirs would send them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

FORMATS: Final = {"26": (8, 16), "34": (16, 16), "37": (16, 19)}
"""Bits of the facility code and of the card number, which stand between two parity bits: HID's formats H10301, H10306 and
H10304.
"""

RAW = "raw"
"""The format of any other bits, which are sent as they are."""

MOST_BITS = 128

_BITS = re.compile(f"[01]{{1,{MOST_BITS}}}")


class CredentialError(ValueError):
    """It is not a credential; the text names the field."""


@dataclass(frozen=True, slots=True)
class Credential:
    """`format` is one of FORMATS or RAW; `bits` are "0" and "1", the first one sent first, with their parity."""

    format: str
    bits: str

    @classmethod
    def read(cls, document: object) -> Self:
        """From JSON, as `document` returns it. Raises CredentialError."""
        fields = dict(document) if isinstance(document, Mapping) else {}
        format_ = fields.pop("format", None)
        if format_ == RAW and fields.keys() == {"bits"}:
            return cls._checked(RAW, fields["bits"])
        if isinstance(format_, str) and format_ in FORMATS and fields.keys() == {"facility", "card"}:
            return cls(format_, encode(format_, **fields))
        formats = ", ".join(map(repr, FORMATS))
        raise CredentialError(f"format: one of {formats} with facility and card, or {RAW!r} with bits")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "26:FACILITY:CARD" or "raw:BITS". Raises CredentialError."""
        format_, *values = text.split(":")
        if format_ == RAW and len(values) == 1:
            return cls._checked(RAW, values[0])
        if format_ in FORMATS and len(values) == 2 and all(re.fullmatch("[0-9]{1,9}", value) for value in values):
            return cls(format_, encode(format_, *map(int, values)))
        raise CredentialError("write 26:FACILITY:CARD (or 34, or 37), or raw:BITS")

    @classmethod
    def _checked(cls, format_: str, bits: object) -> Self:
        if not (isinstance(bits, str) and _BITS.fullmatch(bits)):
            raise CredentialError(f"bits: 1 to {MOST_BITS} digits 0 and 1")
        return cls(format_, bits)

    def document(self) -> dict[str, Any]:
        """The credential as JSON: `format` with `facility` and `card`, or with `bits`."""
        if self.format == RAW:
            return {"format": RAW, "bits": self.bits}
        facility, card = decode(self.format, self.bits)
        return {"format": self.format, "facility": facility, "card": card}

    def packed(self) -> bytes:
        """The bits as bytes, left-aligned and padded with zeros."""
        return int(self.bits.ljust(-(-len(self.bits) // 8) * 8, "0"), 2).to_bytes(-(-len(self.bits) // 8), "big")

    def __str__(self) -> str:
        return ":".join(str(value) for value in self.document().values())


def encode(format_: str, facility: int, card: int) -> str:
    """The bits of a card: even parity over the first half, facility code, card number, odd parity over the second half; the
    halves of 37 bits share the middle one. Raises CredentialError for numbers that the format cannot hold.
    """
    data = ""
    for name, value, size in zip(("facility", "card"), (facility, card), FORMATS[format_], strict=True):
        if type(value) is not int or not 0 <= value < 2**size:
            raise CredentialError(f"{name}: 0 to {2**size - 1} in the format {format_}")
        data += f"{value:0{size}b}"
    half = -(-len(data) // 2)
    return f"{data[:half].count('1') % 2}{data}{1 - data[-half:].count('1') % 2}"


def decode(format_: str, bits: str) -> tuple[int, int]:
    """The facility code and the card number. Raises CredentialError if length or parity are wrong."""
    first = FORMATS[format_][0] + 1
    if not _BITS.fullmatch(bits) or len(bits) != sum(FORMATS[format_]) + 2:
        raise CredentialError(f"bits: these are not {format_} bits")
    facility, card = int(bits[1:first], 2), int(bits[first:-1], 2)
    if encode(format_, facility, card) != bits:
        raise CredentialError("bits: the parity is wrong")
    return facility, card
