"""The device: a permanent id that does not lead to its owner, the board, the certificate's fingerprint."""

import base64
import hashlib
import hmac
import logging
import platform
import re
import secrets
import ssl
from pathlib import Path

from appliance import state
from appliance.faults import Problem

log = logging.getLogger(__name__)

MACHINE_ID = Path("/etc/machine-id")

DEVICE_TREE = Path("/sys/firmware/devicetree/base")
"""The target of /proc/device-tree; visible even if systemd hides /proc."""

_KEY = b"face-appliance device id 1"
"""machine-id(5) must not be sent to the network, except as a keyed hash, which differs from those of other programs."""

_DIGITS = 12

FILE = "device-id"


def device_id(folder: Path, machine_id: Path = MACHINE_ID, device_tree: Path = DEVICE_TREE) -> str:
    """Twelve hexadecimal digits of the installation and the board: a copied card on another board has another id. Without a
    machine id they are random, and stored in `folder` if that is possible.
    """
    installation = _read(machine_id)
    if re.fullmatch("[0-9a-f]{32}", installation):
        message = f"{installation} {_read(device_tree / 'serial-number')}"
        return hmac.digest(_KEY, message.encode(), hashlib.sha256).hex()[:_DIGITS]
    digits = _stored(folder)[:_DIGITS]
    if not re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", digits):
        digits = secrets.token_hex(_DIGITS // 2)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            state.write_atomically(folder / FILE, f"{digits} {_check(digits)}\n".encode(), 0o644)
        except OSError as error:
            log.warning("the device id will change at the next start, because it cannot be stored: %s", error)
    return digits


def problems(folder: Path) -> list[Problem]:
    """Whether the stored device id, which may be in use, is damaged."""
    text = _stored(folder)
    digits = text[:_DIGITS]
    if state.misnamed(folder / FILE) or text not in (digits, f"{digits} {_check(digits)}"):
        return [Problem("device_id", "device_id_damaged", f"The file {FILE} in the state folder is damaged.")]
    return []


def _stored(folder: Path) -> str:
    return _read(folder / FILE) or _read(state.misnamed(folder / FILE) or folder / FILE)


def _check(digits: str) -> str:
    """Tells a damaged id from another one."""
    return hashlib.sha256(digits.encode()).hexdigest()[:4]


def board(device_tree: Path = DEVICE_TREE) -> str:
    """Such as "Raspberry Pi 5 Model B Rev 1.0"; the architecture if the board is unknown."""
    return _read(device_tree / "model") or platform.machine()


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate (PEM), base64url without padding, for clients that pin it. Raises OSError, ValueError."""
    content = ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def front_fingerprint(certificate: Path | None) -> str | None:
    """The same for the TLS front; None without a certificate, or with one that cannot be read, which is logged."""
    try:
        return fingerprint(certificate) if certificate else None
    except (OSError, ValueError) as error:
        log.warning("no TLS front is announced: server.front_certificate: %s", error)
        return None


def _read(path: Path) -> str:
    """The text of a small file without trailing blanks and NULs; empty if it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").rstrip("\0 \n")
    except OSError:
        return ""
