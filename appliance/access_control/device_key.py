"""The device's signing key in its state folder: made once, and sealed under the site key."""

import logging
import secrets
from pathlib import Path

from appliance import state
from appliance.access_control.signing import SECRET_BYTES, Signer
from appliance.gallery.people import GalleryUnavailableError
from appliance.gallery.sealing import BrokenSealError, Seal
from appliance.gallery.site_key import SiteKey

log = logging.getLogger(__name__)

FILE = "signing.key"

PLACE = "device key"
"""What its seal is bound to."""


class DeviceKeyError(GalleryUnavailableError):
    """The device cannot sign; the text is one line that says why, and what to do."""


def obtain(path: Path, site_key: SiteKey) -> Signer:
    """The signer of the key in a file, which is made when it is not there. Raises DeviceKeyError."""
    seal = Seal(site_key)
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, seal.close(secrets.token_bytes(SECRET_BYTES), PLACE), 0o600)
                log.warning("%s was made: doors that know another key must learn this one (GET /access/key)", path.name)
        return Signer.of(seal.open(path.read_bytes(), PLACE))
    except OSError as error:
        raise DeviceKeyError(f"{path}: the signing key cannot be read or made: {error.strerror}") from error
    except BrokenSealError as error:
        raise DeviceKeyError(
            f"{path} is damaged, or sealed with another site key: put the right one back; or delete it, and every door "
            "must learn the new key (GET /access/key)"
        ) from error
