#!/usr/bin/env bash
# jose 5.10.0 (npm), joserfc 1.8.0 and PyJWT 2.15.1 (PyPI); 2026-11-28.
#
# Question: a device signs a JWT (EdDSA) that is valid for two seconds: `iat` and `nbf` are now, `exp` is now + 2, as NumericDates with a fraction, which
# RFC 7519 section 2 allows. The door is on the same machine. When does each library begin to accept it, and how long does it?
# Guess: at once, for two seconds; perhaps PyJWT cuts the fraction.
# Seen, made at .50 of a second: jose and joserfc refuse it for its first half second (not yet valid, "issued in the future"): they compare the fraction with a clock cut to
# whole seconds, so a token made at .05 is refused for .95 s. PyJWT accepts it at once and ends 1.5 s later, because it cuts the claim and not the
# clock. For a door that asks and decides within one second, jose refuses nearly every token. Whole seconds, `iat` and `nbf` rounded down, are accepted at once by all.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "joserfc==1.8.0 PyJWT==2.15.1 cryptography==46.0.3" <<'PROGRAM'
import json
import math
import time
import warnings
from pathlib import Path

import joserfc.jwk
import joserfc.jwt
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

warnings.simplefilter("ignore")
private = Ed25519PrivateKey.generate()
public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
key = joserfc.jwk.OKPKey.import_key(public)


def pyjwt(token: str) -> None:
    jwt.decode(token, public, algorithms=["EdDSA"])


def joserfc_(token: str) -> None:
    claims = joserfc.jwt.decode(token, key, algorithms=["EdDSA"]).claims
    joserfc.jwt.JWTClaimsRegistry().validate(claims)


def accepted_from(check, token: str, made: float) -> float:
    while time.time() < made + 1.9:
        try:
            check(token)
            return time.time() - made
        except (jwt.PyJWTError, joserfc.errors.JoseError) as error:
            reason = error
        time.sleep(0.01)
    raise AssertionError(reason)


def ends(check, token: str, made: float) -> float:
    while time.time() < made + 4:
        try:
            check(token)
        except (jwt.PyJWTError, joserfc.errors.JoseError):
            return time.time() - made
        time.sleep(0.01)
    raise AssertionError("still accepted")


def token(rounding) -> tuple[str, float]:
    time.sleep(1.5 - time.time() % 1)  # to the middle of a second
    made = time.time()
    begin = rounding(made)
    return jwt.encode({"iat": begin, "nbf": begin, "exp": begin + 2}, private, algorithm="EdDSA"), made


exact, made = token(float)
begins = accepted_from(joserfc_, exact, made)
print(f"joserfc: accepts from {begins:.2f} s")
assert 0.4 < begins < 0.6
exact, made = token(float)
begins, end = accepted_from(pyjwt, exact, made), ends(pyjwt, exact, made)
print(f"PyJWT: accepts from {begins:.2f} s to {end:.2f} s")
assert begins < 0.1 and 1.4 < end < 1.6
whole, made = token(math.floor)
assert accepted_from(joserfc_, whole, made) < 0.2 and accepted_from(pyjwt, whole, made) < 0.3
print("whole seconds: accepted at once by both")
PROGRAM
in_node jose@5.10.0 <<'PROGRAM'
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { SignJWT, generateKeyPair, jwtVerify } from "jose";

const { publicKey, privateKey } = await generateKeyPair("EdDSA");
async function acceptedFrom(rounding) {
  await sleep(1500 - (Date.now() % 1000)); // to the middle of a second
  const made = Date.now();
  const begin = rounding(made / 1000);
  const token = await new SignJWT({ iat: begin, nbf: begin, exp: begin + 2 }).setProtectedHeader({ alg: "EdDSA" }).sign(privateKey);
  while (Date.now() < made + 1900) {
    const accepted = await jwtVerify(token, publicKey).then(() => true, () => false);
    if (accepted) return (Date.now() - made) / 1000;
    await sleep(10);
  }
}
const exact = await acceptedFrom((seconds) => seconds);
const whole = await acceptedFrom(Math.floor);
console.log(`jose: accepts from ${exact} s; whole seconds from ${whole} s`);
assert.ok(exact > 0.4 && exact < 0.6);
assert.ok(whole < 0.2);
PROGRAM
