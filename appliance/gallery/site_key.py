"""The site key, under which a device seals what it knows of people; it is kept apart from what it seals."""

import os
import re
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance import state
from appliance.gallery.people import NoKeyError

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


def find(configured: Path | None, system_file: Path = SYSTEM_FILE) -> Path:
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


def read(path: Path) -> SiteKey:
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


def make(path: Path) -> SiteKey:
    """Makes a key, or reads the one that another process made meanwhile. Raises NoKeyError."""
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, secrets.token_hex(KEY_BYTES).encode() + b"\n", 0o600)
    except OSError as error:
        raise NoKeyError(
            f"{path}: no site key can be made there: {error.strerror}; name another gallery.key_file"
        ) from error
    return read(path)


def obtain(path: Path, database: Path) -> SiteKey:
    """The key of a file, which is made only when there is nothing yet that it could have sealed. Raises NoKeyError."""
    if path.exists() or not database.exists():
        return make(path) if not path.exists() else read(path)
    raise NoKeyError(
        f"{path} is missing, and {database.name} was sealed with it: put it back, or name it as gallery.key_file"
    )


def _forbidden(path: Path) -> int:
    """The rights nobody may have. For a credential, systemd lets the service's user in by an access list, whose mask shows
    as the group's rights (acl(5)).
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o007 if folder and path.parent == Path(folder) else 0o077
