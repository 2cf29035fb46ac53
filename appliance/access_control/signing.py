"""The device's signature: Ed25519 (RFC 8032), and the public key that doors check it with."""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

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
