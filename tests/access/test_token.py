"""Decisions as tokens: what is signed, and that nothing else passes."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from decisions import ANCHOR, DEVICE, GRANTED, NOON, SIGNER, token_of
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import token
from appliance.access.token import (
    AlteredError,
    OtherSignerError,
    PublicKey,
    PublicKeyError,
    Signer,
    TokenError,
    decoded,
    encoded,
)


def spoken(text: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(text + "=="))


def forged(header: object, payload: object) -> str:
    """SignedDecision by the device's own key, whatever it says."""
    content = ".".join(encoded(json.dumps(part).encode()) for part in (header, payload))
    return f"{content}.{encoded(SIGNER.sign(content.encode()))}"


HEADER, PAYLOAD, _ = token_of().split(".")


def test_it_says_what_the_contract_says():
    key_id = SIGNER.public.id
    assert spoken(HEADER) == {"alg": "EdDSA", "typ": "face-decision", "kid": key_id}
    assert spoken(PAYLOAD) == {
        "v": 1,
        "id": "0f" * 16,
        "device": DEVICE,
        "nonce": "A" * 22,
        "direction": "in",
        "result": "granted",
        "reason": "granted",
        "person": "staff-17",
        "trigger": "asked",
        "frames": [1795694399350, 1795694399650, 1795694399950, 1795694400250],
        "iat_ms": 1795694400250,
        "exp_ms": 1795694402250,
        "record": {"sequence": 17, "hash": "ab" * 32},
        "iss": DEVICE,
        "aud": "door",
        "sub": "staff-17",
        "jti": "0f" * 16,
        "iat": 1795694400,
        "nbf": 1795694400,
        "exp": 1795694402,
    }


def test_what_was_written_is_read():
    assert token.read_token(token_of(), SIGNER.public) == GRANTED


def test_a_decision_without_a_person_that_is_not_recorded():
    denied = replace(GRANTED, granted=False, reason="nobody", person=None, frames=())
    written = token.write_token(denied, None, SIGNER)
    assert token.read_token(written, SIGNER.public) == denied
    assert spoken(written.split(".")[1])["record"] is None


def test_times_are_whole_milliseconds():
    exact = replace(GRANTED, issued=NOON + timedelta(microseconds=999))
    assert token.read_token(token.write_token(exact, ANCHOR, SIGNER), SIGNER.public).issued == NOON


def test_the_longest_one_has_room():
    written = token_of(id="f" * 32, nonce="n" * 86, person="p" * 64, reason="r" * 64)
    assert len(written) <= token.LONGEST / 2


def test_another_devices_signature_is_named_as_such():
    other = Signer.of(b"another device, and its 32 bytes")
    with pytest.raises(OtherSignerError, match="another device"):
        token.read_token(token_of(other), SIGNER.public)


def test_another_devices_signature_under_this_key_id_is_refused():
    other = Signer.of(b"another device, and its 32 bytes")
    content = f"{HEADER}.{PAYLOAD}"
    with pytest.raises(AlteredError, match="signature"):
        token.read_token(f"{content}.{encoded(other.sign(content.encode()))}", SIGNER.public)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "..",
        "a.b",
        "a.b.c.d",
        f"{HEADER}.{PAYLOAD}.",
        f"{HEADER}.{PAYLOAD}=.{'A' * 86}",
        token_of() + "=",
        token_of() + "\n",
        " " + token_of(),
        token_of().replace(".", "\u3002"),
        token_of() + "é",
        "A" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(written: str):
    with pytest.raises(AlteredError):
        token.read_token(written, SIGNER.public)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "face-decision", "kid": SIGNER.public.id},
        {"alg": "HS256", "typ": "face-decision", "kid": SIGNER.public.id},
        {"alg": "EdDSA", "typ": "JWT", "kid": SIGNER.public.id},
        {"alg": "EdDSA", "typ": "face-decision", "kid": SIGNER.public.id, "crit": ["exp"]},
        {"alg": "EdDSA", "typ": "face-decision"},
        ["EdDSA"],
    ],
)
def test_the_header_must_be_ours(header: object):
    with pytest.raises(TokenError):
        token.read_token(forged(header, spoken(PAYLOAD)), SIGNER.public)


WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.lists(st.none())
)


OTHERS = {"record", "iss", "aud", "sub", "jti", "iat", "nbf", "exp"}
"""Parts that a decision is not read from: the record's place, and what JWT libraries check."""

READ = sorted(set(spoken(PAYLOAD)) - OTHERS)


@given(name=st.sampled_from(READ), value=WRONG)
def test_a_payload_of_another_kind_is_refused_or_read_as_it_is(name: str, value: object):
    payload = {**spoken(PAYLOAD), name: value}
    written = forged(spoken(HEADER), payload)
    try:
        decision = token.read_token(written, SIGNER.public)
    except AlteredError:
        return
    again = spoken(token.write_token(decision, ANCHOR, SIGNER).split(".")[1])
    assert {part: again[part] for part in READ} == {part: payload[part] for part in READ}
    assert type(value) is not bool


@pytest.mark.parametrize("name", READ)
def test_a_payload_without_a_part_is_refused(name: str):
    payload = spoken(PAYLOAD)
    del payload[name]
    with pytest.raises(AlteredError, match="version 1"):
        token.read_token(forged(spoken(HEADER), payload), SIGNER.public)


@given(st.text(max_size=300))
def test_no_text_is_more_than_refused(text: str):
    with pytest.raises(TokenError):
        token.read_token(text, SIGNER.public)


@given(st.binary(max_size=100))
def test_bytes_have_one_spelling(content: bytes):
    text = encoded(content)
    assert decoded(text) == content
    for other in (text + "=", text + "==", text + "\n", "A" + text + "*"):
        with pytest.raises(ValueError, match="base64url"):
            decoded(other)


@pytest.mark.parametrize("spelling", ["QR", "QQ==", "Q", "Q Q", "+/+/", "é"])
def test_other_spellings_are_refused(spelling: str):
    with pytest.raises(ValueError, match="base64url"):
        decoded(spelling)


def test_a_public_key_is_read_as_it_is_given():
    key = SIGNER.public
    answer = json.dumps({"device": DEVICE, "algorithm": "Ed25519", "public_key": key.text, "pem": key.pem})
    for text in (key.text, key.text + "\n", key.pem, answer):
        assert PublicKey.read(text).raw == key.raw


OTHER_CURVE = ec.generate_private_key(ec.SECP256R1()).public_key()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "short",
        "{}",
        "{",
        '{"public_key": 5}',
        "[]",
        "A" * 44,
        "-----BEGIN PUBLIC KEY-----\nnone\n-----END PUBLIC KEY-----",
        "-----é",
        OTHER_CURVE.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    ],
)
def test_what_is_no_public_key_is_reported_in_one_line(text: str):
    with pytest.raises(PublicKeyError) as caught:
        PublicKey.read(text)
    assert "\n" not in str(caught.value)
