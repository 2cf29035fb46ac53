"""JWT libraries judge a decision's token as they judge any: fresh ones pass; late, altered and foreign ones do not."""

import json
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import joserfc.errors
import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from decisions import ANCHOR, DEVICE, GRANTED, SIGNER

from appliance.access.token import AUDIENCE, LIFE, PublicKey, Signer, write_token

Judge = Callable[[str, PublicKey, str], bool]

PROJECT = Path(__file__).parents[2]


def pyjwt(token: str, key: PublicKey, audience: str) -> bool:
    try:
        jwt.decode(token, jwt.PyJWK(key.jwk), ["EdDSA"], audience=audience, issuer=DEVICE)
    except jwt.InvalidTokenError:
        return False
    return True


def joserfc_(token: str, key: PublicKey, audience: str) -> bool:
    claims = joserfc.jwt.JWTClaimsRegistry(
        aud={"essential": True, "value": audience}, iss={"essential": True, "value": DEVICE}
    )
    with warnings.catch_warnings():  # RFC 9864 has a newer name for the same algorithm
        warnings.simplefilter("ignore", joserfc.errors.SecurityWarning)
        try:
            claims.validate(joserfc.jwt.decode(token, joserfc.jwk.OKPKey.import_key(key.jwk), ["EdDSA"]).claims)
        except joserfc.errors.JoseError:
            return False
    return True


JOSE = """
import { createLocalJWKSet, jwtVerify } from "jose";
const { token, key, audience, issuer } = JSON.parse(process.argv[1]);
const verified = jwtVerify(token, createLocalJWKSet({ keys: [key] }), { algorithms: ["EdDSA"], audience, issuer });
process.exit(await verified.then(() => 0, (error) => (error.code?.startsWith("ERR_J") ? 3 : 1)));
"""


def jose(token: str, key: PublicKey, audience: str) -> bool:
    question = json.dumps({"token": token, "key": key.jwk, "audience": audience, "issuer": DEVICE})
    run = subprocess.run(
        ["node", "--input-type=module", "--eval", JOSE, question],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode in (0, 3), run.stderr
    return run.returncode == 0


@pytest.fixture(scope="module")
def packages() -> None:
    if not (PROJECT / "node_modules" / "jose").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=PROJECT, check=True, timeout=100)


@pytest.fixture(params=[pyjwt, joserfc_, jose], ids=["PyJWT", "joserfc", "jose"])
def judge(request: pytest.FixtureRequest) -> Judge:
    if request.param is jose:
        request.getfixturevalue("packages")
    return request.param


def decided(ago: float, signer: Signer = SIGNER) -> str:
    """The token of a decision on a frame of `ago` seconds ago."""
    seen = datetime.now(UTC) - timedelta(seconds=ago)
    return write_token(replace(GRANTED, frames=(seen,), issued=seen, expires=seen + LIFE), ANCHOR, signer)


def test_a_fresh_token_is_accepted_from_the_first_moment(judge: Judge):
    # valid for one whole second at least, however the second lies; it may pass while a process starts, so there are some tries
    assert any(judge(decided(0), SIGNER.public, AUDIENCE) for _ in range(3))


def test_a_token_ends_two_seconds_after_its_newest_frame(judge: Judge):
    assert not judge(decided(2.001), SIGNER.public, AUDIENCE)


def test_an_altered_token_is_refused(judge: Judge):
    header, payload, signature = decided(0).split(".")
    changed = signature[:9] + ("A" if signature[9] != "A" else "B") + signature[10:]
    assert not judge(f"{header}.{payload}.{changed}", SIGNER.public, AUDIENCE)


def test_the_token_of_another_device_is_refused(judge: Judge):
    assert not judge(decided(0, Signer.of(bytes(32))), SIGNER.public, AUDIENCE)


def test_a_token_for_another_reader_is_refused(judge: Judge):
    assert not judge(decided(0), SIGNER.public, "payments")
