"""JWT libraries judge a decision's token as they judge any: fresh ones pass; late, altered and foreign ones do not."""

import json
import subprocess
import warnings
from collections.abc import Callable, Iterator
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
import readline from "node:readline";
import { createLocalJWKSet, jwtVerify } from "jose";
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { token, key, audience, issuer } = JSON.parse(line);
  const checked = jwtVerify(token, createLocalJWKSet({ keys: [key] }), { algorithms: ["EdDSA"], audience, issuer });
  console.log(await checked.then(() => "accepted", (error) => error.code));
}
"""


@pytest.fixture(scope="module")
def jose() -> Iterator[Judge]:
    command = ["node", "--input-type=module", "--eval", JOSE]
    with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdin
        assert node.stdout
        questions, verdicts = node.stdin, node.stdout

        def judge(token: str, key: PublicKey, audience: str) -> bool:
            print(
                json.dumps({"token": token, "key": key.jwk, "audience": audience, "issuer": DEVICE}),
                file=questions,
                flush=True,
            )
            verdict = verdicts.readline().strip()
            assert verdict == "accepted" or verdict.startswith("ERR_J"), verdict
            return verdict == "accepted"

        assert not judge("not a token", SIGNER.public, AUDIENCE)  # Node.js has started
        yield judge
        questions.close()


@pytest.fixture(params=[pyjwt, joserfc_, "jose"], ids=["PyJWT", "joserfc", "jose"])
def judge(request: pytest.FixtureRequest) -> Judge:
    return request.getfixturevalue("jose") if request.param == "jose" else request.param


def decided(ago: float, signer: Signer = SIGNER) -> str:
    """The token of a decision on a frame of `ago` seconds ago."""
    seen = datetime.now(UTC) - timedelta(seconds=ago)
    return write_token(replace(GRANTED, frames=(seen,), issued=seen, expires=seen + LIFE), ANCHOR, signer)


def test_a_fresh_token_is_accepted_from_the_first_moment(judge: Judge):
    # it is valid for one second at least, which may pass on a busy machine
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
