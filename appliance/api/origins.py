"""Which requests of a browser come from this device's own pages, and through one of its own names."""

import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from appliance.faults import Fault, ResultCode

PREFLIGHT_SECONDS = 600
"""How long a browser may remember the answer to a preflight request; Chromium caps it at two hours."""

ALLOWED = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Encoding, Content-Type, X-API-Key, X-RapidAPI-Key, "
    "X-RapidAPI-Host, X-Request-Id, X-Requested-With",
    "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
}
"""The answer to a preflight request (Fetch standard, CORS protocol). No credentials: a foreign page has a key of its own."""

EXPOSED = (
    "Alchera-API-Version, Alchera-FaceSDK-Version, Retry-After, Server-Timing, "
    "X-Frame-Age, X-Frame-Sequence, X-Request-Id"
)
"""Headers that such a page may read."""

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)(?:%[A-Za-z0-9._~%-]+)?\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
"""RFC 9110, 7.2, for the names that occur: an IPv6 address, perhaps with a zone (RFC 6874), or a name or an IPv4 address."""

_NUMBER = re.compile(r"-[0-9]{1,3}$")

FOREIGN = {"cross-site", "same-site"}
"""Values of Sec-Fetch-Site for a page that is not of this origin; "same-site" is also another port of the same host."""

Environ = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origins:
    """`hosts`: names of this device beside localhost and its host name; `shared`: origins whose pages may use the API
    (`https://door.example`); `ancestors`: origins whose pages may show those of this device in a frame.
    """

    hosts: Collection[str]
    shared: Collection[str]
    ancestors: Collection[str] = ()
    own_name: str = field(default_factory=socket.gethostname)

    def check(self, environ: Environ) -> None:
        """Raises Fault INF-25 (403) for a request of a foreign page, which is also one on another port of this host, and for a
        request through a name that is not this device's.
        """
        host, origin = environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN")
        if host is not None and not self._ours(host):
            raise Fault(
                ResultCode.RESTRICTED, f"Host {host!r:.80} is no name of this device: see access.hosts", status=403
            )
        if origin is not None:
            same = host is not None and origin.lower().partition("://")[2] == host.lower()
            if origin not in self.shared and not same:
                raise Fault(ResultCode.RESTRICTED, f"Origin {origin!r:.80} is not in access.origins", status=403)
        elif environ.get("HTTP_SEC_FETCH_SITE") in FOREIGN and not self._followed(environ):
            raise Fault(ResultCode.RESTRICTED, "a foreign page", status=403)

    def preflight(self, environ: Environ) -> bool:
        """Whether this is the preflight request of a page of a shared origin."""
        asks = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        return asks and environ.get("HTTP_ORIGIN") in self.shared

    def headers(self, environ: Environ) -> list[tuple[str, str]]:
        """The headers by which the page of a shared origin may read an answer."""
        if not self.shared:
            return []
        origin = environ.get("HTTP_ORIGIN", "")
        granted = [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED)]
        return [("Vary", "Origin"), *(granted if origin in self.shared else [])]

    def _followed(self, environ: Environ) -> bool:
        """Whether the user has followed a link, or a page is shown in a frame where it may be (its policy names the pages): the
        foreign page with the link or the frame cannot read the answer.
        """
        return (
            environ["REQUEST_METHOD"] == "GET"
            and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
            and environ.get("HTTP_SEC_FETCH_DEST") in {"document", *(["iframe"] if self.ancestors else [])}
        )

    def _ours(self, host: str) -> bool:
        """A page whose own name is made to point to this device (DNS rebinding) still sends that name; it cannot send an
        address. A name on the LAN gets a number when it is taken (RFC 6762, 9): door-2.local is door.local's.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower().rstrip(".")
        known = {"localhost", *(each.lower() for each in (self.own_name, *self.hosts))}
        local = _NUMBER.sub("", name.removesuffix(".local")) if name.endswith(".local") else None
        return name in known or local in known or name.removesuffix(".local") in known or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
