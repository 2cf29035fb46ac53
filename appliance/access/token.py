"""A decision on its way to the door: a JWS in compact form (RFC 7515), signed with Ed25519 (RFC 8037)."""

import hashlib
import json
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from appliance import state
from appliance.access.policy import Direction
from appliance.gallery.people import GalleryUnavailableError
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

ENTRY = "decision"
"""The kind of its entry in the record."""

LIFE = timedelta(seconds=2)
"""How long a decision holds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`id` (32 hexadecimal digits) is its own, `device` that of the device, `nonce` the question's. `person` is the id of
    whoever was identified, granted or not; None when nobody was. `reason` names the rule that decided. `frames` are the times
    the four frames were taken, `issued` and `expires` those between which it holds (UTC, milliseconds).
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

    @property
    def result(self) -> str:
        """What it comes to, in a word."""
        return "granted" if self.granted else "denied"


@dataclass(frozen=True, slots=True)
class Signed:
    """A decision as it is handed out: `token` is a JWS in compact form (RFC 7515, EdDSA of RFC 8037); what it says in words;
    and what its person is called, if it has one: for those who may know, never for a log.
    """

    decision: Decision
    token: str
    text: str
    name: str | None


ALGORITHM = "Ed25519"

SECRET_BYTES = 32
"""Length of a private key (RFC 8032, 5.1.5)."""

ID_DIGITS = 16
"""Hexadecimal digits of the SHA-256 of a public key that it is called by."""


class PublicKeyError(ValueError):
    """What should be a public key is none; the text says what one looks like."""


class PublicKey:
    """What a door knows of the device that decides."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def read(cls, text: str) -> Self:
        """A key in PEM (SubjectPublicKeyInfo), as 32 bytes in base64url, or within the JSON that `GET /access/key` answers.
        Raises PublicKeyError.
        """
        text = text.strip()
        try:
            if text.startswith("{"):
                text = json.loads(text)["public_key"]
            if text.startswith("-----"):
                return cls._pem(text)
            return cls(Ed25519PublicKey.from_public_bytes(decoded(text)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise PublicKeyError(
                "not an Ed25519 public key: PEM, 43 characters of base64url, or what GET /access/key answers"
            ) from error

    @cached_property
    def raw(self) -> bytes:
        """Its 32 bytes."""
        return self._key.public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def text(self) -> str:
        """Its 32 bytes in base64url."""
        return encoded(self.raw)

    @property
    def pem(self) -> str:
        """The key in PEM (SubjectPublicKeyInfo), as OpenSSL takes it."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    @cached_property
    def id(self) -> str:
        """What it is called in a token's header (`kid`)."""
        return hashlib.sha256(self.raw).hexdigest()[:ID_DIGITS]

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Whether this device has signed the content."""
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True

    @classmethod
    def _pem(cls, text: str) -> Self:
        key = load_pem_public_key(text.encode("ascii"))
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError(f"a {type(key).__name__}")
        return cls(key)


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs as this device."""

    _private: Ed25519PrivateKey
    public: PublicKey

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """The signer of a private key of 32 bytes."""
        private = Ed25519PrivateKey.from_private_bytes(secret)
        return cls(private, PublicKey(private.public_key()))

    def sign(self, content: bytes) -> bytes:
        """A signature of 64 bytes."""
        return self._private.sign(content)


def encoded(content: bytes) -> str:
    """Bytes in base64url without padding (RFC 7515, 2)."""
    return urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decoded(text: str) -> bytes:
    """The bytes of canonical base64url without padding: of several spellings of the same bytes only the one that `encoded`
    gives, so that no altered character goes unnoticed. Raises ValueError.
    """
    try:
        content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise ValueError("not base64url") from error
    if encoded(content) != text:
        raise ValueError("not canonical base64url")
    return content


VERSION = 1

TYPE = "face-decision"
"""In the header, so that nothing else this key may ever sign is taken for a decision."""

LONGEST = 4096
"""Characters of a token; one of the longest nonce, id and reason has about 900."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MILLISECOND = timedelta(milliseconds=1)

LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: what a datetime can hold."""

RESULTS = {"granted": True, "denied": False}

T = TypeVar("T")


class TokenError(Exception):
    """A token that a door must not act on; the text is one line that says why."""


class AlteredError(TokenError):
    """It is no token, or not what was signed."""


class OtherSignerError(TokenError):
    """Another key has signed it."""


class Recorded(Protocol):
    """Where the record of decisions has a decision: the number of its entry, and the entry's hash in hexadecimal."""

    @property
    def sequence(self) -> int: ...

    @property
    def hash(self) -> str: ...


def write_token(decision: Decision, entry: Recorded | None, signer: Signer) -> str:
    """The token of a decision; `entry` is None for one that could not be recorded."""
    header = {"alg": "EdDSA", "typ": TYPE, "kid": signer.public.id}
    payload = {
        "v": VERSION,
        "id": decision.id,
        "device": decision.device,
        "nonce": decision.nonce,
        "direction": decision.direction.value,
        "result": decision.result,
        "reason": decision.reason,
        "person": decision.person,
        "frames": [milliseconds(each) for each in decision.frames],
        "iat_ms": milliseconds(decision.issued),
        "exp_ms": milliseconds(decision.expires),
        "record": None if entry is None else {"sequence": entry.sequence, "hash": entry.hash},
    }
    content = f"{_part(header)}.{_part(payload)}"
    return f"{content}.{encoded(signer.sign(content.encode()))}"


def read_token(token: str, key: PublicKey) -> Decision:
    """The decision in a token that `key` has signed. Raises AlteredError, OtherSignerError."""
    parts = token.split(".") if len(token) <= LONGEST else []
    if len(parts) != 3:
        raise AlteredError("not a token: three parts of base64url with dots between them")
    try:
        header, payload, signature = (decoded(part) for part in parts)
    except ValueError as error:
        raise AlteredError(f"altered: a part is {error}") from error
    _check_header(_object(header, "header"), key)
    if not key.signed(f"{parts[0]}.{parts[1]}".encode(), signature):
        raise AlteredError("altered: the signature does not fit")
    return _decision(_object(payload, "payload"))


def milliseconds(time: datetime) -> int:
    """A time as a token has it: milliseconds since 1970, rounded down."""
    return (time - EPOCH) // MILLISECOND


def whole(time: datetime) -> datetime:
    """A time as it is when it has been in a token: UTC, in whole milliseconds."""
    return EPOCH + milliseconds(time) * MILLISECOND


def _part(value: Mapping[str, Any]) -> str:
    return encoded(json.dumps(value, separators=(",", ":")).encode())


def _object(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"altered: the {what} is not JSON") from error
    if not isinstance(found, dict):
        raise AlteredError(f"altered: the {what} is not a JSON object")
    return found


def _check_header(header: Mapping[str, Any], key: PublicKey) -> None:
    """The algorithm is never the token's choice (RFC 8725, 3.1)."""
    if header.get("alg") != "EdDSA" or header.get("typ") != TYPE or "crit" in header:
        raise AlteredError("not a decision: its header has another alg or typ, or names an extension")
    if header.get("kid") != key.id:
        raise OtherSignerError("signed by another device: its key is not the one given")


def _decision(payload: Mapping[str, Any]) -> Decision:
    """What was signed, which is then as `write` made it, unless another version did."""
    try:
        if _as(int, payload["v"]) != VERSION:
            raise ValueError(f"version {payload['v']!r}")
        return Decision(
            id=_as(str, payload["id"]),
            device=_as(str, payload["device"]),
            nonce=_as(str, payload["nonce"]),
            direction=Direction(payload["direction"]),
            granted=RESULTS[_as(str, payload["result"])],
            reason=_as(str, payload["reason"]),
            person=None if payload["person"] is None else _as(str, payload["person"]),
            frames=tuple(_time(each) for each in _as(list, payload["frames"])),
            issued=_time(payload["iat_ms"]),
            expires=_time(payload["exp_ms"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise AlteredError(f"not a decision of version {VERSION}: {error}") from error


def _as(kind: type[T], value: object) -> T:
    if type(value) is not kind:  # a bool is no int here
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _time(value: object) -> datetime:
    found = _as(int, value)
    if not 0 <= found <= LATEST_MS:
        raise ValueError(f"{found} is no time")
    return EPOCH + found * MILLISECOND


log = logging.getLogger(__name__)

SIGNING_KEY_FILE = "signing.key"

SIGNING_KEY_PLACE = "device key"
"""What its seal is bound to."""


class DeviceKeyError(GalleryUnavailableError):
    """The device cannot sign; the text is one line that says why, and what to do."""


def obtain_signing_key(path: Path, site_key: SiteKey) -> Signer:
    """The signer of the key in a file, which is made when it is not there. Raises DeviceKeyError."""
    seal = Seal(site_key)
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, seal.close(secrets.token_bytes(SECRET_BYTES), SIGNING_KEY_PLACE), 0o600)
                log.warning("%s was made: doors that know another key must learn this one (GET /access/key)", path.name)
        return Signer.of(seal.open(path.read_bytes(), SIGNING_KEY_PLACE))
    except OSError as error:
        raise DeviceKeyError(f"{path}: the signing key cannot be read or made: {error.strerror}") from error
    except BrokenSealError as error:
        raise DeviceKeyError(
            f"{path} is damaged, or sealed with another site key: put the right one back; or delete it, and every door "
            "must learn the new key (GET /access/key)"
        ) from error
