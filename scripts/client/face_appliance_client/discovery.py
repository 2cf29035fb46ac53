"""The devices on the LAN, by multicast DNS."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field

SERVICE = "_faceapi._tcp.local."

RESOLVE_MS = 500
"""How much longer a device may take to answer with its address."""


@dataclass(frozen=True)
class Announced:
    """A device as it describes itself. Any program on the LAN can announce anything: only the certificate proves a device."""

    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    txt: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address for HTTP."""
        host = self.addresses[0] if self.addresses else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def fingerprint(self) -> str | None:
        """The announced fingerprint of its certificate, to be compared with the one that the installer printed."""
        return self.txt.get("fp")

    @property
    def fleet(self) -> str | None:
        """The id of its fleet: devices with the same one share their people."""
        return self.txt.get("fleet")


def discover(seconds: float = 2.0) -> list[Announced]:
    """The devices that answer within so many seconds, by name. This takes zeroconf: `face-appliance-client[discovery]`."""
    from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf

    names: set[str] = set()

    def changed(name: str, state_change: ServiceStateChange, **_: object) -> None:
        (names.discard if state_change is ServiceStateChange.Removed else names.add)(name)

    with closing(Zeroconf()) as querier:
        browser = ServiceBrowser(querier, SERVICE, handlers=[changed])
        time.sleep(seconds)
        browser.cancel()
        found = [querier.get_service_info(SERVICE, name, RESOLVE_MS) for name in sorted(names)]
    return [
        Announced(
            info.name[: -len(SERVICE) - 1],
            (info.server or "").rstrip("."),
            tuple(info.parsed_scoped_addresses()),
            info.port or 0,
            {_text(key): _text(value or b"") for key, value in info.properties.items()},
        )
        for info in found
        if info is not None
    ]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
