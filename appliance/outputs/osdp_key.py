"""The key that an access panel has set in this reader, sealed in the state folder; and the request to accept one."""

import time
from collections.abc import Callable
from pathlib import Path

from appliance import state
from appliance.faults import Fault
from appliance.gallery.people import GalleryError
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

KEY_FILE, REQUEST_FILE = "osdp.key", "osdp_pairing.json"
"""In the state folder."""

_PLACE = "osdp key"
"""What the key's seal is bound to."""


class KeyUnavailableError(Exception):
    """The key cannot be read or kept; the text is one line that gives the reason."""


def request_pairing(folder: Path, minutes: float) -> None:
    """Asks the running device to accept a key for so many minutes. Raises OSError."""
    state.write_document(folder / REQUEST_FILE, {"seconds": minutes * 60, "time": time.time()})


class PanelKey:
    """Used by one thread."""

    def __init__(self, folder: Path, site_key: Callable[[], SiteKey]) -> None:
        """`site_key` returns the key of the gallery, or raises GalleryError or Fault."""
        self._folder, self._site_key = folder, site_key

    def read(self) -> bytes | None:
        """The key; None before the first pairing. Raises KeyUnavailableError."""
        path = self._folder / KEY_FILE
        try:
            return self._seal().open(path.read_bytes(), _PLACE) if path.exists() else None
        except OSError as error:
            raise KeyUnavailableError(f"{path}: {error.strerror}") from error
        except BrokenSealError as error:
            raise KeyUnavailableError(
                f"{path} is damaged, or sealed with another site key: delete it and pair again"
            ) from error

    def keep(self, key: bytes) -> None:
        """Replaces the key. Raises KeyUnavailableError."""
        try:
            state.write_atomically(self._folder / KEY_FILE, self._seal().close(key, _PLACE), 0o600)
        except OSError as error:
            raise KeyUnavailableError(f"{self._folder / KEY_FILE}: {error.strerror}") from error

    def requested(self) -> float | None:
        """For how many seconds pairing was requested, once; None without a request that is still valid."""
        path = self._folder / REQUEST_FILE
        try:
            request = state.read_document(path)
            path.unlink()
        except (OSError, state.DamagedError):
            return None
        age = time.time() - request["time"]
        return request["seconds"] - age if 0 <= age < request["seconds"] else None

    def _seal(self) -> Seal:
        try:
            return Seal(self._site_key())
        except (GalleryError, Fault) as error:
            raise KeyUnavailableError(str(error)) from error
