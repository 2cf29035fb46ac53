"""How a request arrives: waitress's parser and connection, with bodies in memory, bounded, and documented refusals."""

import fcntl
import logging
import re
import secrets
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable
from functools import partial
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from appliance.api import answers
from appliance.api.app import own_headers, shown
from appliance.api.connections import Peer
from appliance.api.intake import EMPTY_BODY
from appliance.faults import Fault, ResultCode

LONGEST = 107
"""Bytes of a PROXY line with its CRLF (PROXY protocol, version 1)."""

FAMILIES: dict[bytes, type[IPv4Address | IPv6Address]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}

_LINE = re.compile(rb"PROXY (TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})")


def client_of(line: bytes) -> tuple[str, int] | None:
    """The client's address and port in a PROXY line without its CRLF; None for any other line, also `PROXY UNKNOWN`. A client
    that reached an IPv6 socket by IPv4 (::ffff:192.0.2.7, RFC 4291) has its IPv4 address.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    family = FAMILIES[found[1]]
    try:
        client, _ = family(found[2].decode()), family(found[3].decode())
    except ValueError:
        return None
    if isinstance(client, IPv6Address):
        client = client.ipv4_mapped or client
    ports = [int(port) for port in found.group(4, 5)]
    return (str(client), ports[0]) if max(ports) <= 65_535 else None


log = logging.getLogger(__name__)

DRAINED = 8
"""A body up to this many times the limit is read and thrown away, so that its connection stays usable; beyond it the
connection is closed after the answer."""

PREFACE = b"PROXY "

NOT_HTTP = (b"\x16", PREFACE, b"\r\n\r\n\0\r\nQUIT\n")
"""How a TLS handshake (RFC 8446, 5.1) and the PROXY protocol (versions 1 and 2) begin: they would wait for an answer that does
not come.
"""

FRAMING = {b"content-length", b"transfer-encoding"}
"""The headers that determine where a request ends."""

REQUEST_SECONDS = 120
"""Longest time for a request to arrive: 8 MiB take this long on a link of 70 kB/s."""


TCP_CLOSE = 7
"""State of a connection that the client has reset (linux/include/net/tcp_states.h), the first byte of `struct tcp_info`."""


class Overloaded(Error):
    """The bodies of other requests fill the memory."""

    code = 503
    reason = "Service Unavailable"


class Ledger:
    """Counts the bytes of all request bodies in memory, up to a limit. Used by the server's own thread and by workers."""

    def __init__(self, limit: int, make_room: Callable[[], bool] = bool) -> None:
        """`make_room` is called when there is no room: it returns whether it has given bytes back."""
        self._limit, self._make_room = limit, make_room
        self._held = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was room for `size` more bytes, which are then held. Only for the server's own thread, which may
        have to make room.
        """
        while not self.take_free(size):
            if not self._make_room():
                return False
        return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self._held -= size

    def take_free(self, size: int) -> bool:
        """The same without making room, for workers: the server's thread may be adding to what would be closed."""
        with self._lock:
            if self._held + size > self._limit:
                return False
            self._held += size
            return True


NOTHING = Ledger(0)
"""For the bodies of clients without a key, who could fill the other one."""


class Body:
    """A request body in memory, up to a limit; what comes beyond it is counted and thrown away."""

    def __init__(self, limit: int, ledger: Ledger, *, makes_room: bool = True) -> None:
        """`makes_room` is for bodies that the server's own thread receives."""
        self._limit = limit
        self._ledger = ledger
        self._take = ledger.take if makes_room else ledger.take_free
        self._kept = BytesIO()
        self.begun, self.held, self.received = time.monotonic(), 0, 0
        self.overloaded = False

    @property
    def too_large(self) -> bool:
        return self.received > self._limit

    def append(self, data: bytes) -> None:
        self.received += len(data)
        if not (self.too_large or self.overloaded or self._take(len(data))):
            self.overloaded = True
        if self.too_large or self.overloaded:
            self.close()
        else:
            self.held += len(data)
            self._kept.write(data)

    def __len__(self) -> int:
        return self.received

    def getfile(self) -> BytesIO:
        self._kept.seek(0)
        return self._kept

    def close(self) -> None:
        """Forgets the bytes; also when a connection ends before its request does."""
        self._ledger.give_back(self.held)
        self.held = 0
        self._kept = BytesIO()

    __del__ = close


class Parser(HTTPRequestParser):
    """Keeps bodies in memory, and reads a body that is too large to its end so that the answer reaches the client."""

    def __init__(self, adj: Adjustments, peer: Peer) -> None:
        super().__init__(adj)
        self.begun = time.monotonic()
        self._peer = peer

    known = True
    """Whether the body is kept; that of a client without a key is read and thrown away, since the answer will be 401."""

    drained = False
    """Whether a refused request has been read to its end, so that the connection can be used again."""

    path = ""
    """The path until one is read: waitress logs it when the client has left, even before there was one."""

    def parse_header(self, header_plus: bytes) -> None:
        _check_framing(header_plus)
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a URI like http://[, a length of thousands of digits
            raise ParsingError(str(error)) from error
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        fields = {f"HTTP_{name}": value for name, value in self.headers.items()}
        path = self.path.removeprefix(self.adj.url_prefix)
        self.known = self.adj.known({**fields, "REMOTE_ADDR": self._peer.address, "PATH_INFO": path})
        self._peer.known |= self.known
        if self.body_rcv is None:
            return
        limit = self.adj.max_request_body_size // DRAINED
        self.body_rcv.buf = Body(limit, self.adj.ledger if self.known else NOTHING)
        if self.expect_continue and self.content_length > limit:
            self.expect_continue: bool = False
            self.error = RequestEntityTooLarge("announced with Expect")

    def received(self, data: bytes) -> int:
        if self.body_rcv is None and (self.header_plus + data).startswith(NOT_HTTP):
            self.error, self.completed = BadRequest("TLS, or a PROXY line, at a port for HTTP"), True
            return len(data)
        consumed: int = super().received(data)
        if self.error is not None:
            self.completed = True
        elif self.completed and self.body_rcv is not None and self.body_rcv.buf.too_large:
            self.error = RequestEntityTooLarge("read and thrown away")
            self.drained = True
        elif self.completed and self.body_rcv is not None and self.body_rcv.buf.overloaded and self.known:
            self.error = Overloaded("other bodies fill the memory")
            self.drained = True
        if self.completed:
            self.expect_continue = False  # nothing is to come; waitress would ask for it and wait
        return consumed


def _check_framing(head: bytes) -> None:
    """Raises ParsingError for a head in which another server in front of this one may see another request (RFC 9112, 6.3 and
    5.2): two lengths, a folded line, a length whose name is nearly right.
    """
    lines = head.split(b"\r\n")[1:]
    names = [line.partition(b":")[0].lower() for line in lines]
    if any(line.startswith((b" ", b"\t")) for line in lines):
        raise ParsingError("folded header")
    if sum(name in FRAMING for name in names) > 1:
        raise ParsingError("more than one Content-Length or Transfer-Encoding")
    if any(name not in FRAMING and name.replace(b"_", b"-").strip() in FRAMING for name in names):
        raise ParsingError("malformed Content-Length or Transfer-Encoding")
    if any(line.lower().startswith(b"transfer-encoding:") and line.count(b",") for line in lines):
        raise ParsingError("more than one transfer coding")


class Task(WSGITask):
    """A request for the app. Its environment has the number of bytes that wait for the client, and the scheme."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        self.request.path = shown(self.request.path)  # from here on it is for waitress's log, when the client has left
        # not of self, which keeps environ: a circle would keep the body until Python looks for circles
        environ["appliance.unsent"] = self.channel.unsent
        environ["wsgi.url_scheme"] = self.channel.scheme
        adj = self.channel.adj
        environ[EMPTY_BODY] = partial(Body, adj.max_request_body_size // DRAINED, adj.ledger, makes_room=False)
        return environ


class RefusalTask(ErrorTask):
    """The answer to a request that never reaches the app: INF-01 with waitress's status, and our headers."""

    def execute(self) -> None:
        path = self.request.path.removeprefix(self.channel.adj.url_prefix)
        fault = self.channel.adj.explained(_fault(self.request.error.code), path)
        response = answers.failure(fault)
        self.channel.adj.refused(fault.status, fault.code.text)
        request_id = secrets.token_hex(8)
        log.info(
            "%s %.200r id=%s from=%s", response.status_line, self.request.error.body, request_id, self.channel.addr[0]
        )
        self.status = response.status_line
        self.response_headers = [
            *response.headers.items(),
            *own_headers(request_id),
            ("Server-Timing", "total;dur=0.00"),
        ]
        self.content_length = len(response.body)
        if not getattr(self.request, "drained", False):
            self.set_close_on_finish()
        self.write(response.body)


def _fault(status: int) -> Fault:
    """The contract's fault for a refusal by waitress: an unknown transfer coding (501) is a broken request, too."""
    if status == 503:
        return Fault(ResultCode.NOT_READY, status=status, retry_after=1)
    if status == 500:
        return Fault(ResultCode.NOT_READY)
    return Fault(ResultCode.INVALID_BODY, status=400 if status == 501 else status)


class Channel(HTTPChannel):
    """A connection."""

    task_class = Task
    error_task_class = RefusalTask
    scheme = "http"

    def __init__(self, server: "Listener", sock: socket.socket, addr: Any, adj: Adjustments, map: Any = None) -> None:  # noqa: A002 - waitress's own name
        self.identify(addr[0], adj)
        super().__init__(server, sock, addr, adj, map)

    def identify(self, address: str, adj: Adjustments) -> None:
        self.peer = Peer(address, adj.known({"REMOTE_ADDR": address}))

    def parser_class(self, adj: Adjustments) -> Parser:
        return Parser(adj, self.peer)

    @property
    def closing(self) -> bool:
        return bool(self.will_close or not self.connected)

    @property
    def idle_since(self) -> float | None:
        """When its unfinished request began, or it was opened or last active (`time.monotonic`); None while a request is
        answered.
        """
        request = self.request
        if self.requests or self.total_outbufs_len:
            return None
        idle = time.time() - self.last_activity
        return float(request.begun if request else time.monotonic() - idle)

    @property
    def upload(self) -> Body | None:
        body_rcv = self.request and self.request.body_rcv
        return body_rcv.buf if body_rcv and isinstance(body_rcv.buf, Body) else None

    def drop(self) -> None:
        self.will_close = True

    def unsent(self) -> int:
        """Bytes of answers that the client's computer has not confirmed: some here, megabytes at times in the kernel. 0 when
        the connection is closed, which the next write finds out.
        """
        connection = self.socket
        if connection is None:
            return 0
        try:
            waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            state = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except (OSError, ValueError):  # closed meanwhile
            return 0
        return 0 if state == TCP_CLOSE else int(self.total_outbufs_len) + int.from_bytes(waiting, sys.byteorder)


class FrontChannel(Channel):
    """A connection of the TLS front, which begins with a PROXY line that has the client's address."""

    scheme = "https"
    _preface: bytes | None = b""
    """The part of that line that has arrived; None after it."""

    def received(self, data: bytes) -> bool:
        if self._preface is None:
            return bool(super().received(data))
        self._preface += data
        line, end, rest = self._preface.partition(b"\r\n")
        client = client_of(line) if end else None
        if client is not None:
            self.addr, self._preface = client, None
            self.identify(client[0], self.adj)
            self.adj.connections.admit(self)
            return bool(super().received(rest))
        if end or len(self._preface) >= LONGEST or not PREFACE.startswith(self._preface[: len(PREFACE)]):
            log.info("a connection to the front port does not begin with a PROXY line")
            return bool(super().received(PREFACE))  # which no request begins with: it is refused and closed
        return False


class Listener(TcpWSGIServer):
    """A listening socket."""

    channel_class = Channel

    def handle_accept(self) -> None:
        before = len(self.active_channels)
        super().handle_accept()
        if len(self.active_channels) > before:
            self.adj.connections.admit(next(reversed(self.active_channels.values())))

    def maintenance(self, now: float) -> None:
        """Closes connections that are idle, and those whose request has not arrived in time."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.request is not None and time.monotonic() - channel.request.begun > REQUEST_SECONDS:
                channel.will_close = True


class FrontListener(Listener):
    """The listening socket for the TLS front."""

    channel_class = FrontChannel
