"""Sealing: what is kept of people can be read with the site key alone, and only in the place it was written for."""

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance import state
from appliance.face.types import Embedding
from appliance.gallery.people import GalleryDamagedError, NoKeyError

KEY_BYTES = 32

CREDENTIAL = "gallery-key"
"""Its name among systemd's credentials (systemd.exec(5), LoadCredential=)."""

SYSTEM_FILE = Path("/etc") / state.NAME / "gallery.key"

_TEXT = re.compile(rb"[0-9a-f]{64}\n?")


@dataclass(frozen=True, slots=True)
class SiteKey:
    """32 random bytes, from which a key is derived for each purpose; they show in no text of this object."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, which lead to no other's (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), 32, salt=None, info=f"{state.NAME} {purpose}".encode()).derive(self.secret)


def find_site_key(configured: Path | None, system_file: Path = SYSTEM_FILE) -> Path:
    """Where the key is, or would be made: the configured file, else systemd's credential, else the system's file when this
    user can read it, else the user's own (XDG).
    """
    if configured is not None:
        return configured
    if folder := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.exists():
            return credential
    # the rights that count: the command line gives up root's
    if os.access(system_file, os.R_OK, effective_ids=True):
        return system_file
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / state.NAME / "gallery.key"


def read_site_key(path: Path) -> SiteKey:
    """The key of a file. Raises NoKeyError when it is not there, not a key, or can be read by others."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1024)
    except OSError as error:
        raise NoKeyError(f"{path}: the site key cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & _forbidden(path):
        raise NoKeyError(f"{path}: others can read the site key: `chmod 600 {path}`")
    if not content.strip():  # what the unit puts there when there is none
        raise NoKeyError(f"there is no site key: put it back as {SYSTEM_FILE}, and restart the device")
    if not _TEXT.fullmatch(content):
        raise NoKeyError(
            f"{path} is not a site key: it has 64 hexadecimal digits and a newline; put the right one there"
        )
    return SiteKey(bytes.fromhex(content.decode("ascii")))


def make_site_key(path: Path) -> SiteKey:
    """Makes a key, or reads the one that another process made meanwhile. Raises NoKeyError."""
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, secrets.token_hex(KEY_BYTES).encode() + b"\n", 0o600)
    except OSError as error:
        raise NoKeyError(
            f"{path}: no site key can be made there: {error.strerror}; name another gallery.key_file"
        ) from error
    return read_site_key(path)


def obtain_site_key(path: Path, database: Path) -> SiteKey:
    """The key of a file, which is made only when there is nothing yet that it could have sealed. Raises NoKeyError."""
    if path.exists() or not database.exists():
        return make_site_key(path) if not path.exists() else read_site_key(path)
    raise NoKeyError(
        f"{path} is missing, and {database.name} was sealed with it: put it back, or name it as gallery.key_file"
    )


def _forbidden(path: Path) -> int:
    """The rights nobody may have. For a credential, systemd lets the service's user in by an access list, whose mask shows
    as the group's rights (acl(5)).
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.parent == Path(folder) else 0o077


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


DIMENSIONS = 512
"""Of an embedding."""

SEED_BYTES = 32

Rotated = npt.NDArray[np.float32]
"""An embedding turned by the matrix: a unit vector (512)."""


def new_seed() -> bytes:
    """What a new rotation is made from."""
    return secrets.token_bytes(SEED_BYTES)


class Rotation:
    """An orthogonal 512 x 512 matrix, uniformly distributed (Haar), always the same for a seed of 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        turned, upper = np.linalg.qr(_normal(seed, DIMENSIONS))
        # a QR decomposition is unique, and Haar, when the diagonal of R is positive (Mezzadri, 2007, arXiv math-ph/0609050)
        self.matrix: npt.NDArray[np.float64] = turned * np.sign(np.diag(upper))
        self._matrix = self.matrix.astype(np.float32)

    def turn(self, embedding: Embedding) -> Rotated:
        """An embedding as it is kept and compared."""
        return np.asarray(self._matrix @ embedding, np.float32)

    def turn_back(self, rotated: Rotated) -> Embedding:
        """The embedding that was turned."""
        return _unit(self.matrix.T @ rotated.astype(np.float64))

    def renewed(self, rotated: Rotated, after: "Rotation") -> Rotated:
        """What was turned by this rotation, as if it had been turned by another."""
        return _unit(after.matrix @ (self.matrix.T @ rotated.astype(np.float64)))


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Unit length again, so that rounding does not add up over many rotations."""
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _normal(seed: bytes, side: int) -> npt.NDArray[np.float64]:
    """A square of standard normal numbers: AES-256 in counter mode, then Box and Muller (1958)."""
    count = side * side
    stream = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    # 53 bits each, as a double has; the half keeps the logarithm finite
    uniform = ((np.frombuffer(stream, "<u8") >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * np.pi * uniform[1::2]
    normal: npt.NDArray[np.float64] = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal.reshape(side, side)
