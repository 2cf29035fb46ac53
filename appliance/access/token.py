"""A decision as a door gets it: a JWS in compact form (RFC 7515), signed with Ed25519 (RFC 8037), and its check.

This file needs Python 3.9 and `cryptography` alone, because door controllers run it: the client library (scripts/client) has it
as `face_appliance_client.decision`, and beside it the `Verifier` that asks and checks.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # loaded when a key is used, because a device without a gallery uses none
    from typing import Self

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

LIFE = timedelta(seconds=2)
"""How long a decision is valid after its newest frame was taken; without frames, after it was issued."""

TOLERANCE = timedelta(seconds=0.5)
"""By how much the wall clocks of door and device may differ: on a LAN, NTP keeps them within some hundredths of a second."""

NONCE_BYTES, SECRET_BYTES = 32, 32
"""Random bytes of a nonce, and the length of a private key (RFC 8032, 5.1.5)."""

LONGEST = 4096
"""Characters of a token at most; one with the longest nonce, id and reason has about 900."""

VERSION, TYPE = 1, "face-decision"
"""In payload and header, so that nothing else that this key may ever sign is taken for a decision."""

AUDIENCE = "door"
"""For whom a decision is, as JWT libraries check it (`aud`)."""

_KEY_ID_DIGITS = 16
"""Hexadecimal digits of the SHA-256 of a public key that identify it."""

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=timezone.utc), timedelta(milliseconds=1)

_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999, the latest that a datetime can hold."""

T = TypeVar("T")


class TokenError(Exception):
    """A token that a door must not act on; the text is one line that gives the reason."""


class AlteredError(TokenError):
    """It is not a token, or not what was signed."""


class OtherSignerError(TokenError):
    """It was signed with another key."""


class OtherDeviceError(TokenError):
    """It is the decision of another device."""


class WrongNonceError(TokenError):
    """It does not answer this question."""


class ReusedNonceError(TokenError):
    """The question was answered before."""


class WrongDirectionError(TokenError):
    """It is about the other direction."""


class ExpiredError(TokenError):
    """It is no longer valid."""


class NotYetValidError(TokenError):
    """It is valid from a later time on: one of the clocks is wrong."""


class PublicKeyError(ValueError):
    """The text is not a public key; the message says what one looks like."""


class Direction(str, Enum):
    """Which way a person wants to pass."""

    __str__ = str.__str__

    IN = "in"
    OUT = "out"


class Trigger(str, Enum):
    """What started a decision: a request, a face that came near, or a button."""

    __str__ = str.__str__

    ASKED = "asked"
    APPROACH = "approach"
    BUTTON = "button"


@dataclass(frozen=True)
class Anchor:
    """The place of an entry in the record of decisions and its hash (64 hexadecimal digits), as each token has them."""

    sequence: int
    hash: str

    @classmethod
    def of(cls, text: str) -> Self:
        """From "SEQUENCE:HASH". Raises ValueError."""
        match = re.fullmatch(r"([1-9][0-9]{0,11}):([0-9a-f]{64})", text)
        if not match:
            raise ValueError("an anchor is SEQUENCE:HASH, with the values of `record` in a token")
        return cls(int(match[1]), match[2])


@dataclass(frozen=True)
class Decision:
    """Whether a person may pass. `id` has 32 hexadecimal digits; `nonce` is the door's; `person` is the id of the
    identified person, granted or not, or None; `reason` names the rule that decided; `frames` are the times of the four frames;
    the decision is valid from `issued` until `expires`. Times are UTC, in whole milliseconds. The nonce of a decision that was
    not asked for is the device's own.
    """

    id: str
    device: str
    nonce: str
    direction: Direction
    granted: bool
    reason: str
    person: str | None
    frames: tuple[datetime, ...]
    issued: datetime
    expires: datetime
    trigger: Trigger = Trigger.ASKED

    @property
    def result(self) -> str:
        return "granted" if self.granted else "denied"

    @property
    def seen(self) -> datetime:
        """When its newest frame was taken; without frames, when it was issued."""
        return self.frames[-1] if self.frames else self.issued

    def facts(self) -> dict[str, Any]:
        """What the token and the record say of it, as JSON; times in milliseconds since 1970."""
        return {
            "id": self.id,
            "device": self.device,
            "nonce": self.nonce,
            "direction": self.direction.value,
            "result": self.result,
            "reason": self.reason,
            "person": self.person,
            "frames": tuple(map(milliseconds, self.frames)),
            "trigger": self.trigger.value,
        }

    def document(self) -> dict[str, Any]:
        """The same for people and other systems: times in RFC 3339, with `issued` and `expires`."""
        frames = list(map(stamp, self.frames))
        return {**self.facts(), "frames": frames, "issued": stamp(self.issued), "expires": stamp(self.expires)}


@dataclass(frozen=True)
class SignedDecision:
    """A decision with its token, the reason as a sentence, and the name of its person, which belongs in no log."""

    decision: Decision
    token: str
    text: str
    name: str | None

    def document(self, *names: str) -> dict[str, Any]:
        """The parts with these names of: those of `Decision.document`, `text`, and `time` (when it was issued); `person` is an
        object with id and name.
        """
        found = self.decision.document()
        person = None if self.decision.person is None else {"id": self.decision.person, "name": self.name}
        found |= {"text": self.text, "time": found["issued"], "person": person}
        return {name: found[name] for name in names}


def stamp(moment: datetime, precision: str = "milliseconds") -> str:
    """A time as JSON (RFC 3339), such as "2026-11-26T07:00:00.000Z"."""
    return moment.astimezone(timezone.utc).isoformat(timespec=precision).replace("+00:00", "Z")


def milliseconds(moment: datetime) -> int:
    """A time as a token has it: milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def in_milliseconds(moment: datetime) -> datetime:
    """A time as it is after it has been in a token: UTC, in whole milliseconds."""
    return _EPOCH + milliseconds(moment) * _MILLISECOND


def encoded(content: bytes) -> str:
    """Bytes in base64url without padding (RFC 7515, 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """The bytes of canonical base64url without padding. Of several spellings of the same bytes only that of `encoded` is
    accepted, so that every altered character is noticed. Raises ValueError.
    """
    try:
        content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise ValueError("not base64url") from error
    if encoded(content) != text:
        raise ValueError("not canonical base64url")
    return content


class PublicKey:
    """The public key of a device: 32 bytes, `raw`."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @classmethod
    def read(cls, text: str) -> Self:
        """A key in PEM (SubjectPublicKeyInfo), as 32 bytes in base64url, or within the answer of `GET /access/key`. Raises
        PublicKeyError.
        """
        text = text.strip()
        try:
            if text.startswith("{"):
                text = json.loads(text)["public_key"]
            found = cls(_raw(text) if text.startswith("-----") else decoded(text))
            found.loaded()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            expected = "PEM, 43 characters of base64url, or the answer of GET /access/key"
            raise PublicKeyError(f"not an Ed25519 public key: {expected}") from error
        return found

    def loaded(self) -> Ed25519PublicKey:
        """The key as cryptography has it. Raises ValueError when there are not 32 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw)

    @property
    def text(self) -> str:
        """Its 32 bytes in base64url."""
        return encoded(self.raw)

    @property
    def pem(self) -> str:
        """The key in PEM (SubjectPublicKeyInfo), as OpenSSL reads it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self.loaded().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    @property
    def jwk(self) -> dict[str, str]:
        """The key as a JSON Web Key (RFC 8037, 2)."""
        return {"kty": "OKP", "crv": "Ed25519", "x": self.text, "kid": self.id, "alg": "EdDSA", "use": "sig"}

    @cached_property
    def id(self) -> str:
        """Its id in the header of a token (`kid`)."""
        return hashlib.sha256(self.raw).hexdigest()[:_KEY_ID_DIGITS]

    def signed(self, content: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature

        try:
            self.loaded().verify(signature, content)
        except InvalidSignature:
            return False
        return True


def _raw(pem: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(pem.encode("ascii"))
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError(f"a {type(key).__name__}")
    return key.public_bytes_raw()


@dataclass(frozen=True)
class Signer:
    """The private key of a device."""

    _private: Ed25519PrivateKey
    public: PublicKey

    @classmethod
    def of(cls, secret: bytes) -> Self:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.from_private_bytes(secret)
        return cls(private, PublicKey(private.public_key().public_bytes_raw()))

    def sign(self, content: bytes) -> bytes:
        """A signature of 64 bytes."""
        return self._private.sign(content)


def write_token(decision: Decision, record: Anchor | None, signer: Signer) -> str:
    """The token of a decision; `record` is the place of its entry in the record, or None if it could not be recorded."""
    header = {"alg": "EdDSA", "typ": TYPE, "kid": signer.public.id}
    payload = {
        "v": VERSION,
        **decision.facts(),
        "iat_ms": milliseconds(decision.issued),
        "exp_ms": milliseconds(decision.expires),
        "record": record and {"sequence": record.sequence, "hash": record.hash},
        **_registered(decision),
    }
    content = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, payload))
    return f"{content}.{encoded(signer.sign(content.encode()))}"


def _registered(decision: Decision) -> dict[str, str | int]:
    """The claims that JWT libraries check (RFC 7519, 4.1). Times are whole seconds, rounded down, because some libraries
    compare them with a clock cut to whole seconds and refuse a fraction at first: `exp` comes up to 1 s before `exp_ms`, never
    after it.
    """
    issued = milliseconds(decision.issued) // 1000
    subject = {} if decision.person is None else {"sub": decision.person}
    return {
        "iss": decision.device,
        "aud": AUDIENCE,
        **subject,
        "jti": decision.id,
        "iat": issued,
        "nbf": issued,
        "exp": milliseconds(decision.expires) // 1000,
    }


def read_token(token: str, key: PublicKey, device: str | None = None) -> Decision:
    """The decision in a token that was signed with `key`, by the device with this id unless it is None. Raises AlteredError,
    OtherSignerError, OtherDeviceError.
    """
    parts = token.split(".") if len(token) <= LONGEST else []
    if len(parts) != 3:
        raise AlteredError("not a token: three parts of base64url with dots between them")
    try:
        header, payload, signature = (decoded(part) for part in parts)
    except ValueError as error:
        raise AlteredError(f"altered: a part is {error}") from error
    _check_header(_object(header, "header"), key)
    if not key.signed(f"{parts[0]}.{parts[1]}".encode(), signature):
        raise AlteredError("altered: the signature does not match")
    decision = _decision(_object(payload, "payload"))
    if device is not None and decision.device != device:
        raise OtherDeviceError(f"of another device: {decision.device}")
    return decision


def check_answer(
    decision: Decision, nonce: str, direction: Direction, now: datetime | None, tolerance: timedelta = TOLERANCE
) -> None:
    """Checks that a decision of the right device answers a question and is valid `now` (None: the time is not checked,
    because the wall clock of the door is not set). Raises WrongNonceError, WrongDirectionError, NotYetValidError, ExpiredError.
    """
    if decision.nonce != nonce:
        raise WrongNonceError("wrong nonce: this decision answers another question")
    if decision.direction != direction:
        raise WrongDirectionError(f"wrong direction: this decision is about the direction {decision.direction.value}")
    if now is None:
        return
    if now + tolerance < decision.issued:
        ahead = (decision.issued - now).total_seconds()
        raise NotYetValidError(f"not yet valid: issued {ahead:.1f} s ahead of this computer's clock")
    if now - tolerance >= min(decision.expires, decision.seen + LIFE):
        raise ExpiredError(f"expired: what it is about was seen {(now - decision.seen).total_seconds():.1f} s ago")


def _object(content: bytes, part: str) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"altered: the {part} is not JSON") from error
    if not isinstance(found, dict):
        raise AlteredError(f"altered: the {part} is not a JSON object")
    return found


def _check_header(header: Mapping[str, Any], key: PublicKey) -> None:
    """The algorithm is never the token's choice (RFC 8725, 3.1)."""
    if header.get("alg") != "EdDSA" or header.get("typ") != TYPE or "crit" in header:
        raise AlteredError("not a decision: its header has another alg or typ, or names an extension")
    if header.get("kid") != key.id:
        raise OtherSignerError("signed by another device: its key is not the given one")


def _decision(payload: Mapping[str, Any]) -> Decision:
    """The decision of a signed payload, which is as `write_token` makes it unless another version of the program signed it."""
    try:
        if _as(int, payload["v"]) != VERSION:
            raise ValueError(f"version {payload['v']!r}")
        return Decision(
            id=_as(str, payload["id"]),
            device=_as(str, payload["device"]),
            nonce=_as(str, payload["nonce"]),
            direction=Direction(payload["direction"]),
            granted={"granted": True, "denied": False}[_as(str, payload["result"])],
            reason=_as(str, payload["reason"]),
            person=None if payload["person"] is None else _as(str, payload["person"]),
            frames=tuple(_time(each) for each in _as(list, payload["frames"])),
            issued=_time(payload["iat_ms"]),
            expires=_time(payload["exp_ms"]),
            trigger=Trigger(payload["trigger"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise AlteredError(f"not a decision of version {VERSION}: {error}") from error


def _as(kind: type[T], value: object) -> T:
    if type(value) is not kind:  # a bool is not an int here
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


def _time(value: object) -> datetime:
    found = _as(int, value)
    if not 0 <= found <= _LATEST_MS:
        raise ValueError(f"{found} is not a time")
    return _EPOCH + found * _MILLISECOND
