"""Which device this is: an id that stays, and the board; nothing that leads to its owner."""

import base64
import hashlib
import hmac
import logging
import platform
import re
import secrets
import ssl
from pathlib import Path

log = logging.getLogger(__name__)

MACHINE_ID = Path("/etc/machine-id")

DEVICE_TREE = Path("/sys/firmware/devicetree/base")
"""What /proc/device-tree points to; it stays visible when systemd hides the rest of /proc."""

_KEY = b"face-appliance device id 1"
"""machine-id(5) is not to be shown to the network: only a keyed hash of it, which leads to no other program's."""

_DIGITS = 12


def device_id(folder: Path, machine_id: Path = MACHINE_ID, device_tree: Path = DEVICE_TREE) -> str:
    """Twelve hexadecimal digits: of the installation and the board, so that a copied card on another board has others.

    Without a machine id they are random, and kept in `folder` if that is possible.
    """
    installation = _read(machine_id)
    if re.fullmatch("[0-9a-f]{32}", installation):
        message = f"{installation} {_read(device_tree / 'serial-number')}"
        return hmac.digest(_KEY, message.encode(), hashlib.sha256).hex()[:_DIGITS]
    kept = folder / "device-id"
    digits = _read(kept)
    if not re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", digits):
        digits = secrets.token_hex(_DIGITS // 2)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept.write_text(f"{digits}\n", "ascii")
        except OSError as error:
            log.warning("the device has another id after the next start: %s", error)
    return digits


def board(device_tree: Path = DEVICE_TREE) -> str:
    """Such as "Raspberry Pi 5 Model B Rev 1.0"; the architecture of a machine that does not say."""
    return _read(device_tree / "model") or platform.machine()


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate (PEM), base64url without padding, by which clients may pin it. Raises OSError, ValueError."""
    content = ssl.PEM_cert_to_DER_cert(certificate.read_text("ascii"))
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _read(path: Path) -> str:
    """The text of a small file without the blanks and the NUL at its end; empty when it is not there."""
    try:
        return path.read_text("utf-8", "replace").rstrip("\0 \n")
    except OSError:
        return ""
