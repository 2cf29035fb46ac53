"""A person's PIN, as it is kept: what scrypt makes of it (RFC 7914), and of a second one that is entered under duress."""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Self

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.gallery.people import GalleryError

SHORTEST, LONGEST = 4, 8
"""Digits of a PIN."""

DIGITS = re.compile(f"[0-9]{{{SHORTEST},{LONGEST}}}", re.ASCII)

LEAST_DIFFERENT = 3
"""Different digits of a PIN. With this rule and the one about runs, none of the five most popular PINs of four digits can be
set (1234, 1111, 0000, 1212, 7777: 20.6 % of 3.4 million, DataGenetics, PIN analysis, 2012).
"""

SALT_BYTES, DIGEST_BYTES = 16, 32

LOG_N, R, P = 14, 8, 1
"""The cost of one guess: 16 MiB and 33 ms here. What keeps a PIN of four digits secret is the seal of the gallery and the bound
on guesses; the cost delays those who have the site key, too.
"""


class InvalidPinError(GalleryError):
    """It cannot be used as a PIN; the text says why, and does not repeat it."""


class PinMatch(StrEnum):
    """What a typed PIN is."""

    NONE = "none"
    ORDINARY = "ordinary"
    DURESS = "duress"


@dataclass(frozen=True, slots=True)
class StoredPin:
    """`salt` (16 random bytes) tells this PIN from earlier ones of the same person. `duress` is random if there is no such PIN,
    so that what is stored does not show whether there is one. Digests have 32 bytes.
    """

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    duress: bytes = field(repr=False)

    @classmethod
    def of(cls, pin: str, duress: str | None = None) -> Self:
        """Raises InvalidPinError."""
        check_new("pin", pin)
        if duress is not None:
            check_new("duress", duress)
        if duress == pin:
            raise InvalidPinError("duress: it is the same as the PIN")
        salt = secrets.token_bytes(SALT_BYTES)
        return cls(salt, _digest(pin, salt), _digest(duress, salt) if duress else secrets.token_bytes(DIGEST_BYTES))

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        return cls(content[:SALT_BYTES], content[SALT_BYTES:-DIGEST_BYTES], content[-DIGEST_BYTES:])

    def pack(self) -> bytes:
        return self.salt + self.digest + self.duress

    def match(self, typed: str) -> PinMatch:
        """In the same time, whatever was typed."""
        digest = _digest(typed, self.salt)
        ordinary, duress = hmac.compare_digest(digest, self.digest), hmac.compare_digest(digest, self.duress)
        return PinMatch.ORDINARY if ordinary else PinMatch.DURESS if duress else PinMatch.NONE


NO_PIN = StoredPin(bytes(SALT_BYTES), bytes(DIGEST_BYTES), bytes(DIGEST_BYTES))
"""Matches nothing; it is compared for an unknown id, which takes as long as a wrong PIN."""


def check_new(name: str, pin: str) -> None:
    """Raises InvalidPinError, which names the field `name`, for a PIN that is malformed or too easy to guess."""
    if not DIGITS.fullmatch(pin):
        raise InvalidPinError(f"{name}: {SHORTEST} to {LONGEST} digits")
    steps = {int(after) - int(before) for before, after in pairwise(pin)}
    if len(set(pin)) < LEAST_DIFFERENT or steps in ({1}, {-1}):
        raise InvalidPinError(f"{name}: at least {LEAST_DIFFERENT} different digits, and no run such as 1234 or 4321")


def _digest(pin: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=DIGEST_BYTES, n=1 << LOG_N, r=R, p=P).derive(pin.encode())
