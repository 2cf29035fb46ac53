"""waitress around the app: bounds on what a client may cost, documented answers to broken HTTP, a clean stop."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher

from appliance.api.connections import Connections
from appliance.api.intake import Intake
from appliance.api.wire import DRAINED, Channel, FrontListener, Ledger, Listener

STOP_SECONDS = 4.0
"""How long answers in flight may take at the stop; the whole stop has five seconds."""

SPARE_THREADS = 8
"""Worker threads beyond engines and queue: they refuse surplus requests at once."""

SURPLUS = 64
"""Sockets beyond the connections: listeners, triggers, and connections that are about to be closed."""

IDLE_SECONDS = 60
"""A connection without a byte for this long is closed; clients give up after 30 s."""

BODIES = 8
"""Bytes of all bodies in memory, in units of the limit of one; a request beyond that is read, thrown away and answered 503."""

HEADER_BYTES = 64 * 1024
"""Largest request header; browsers and proxies stay below 16 KiB."""

_IN_MEMORY = 1 << 40
"""Bytes from which waitress would move a buffer to a temporary file: never."""


FRONT_HOST = "127.0.0.1"
"""Where the TLS front connects: a client that reaches this port may claim any address."""


class ExposedError(Exception):
    """Other devices would reach a server that is to be private."""


class HttpServer:
    """Serves a WSGI application on one address, and on the port of its TLS front, until it is stopped."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        host: str,
        port: int,
        *,
        workers: int,
        intake: Intake,
        connections: int,
        connections_without_key: int,
        refused: Callable[[int, str], None],
        known: Callable[[dict[str, Any]], bool],
        base_path: str = "",
        front_port: int | None = None,
        private: bool = False,
    ) -> None:
        """Binds and listens at once; answers from `run` on. There are at most `connections`, of which one address has
        at most `connections_without_key`. `refused` is called with status and code of each request that does not reach the
        app; `known` returns, by the head of a request, whether it needs no key or has a valid one. `base_path` is cut off
        the paths that begin with it. Raises OSError when an address cannot be had, and ExposedError, when the server is to be
        `private`, for one that other devices reach.
        """
        adjustments = Adjustments(
            host="*" if host == "::" else host,  # waitress binds :: to IPv6 alone; all addresses are meant
            port=port,
            threads=workers + SPARE_THREADS,
            ident=None,
            url_prefix=base_path,
            max_request_body_size=intake.max_body * DRAINED,
            max_request_header_size=HEADER_BYTES,
            inbuf_overflow=_IN_MEMORY,
            outbuf_overflow=_IN_MEMORY,
            outbuf_high_watermark=_IN_MEMORY,
            recv_bytes=65_536,
            connection_limit=connections + SURPLUS,
            backlog=1024,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=10,
            channel_request_lookahead=0,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
        )
        addresses = [ip_address(info[3][0].partition("%")[0]) for info in adjustments.listen]
        if private and not all(address.is_loopback for address in addresses):
            raise ExposedError(host)
        self._sockets: dict[int, Any] = {}
        self._connections = Connections(self._sockets, Channel, connections, connections_without_key)
        adjustments.connections = self._connections
        adjustments.ledger = Ledger(intake.max_body * BODIES, self._connections.make_room)
        adjustments.refused, adjustments.known, adjustments.explained = refused, known, intake.explained
        self._dispatcher = ThreadedTaskDispatcher()
        self._listeners: list[Listener] = []
        for family, kind, protocol, (address, *rest) in adjustments.listen:
            taken = self.port if self._listeners else rest[0]
            info = (family, kind, protocol, (address, taken, *rest[1:]))
            self._listeners.append(
                Listener(app, self._sockets, dispatcher=self._dispatcher, adj=adjustments, sockinfo=info)
            )
        if front_port is not None:
            self._listeners.append(self._front(app, adjustments, front_port))
        self._dispatcher.set_thread_count(adjustments.threads)
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        return int(self._listeners[0].effective_port)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses it listens on, without that for the TLS front."""
        return tuple(
            str(listener.effective_host) for listener in self._listeners if not isinstance(listener, FrontListener)
        )

    @property
    def front_port(self) -> int:
        """The port for the TLS front; the server's own port without one."""
        return int(self._listeners[-1].effective_port)

    @property
    def full(self) -> bool:
        return self._connections.full

    def run(self) -> None:
        """Serves until `stop`; then finishes answers in flight, at most for STOP_SECONDS."""
        while not self._stopping.is_set():
            wasyncore.poll2(1.0, self._sockets)
        self._woken.wait()  # or `stop` would pull a trigger that is closed already
        for listener in self._listeners:
            listener.accepting = False
            wasyncore.dispatcher.close(listener)
        deadline = time.monotonic() + STOP_SECONDS
        while self._busy() and time.monotonic() < deadline:
            wasyncore.poll2(0.05, self._sockets)
        self._dispatcher.shutdown(timeout=0.5)
        wasyncore.close_all(self._sockets, ignore_all=True)
        self._stopped.set()

    def stop(self) -> None:
        """Ends `run` from another thread and waits until it has ended."""
        self._stopping.set()
        self._listeners[0].pull_trigger()  # wakes the loop of all
        self._woken.set()
        self._stopped.wait(STOP_SECONDS + 1)

    def _front(self, app: Callable[..., Iterable[bytes]], adjustments: Adjustments, port: int) -> FrontListener:
        info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, (FRONT_HOST, port))
        try:
            return FrontListener(app, self._sockets, dispatcher=self._dispatcher, adj=adjustments, sockinfo=info)
        except OSError as error:
            raise OSError(error.errno, f"front_port {port}: {error.strerror}") from error

    def _busy(self) -> bool:
        """Whether an answer is being worked on or has not been sent in full."""
        return any(
            channel.requests or channel.total_outbufs_len
            for channel in list(self._sockets.values())
            if isinstance(channel, HTTPChannel)
        )
