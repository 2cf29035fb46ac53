"""The site key, the seals of rows (readable only with the key, and only in their own place), and the rotation of templates."""

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance import state
from appliance.face.embedding import FAST, STRONG, parts
from appliance.face.types import Embedding
from appliance.gallery.people import GalleryDamagedError, NoKeyError

KEY_BYTES = 32

CREDENTIAL = "gallery-key"
"""The key's name among systemd's credentials."""

SYSTEM_FILE = Path("/etc") / state.NAME / "gallery.key"

NONCE_BYTES = 12
"""The nonce size AES-GCM is designed for. Random nonces are safe for 2^32 seals per key (NIST SP 800-38D, 8.3)."""

SEED_BYTES = 32

Rotated = npt.NDArray[np.float32]
"""An embedding (512, or 640 of two networks) whose parts are multiplied by the rotation matrices; they keep unit length."""

Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_KEY_TEXT = re.compile(rb"[0-9a-f]{64}\n?")


@dataclass(frozen=True, slots=True)
class SiteKey:
    """32 random bytes, from which a key is derived for each purpose. They never appear in its repr."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """Returns 32 bytes for one purpose, which reveal nothing about other purposes' keys (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), 32, salt=None, info=f"{state.NAME} {purpose}".encode()).derive(self.secret)


def find_site_key(configured: Path | None, system_file: Path = SYSTEM_FILE) -> Path:
    """Returns where the key is, or would be made: the configured file, else systemd's credential, else the system's file if
    this user can read it, else the user's own (XDG).
    """
    if configured is not None:
        return configured
    if credential := state.credential(CREDENTIAL):
        return credential
    # effective rights, because the command line gives up root's
    if os.access(system_file, os.R_OK, effective_ids=True):
        return system_file
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / state.NAME / "gallery.key"


def read_site_key(path: Path) -> SiteKey:
    """Returns the key in a file. Raises NoKeyError if the file is missing, is not a key, or can be read by others."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1024)
    except OSError as error:
        raise NoKeyError(f"{path}: the site key cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & _forbidden(path):
        raise NoKeyError(f"{path}: others can read the site key: `chmod 600 {path}`")
    if not content.strip():  # the unit's placeholder for a missing credential
        raise NoKeyError(f"there is no site key: put it back as {SYSTEM_FILE}, and restart the device")
    if not _KEY_TEXT.fullmatch(content):
        raise NoKeyError(f"{path} is not a site key (64 hexadecimal digits and a newline): put the right one there")
    return SiteKey(bytes.fromhex(content.decode("ascii")))


def make_site_key(path: Path) -> SiteKey:
    """Makes a key, or reads the one that another process has just made. Raises NoKeyError."""
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
    """Returns the key in a file. Makes one only if there is no database that a lost key may have sealed. Raises NoKeyError."""
    if path.exists():
        return read_site_key(path)
    if not database.exists():
        return make_site_key(path)
    raise NoKeyError(
        f"{path} is missing, and {database.name} was sealed with it: put it back, or name it as gallery.key_file"
    )


def _forbidden(path: Path) -> int:
    """Returns the permission bits a key file must not have. systemd admits the service's user to a credential by an access
    list, whose mask shows as the group's permissions (acl(5)).
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.parent == Path(folder) else 0o077


class BrokenSealError(GalleryDamagedError):
    """Sealed content was altered, belongs to another place, or was sealed with another key."""


class Seal:
    """Authenticated encryption (AES-256-GCM) bound to a place: a table, a row, an owner. Thread-safe."""

    def __init__(self, key: SiteKey) -> None:
        self._cipher = AESGCM(key.derive("gallery: sealing"))
        self._tags = key.derive("gallery: tags")

    def close(self, content: bytes, *place: str | int) -> bytes:
        """Returns a fresh random nonce followed by `content` sealed for this place."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, _bound(place))

    def open(self, sealed: bytes, *place: str | int) -> bytes:
        """Returns the content sealed for this place. Raises BrokenSealError."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(place))
        except (InvalidTag, ValueError, TypeError) as error:
            raise BrokenSealError(f"a seal is broken: {place[0]}") from error

    def tag(self, name: str) -> bytes:
        """Returns 32 bytes that identify a name only to a holder of the key (HMAC-SHA256)."""
        return hmac.digest(self._tags, name.encode(), hashlib.sha256)


def _bound(place: tuple[str | int, ...]) -> bytes:
    """Returns a place as bytes; different places give different bytes."""
    return json.dumps(place).encode()


def new_seed() -> bytes:
    """Returns the random seed of a new rotation."""
    return secrets.token_bytes(SEED_BYTES)


class Rotation:
    """Orthogonal matrices, 512 x 512 and 128 x 128, uniformly distributed (Haar) and determined by a seed of 32 bytes: one for
    each network's part of an embedding.
    """

    def __init__(self, seed: bytes) -> None:
        self.matrices = tuple(_orthogonal(seed, stream, side) for stream, side in enumerate((FAST, STRONG)))
        self._matrices = tuple(matrix.astype(np.float32) for matrix in self.matrices)

    def apply(self, embedding: Embedding) -> Rotated:
        return np.concatenate([np.asarray(m @ part, np.float32) for m, part in self._parts(self._matrices, embedding)])

    def revert(self, rotated: Rotated) -> Embedding:
        exact = self._parts(self.matrices, rotated)
        return np.concatenate([_unit(m.T @ part.astype(np.float64)) for m, part in exact])

    def exchange(self, rotated: Rotated, other: "Rotation") -> Rotated:
        """Returns what was rotated by this rotation as if the other one had rotated it."""
        exact = zip(other.matrices, self._parts(self.matrices, rotated), strict=False)
        return np.concatenate([_unit(new @ (old.T @ part.astype(np.float64))) for new, (old, part) in exact])

    @staticmethod
    def _parts(matrices: Sequence[Matrix], vector: Embedding) -> Iterator[tuple[Matrix, Embedding]]:
        return zip(matrices, parts(vector), strict=False)


@lru_cache(maxsize=1)
def rotation_of(seed: bytes) -> Rotation:
    """The rotation of a seed. That of the last seed is kept: a gallery is read again whenever another process has changed it,
    and drawing its matrices takes 35 ms (x86-64).
    """
    return Rotation(seed)


def _orthogonal(seed: bytes, stream: int, side: int) -> npt.NDArray[np.float64]:
    orthogonal, upper = np.linalg.qr(_normal(seed, stream, side))
    # a QR decomposition is unique, and Haar, if the diagonal of R is positive (Mezzadri, 2007, arXiv math-ph/0609050)
    return np.asarray(orthogonal * np.sign(np.diag(upper)), np.float64)


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Restores unit length, so that rounding does not add up over many rotations."""
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _normal(seed: bytes, stream: int, side: int) -> npt.NDArray[np.float64]:
    """Returns a square of standard normal numbers: AES-256 in counter mode, then Box and Muller (1958). Counters of different
    streams (0..255) never meet.
    """
    count = side * side
    counter = bytes([stream]) + bytes(15)
    drawn = Cipher(algorithms.AES256(seed), modes.CTR(counter)).encryptor().update(bytes(8 * count))
    # 53 bits each, as a double has; the half keeps the logarithm finite
    uniform = ((np.frombuffer(drawn, "<u8") >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(uniform[0::2])), 2 * np.pi * uniform[1::2]
    normal: npt.NDArray[np.float64] = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal.reshape(side, side)
