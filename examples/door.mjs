#!/usr/bin/env node
/*
 * A door controller in Node.js (18 or later, no packages): asks a device who is at its camera, verifies the answer, and opens
 * for a grant.
 *
 * Usage: door.mjs URL DEVICE PUBLIC_KEY [in|out]
 * DEVICE and PUBLIC_KEY are from `GET /access/key`, stored when the door was set up; API_KEY in the environment is a key with
 * the scope decide. Prints "open PERSON" and exits with 0, or prints "shut: REASON" and exits with 1.
 */

import { createPublicKey, randomBytes, verify } from "node:crypto";
import process from "node:process";

/* Milliseconds: how long a decision is valid after its newest frame, how long the device may take, and by how much the clocks of
 * door and device may differ. */
const LIFE = 2000, ANSWER = 3000, TOLERANCE = 500;

const [url, device, publicKey, direction = "in"] = process.argv.slice(2);
const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: publicKey }, format: "jwk" });

/** The bytes of canonical base64url. */
const decoded = (text) => {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new Error("altered: not base64url");
  return bytes;
};

/** What a token that answers this question decides; throws an Error for any other. */
const verified = (token, nonce) => {
  const parts = String(token).split(".");
  if (parts.length !== 3) throw new Error("not a token");
  const [header, payload, signature] = parts.map(decoded);
  const { alg, typ, crit } = JSON.parse(header);
  if (alg !== "EdDSA" || typ !== "face-decision" || crit !== undefined) throw new Error("not a decision");
  if (!verify(null, Buffer.from(`${parts[0]}.${parts[1]}`), key, signature)) throw new Error("altered, or of another device");
  const decision = JSON.parse(payload);
  if (decision.v !== 1 || decision.device !== device) throw new Error("of another device or version");
  if (decision.nonce !== nonce) throw new Error("wrong nonce");
  if (decision.direction !== direction) throw new Error("wrong direction");
  const seen = decision.frames.at(-1) ?? decision.iat_ms;
  const now = Date.now(), expires = Math.min(decision.exp_ms, seen + LIFE);
  if (!(now + TOLERANCE >= decision.iat_ms && now - TOLERANCE < expires)) throw new Error("expired, or not yet valid");
  return decision;
};

const decide = async () => {
  const nonce = randomBytes(32).toString("base64url"); // a new one for each request makes each answer valid once
  const asked = performance.now();
  const answer = await fetch(new URL("/access/decide", url), {
    method: "POST",
    headers: process.env.API_KEY ? { Authorization: `Bearer ${process.env.API_KEY}` } : {},
    body: JSON.stringify({ nonce, direction }),
    redirect: "error",
    signal: AbortSignal.timeout(ANSWER + LIFE),
  });
  if (!answer.ok) throw new Error(`the device answers ${answer.status}`);
  const decision = verified((await answer.json()).token, nonce);
  if (performance.now() - asked > ANSWER + LIFE) throw new Error("late");
  return decision;
};

try {
  const decision = await decide();
  if (decision.result !== "granted") throw new Error(decision.reason);
  console.log(`open ${decision.person}`); // here the lock is released
} catch (error) {
  console.log(`shut: ${error.message}`);
  process.exitCode = 1;
}
