"""A decision on its way to the door: a JWS in compact form (RFC 7515), signed with Ed25519 (RFC 8037)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

from appliance.access_control.decision import Decision
from appliance.access_control.signing import PublicKey, Signer, decoded, encoded
from appliance.access_control.situation import Direction

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


def write(decision: Decision, entry: Recorded | None, signer: Signer) -> str:
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


def read(token: str, key: PublicKey) -> Decision:
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
