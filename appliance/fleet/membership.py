"""What makes this device a member of a fleet: its file in the state folder, sealed with the site key."""

import base64
import json
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from appliance import state
from appliance.faults import ReportedError
from appliance.fleet.sealing import FleetKeys
from appliance.gallery.vault import KEY_BYTES, BrokenSealError, Seal, SiteKey

FILE = "fleet.json"
"""In the state folder."""

URL = re.compile(r"(nats|tls)://[A-Za-z0-9.-]+(:[0-9]{1,5})?|(nats|tls)://\[[0-9a-f:]+\](:[0-9]{1,5})?")

_PLACE = "fleet"
"""What the file's seal is bound to."""


class FleetError(ReportedError):
    """The device cannot take part in a fleet; the text is one line that says why and what to do."""


class NoFleetError(FleetError):
    """This device is in no fleet."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The URLs of a fleet's servers, and its keys."""

    urls: tuple[str, ...]
    keys: FleetKeys = field(repr=False)

    @classmethod
    def new(cls, urls: tuple[str, ...]) -> Self:
        """The first membership of a new fleet. Raises FleetError for an invalid URL."""
        check_urls(urls)
        return cls(urls, FleetKeys(secrets.token_hex(6), (secrets.token_bytes(KEY_BYTES),)))

    @classmethod
    def unpack(cls, content: bytes) -> Self:
        """From what `pack` returns. Raises ValueError, KeyError or TypeError."""
        found = json.loads(content)
        generations = tuple(base64.b64decode(secret) for secret in found["secrets"])
        ends = tuple((str(made), int(position)) for made, position in found.get("ends", ()))
        return cls(tuple(found["urls"]), FleetKeys(found["id"], generations, ends))

    def pack(self) -> bytes:
        """The membership in clear; it is sealed wherever it goes."""
        generations = [base64.b64encode(secret).decode() for secret in self.keys.secrets]
        keys = {"id": self.keys.id, "secrets": generations, "ends": self.keys.ends}
        return json.dumps({"urls": self.urls, **keys}).encode()


def check_urls(urls: tuple[str, ...]) -> None:
    """Raises FleetError unless each is the URL of a NATS server."""
    if not urls or not all(URL.fullmatch(url) for url in urls):
        raise FleetError("a server is nats://HOST:PORT, or tls://HOST:PORT; several are separated by commas")


def read_membership(folder: Path, site_key: SiteKey) -> Membership:
    """Returns the membership that is kept in the state folder. Raises NoFleetError, FleetError."""
    path = folder / FILE
    try:
        sealed = base64.b64decode(state.read_document(path)["sealed"])
        return Membership.unpack(Seal(site_key).open(sealed, _PLACE))
    except FileNotFoundError as error:
        raise NoFleetError("this device is in no fleet: `appliance fleet create` or `appliance fleet join`") from error
    except OSError as error:
        raise FleetError(f"{path}: {error.strerror}") from error
    except (BrokenSealError, state.DamagedError, ValueError, KeyError, TypeError) as error:
        raise FleetError(
            f"{path} is damaged, or sealed with another site key: put the right one back, or leave the fleet and join again"
        ) from error


def fleet_id(folder: Path) -> str | None:
    """Returns the id of the fleet whose membership is kept in the state folder; None if there is none."""
    try:
        found = state.read_document(folder / FILE)["fleet"]
    except (OSError, state.DamagedError, KeyError):
        return None
    return found if isinstance(found, str) else None


def write_membership(folder: Path, site_key: SiteKey, membership: Membership) -> None:
    """Keeps a membership in the state folder. Raises OSError."""
    sealed = Seal(site_key).close(membership.pack(), _PLACE)
    state.write_document(folder / FILE, {"fleet": membership.keys.id, "sealed": base64.b64encode(sealed).decode()})
