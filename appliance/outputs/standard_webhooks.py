"""How a webhook says who sent it: Standard Webhooks 1.0 (standardwebhooks.com), symmetric signatures."""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"

LEAST_BYTES, MOST_BYTES = 24, 64
"""Of a secret, as the specification wants it."""


def key(secret: str) -> bytes:
    """The key in a secret, `whsec_` and base64. Raises ValueError that has nothing of the secret in it."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"the secret does not begin with {PREFIX}")
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not LEAST_BYTES <= len(found) <= MOST_BYTES:
        raise ValueError(f"the secret has {len(found)} bytes, not {LEAST_BYTES} to {MOST_BYTES}")
    return found


def headers(signing_key: bytes, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt: `message` is the same in all attempts, `timestamp` (Unix seconds) that of this one."""
    signed = f"{message}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key, signed, hashlib.sha256)).decode()
    return {"webhook-id": message, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
