"""Which of a browser's requests are its user's own: not those of a page from elsewhere, and not those to a foreign name."""

import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from appliance.faults import Fault, ResultCode

PREFLIGHT_SECONDS = 600
"""How long a browser may remember what it was allowed: the most that Chromium grants is two hours."""

ALLOWED = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-API-Key, X-RapidAPI-Key, X-RapidAPI-Host, X-Request-Id",
    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
}
"""The answer to a preflight request (Fetch standard, CORS protocol); no credentials: a foreign page has its own key."""

EXPOSED = (
    "Alchera-API-Version, Alchera-FaceSDK-Version, Retry-After, Server-Timing, "
    "X-Frame-Age, X-Frame-Sequence, X-Request-Id"
)
"""Headers that such a page may read."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
"""RFC 9110, 7.2, of the names that there are in practice."""

Environ = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origins:
    """`hosts`: names of this device beside those it knows; `shared`: origins whose pages may ask (`https://door.example`)."""

    hosts: Collection[str]
    shared: Collection[str]
    own_name: str = field(default_factory=socket.gethostname)

    def check(self, environ: Environ) -> None:
        """Raises Fault INF-25 (403) for a request that a page from elsewhere has made, or through a name that is not ours."""
        host, origin = environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")
        if host is not None and not self._ours(host):
            raise Fault(ResultCode.RESTRICTED, f"Host {host!r} is no name of this device: see access.hosts", status=403)
        if origin is not None:
            if origin not in self.shared and not _same(origin, host):
                raise Fault(ResultCode.RESTRICTED, f"Origin {origin!r} is not in access.origins", status=403)
        elif environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and not _followed(environ):
            raise Fault(ResultCode.RESTRICTED, "a page from elsewhere", status=403)

    def preflight(self, environ: Environ) -> bool:
        """Whether a browser asks if a page of a shared origin may ask."""
        asks = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        return asks and environ.get("HTTP_ORIGIN") in self.shared

    def headers(self, environ: Environ) -> list[tuple[str, str]]:
        """What an answer carries so that the page of a shared origin may read it."""
        if not self.shared:
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        granted = [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]
        return [("Vary", "Origin"), *(granted if origin in self.shared else [])]

    def _ours(self, host: str) -> bool:
        """A page that makes its own name point to this device still sends that name (DNS rebinding); it cannot send an
        address.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().rstrip(".")
        known = {"localhost", self.own_name.lower(), *(each.lower() for each in self.hosts)}
        return name in known or name.endswith(".local") or _is_address(name.strip("[]"))


def _same(origin: str, host: str | None) -> bool:
    return host is not None and origin.lower().partition("://")[2] == host.lower()


def _followed(environ: Environ) -> bool:
    """Whether a person has followed a link from elsewhere: the page that it stood on does not see the answer."""
    return (
        environ["REQUEST_METHOD"] == "GET"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
