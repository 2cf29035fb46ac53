"""Sealing: what is kept of people can be read with the site key alone, and only in the place it was written for."""

import hashlib
import hmac
import json
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from appliance.gallery.people import GalleryDamagedError
from appliance.gallery.site_key import SiteKey

NONCE_BYTES = 12
"""What AES-GCM is made for. Random ones are safe for 2^32 seals of a key (NIST SP 800-38D, 8.3)."""


class BrokenSealError(GalleryDamagedError):
    """Something sealed was altered, or belongs to another place, or was sealed with another key."""


class Seal:
    """Authenticated encryption (AES-256-GCM), bound to a place: a table, a row, whose it is. Thread-safe."""

    def __init__(self, key: SiteKey) -> None:
        self._cipher = AESGCM(key.derive("gallery: sealing"))
        self._tags = key.derive("gallery: tags")

    def close(self, content: bytes, *place: str | int) -> bytes:
        """A fresh random nonce, and `content` sealed for this place."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, _bound(place))

    def open(self, sealed: bytes, *place: str | int) -> bytes:
        """What was sealed for this place. Raises BrokenSealError."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(place))
        except (InvalidTag, ValueError, TypeError) as error:
            raise BrokenSealError(f"a seal is broken: {place[0]}") from error

    def tag(self, name: str) -> bytes:
        """32 bytes that stand for a name, and tell it to nobody without the key (HMAC-SHA256)."""
        return hmac.digest(self._tags, name.encode(), hashlib.sha256)


def _bound(place: tuple[str | int, ...]) -> bytes:
    """A place as bytes; no two places have the same."""
    return json.dumps(place).encode()
