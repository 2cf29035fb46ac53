"""The device's signing key: made once, sealed with the site key, never replaced."""

import logging
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from appliance import state
from appliance.access.identify import GalleryHandle
from appliance.access.token import SECRET_BYTES, Signer
from appliance.faults import Fault, Problem
from appliance.gallery.people import GalleryError, GalleryUnavailableError
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

log = logging.getLogger(__name__)

SIGNING_KEY_FILE = "signing.key"

SIGNING_KEY_PLACE = "device key"
"""What its seal is bound to."""


class DeviceKeyError(GalleryUnavailableError):
    """The device cannot sign; the text is one line that gives the reason and the remedy."""


def obtain_signing_key(path: Path, site_key: SiteKey) -> Signer:
    """The signer of the key in a file, which is made when it is not there. Raises DeviceKeyError."""
    seal = Seal(site_key)
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, seal.close(secrets.token_bytes(SECRET_BYTES), SIGNING_KEY_PLACE), 0o600)
                log.warning("%s was made: doors that know another key must learn this one (GET /access/key)", path.name)
        return Signer.of(seal.open(path.read_bytes(), SIGNING_KEY_PLACE))
    except OSError as error:
        raise DeviceKeyError(f"{path}: the signing key cannot be read or made: {error.strerror}") from error
    except BrokenSealError as error:
        raise DeviceKeyError(
            f"{path} is damaged, or sealed with another site key: put the right one back; or delete it, and every door "
            "must learn the new key (GET /access/key)"
        ) from error


class SigningKey:
    """The device's signing key, sealed with the gallery's key; in a demonstration another one, made at each start, so that no
    door that trusts the device opens to a stored picture. Thread-safe.
    """

    def __init__(self, path: Path, handle: GalleryHandle, demonstration: Callable[[], bool] = lambda: False) -> None:
        self._path, self._handle, self._demonstration = path, handle, demonstration
        self._demonstrator = Signer.of(secrets.token_bytes(SECRET_BYTES))
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._logged = False

    def signer(self) -> Signer:
        """Signs as this device; the key is made on first use. Raises GalleryError, also without the gallery's key: a signing
        key is never made under another one.
        """
        self._handle.gallery()
        if self._demonstration():
            return self._demonstrator
        with self._lock:
            if self._signer is None:
                self._signer = obtain_signing_key(self._path, self._handle.site_key())
            return self._signer

    def problems(self) -> list[Problem]:
        """A damaged key, for `/healthz`. Without a gallery, or before the key is made, there is no problem."""
        try:
            self._handle.gallery()
        except (GalleryError, Fault):
            return []
        try:
            if self._path.exists() and not self._demonstration():
                self.signer()
        except GalleryError as error:
            if not self._logged:
                log.error("no decision is made: %s", error)
            self._logged = True
            return [Problem("door", "signing_key_unusable", "Decisions cannot be signed: see the log.")]
        self._logged = False
        return []
