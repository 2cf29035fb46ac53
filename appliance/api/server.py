"""waitress around the app: bounds on what a client may cost, documented answers to broken HTTP, a clean stop."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher
from waitress.utilities import RequestEntityTooLarge

from appliance.api import answers
from appliance.api.app import own_headers
from appliance.faults import Fault, ResultCode

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long answers in flight may take at the stop; systemd's and the architecture's bound."""

DRAINED = 8
"""A body up to this many times the limit is read and thrown away, so that its connection stays usable; beyond it the
connection is closed after the answer."""

SPARE_THREADS = 8
"""Worker threads beyond engines and queue: they turn surplus requests away at once."""

IDLE_SECONDS = 60
"""A connection without a byte for this long is closed; clients give up after 30 s."""

HEADER_BYTES = 64 * 1024
"""Largest request header; browsers and proxies stay below 16 KiB."""

_IN_MEMORY = 1 << 40
"""Bytes from which waitress would move a buffer to a temporary file: never."""


class Body:
    """A request body in memory, up to a limit; what comes beyond it is counted and forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._received = 0

    @property
    def too_large(self) -> bool:
        return self._received > self._limit

    def append(self, data: bytes) -> None:
        self._received += len(data)
        if self.too_large:
            self._kept.clear()
        else:
            self._kept += data

    def __len__(self) -> int:
        return self._received

    def getfile(self) -> BytesIO:
        return BytesIO(bytes(self._kept))

    def close(self) -> None:
        self._kept.clear()


class Parser(HTTPRequestParser):
    """Keeps bodies in memory, and reads past one that is too large so that the answer reaches its sender."""

    drained = False
    """Whether a request that is refused has been read to its end, so that the connection can go on."""

    path = ""
    """Until one is read; waitress logs the path of a request whose client has left, even of one that never had any."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a URI like http://[, a length of thousands of digits
            raise ParsingError(str(error)) from error
        if self.body_rcv is None:
            return
        limit = self.adj.max_request_body_size // DRAINED
        self.body_rcv.buf = Body(limit)
        if self.expect_continue and self.content_length > limit:
            self.expect_continue: bool = False
            self.error = RequestEntityTooLarge("announced with Expect")

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self.error is not None:
            self.completed = True
        elif self.completed and self.body_rcv is not None and self.body_rcv.buf.too_large:
            self.error = RequestEntityTooLarge("read and thrown away")
            self.drained = True
        if self.completed:
            self.expect_continue = False  # nothing is to come; waitress would ask for it and wait
        return consumed


class Refusal(ErrorTask):
    """The answer to a request that never reaches the app: INF-01 with waitress's status, and our headers."""

    def execute(self) -> None:
        code = ResultCode.INVALID_BODY if self.request.error.code < 500 else ResultCode.NOT_READY
        status = 400 if self.request.error.code == 501 else self.request.error.code
        response = answers.failure(Fault(code if status != 400 else ResultCode.INVALID_BODY, status=status))
        request_id = secrets.token_hex(8)
        log.info("%s %r id=%s from=%s", response.status, self.request.error.body, request_id, self.channel.addr[0])
        self.status = response.status
        self.response_headers = [*response.headerlist, *own_headers(request_id), ("Server-Timing", "total;dur=0.00")]
        self.content_length = len(response.body)
        if not getattr(self.request, "drained", False):
            self.set_close_on_finish()
        self.write(response.body)


class Channel(HTTPChannel):
    """A connection."""

    parser_class = Parser
    error_task_class = Refusal


class Listener(TcpWSGIServer):
    """A listening socket."""

    channel_class = Channel


class HttpServer:
    """Serves a WSGI application on one address until it is stopped."""

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        host: str,
        port: int,
        *,
        workers: int,
        max_body: int,
        connections: int,
    ) -> None:
        """Binds and listens at once; answers from `run` on. Raises OSError when the address cannot be had."""
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=workers + SPARE_THREADS,
            ident=None,
            max_request_body_size=max_body * DRAINED,
            max_request_header_size=HEADER_BYTES,
            inbuf_overflow=_IN_MEMORY,
            outbuf_overflow=_IN_MEMORY,
            outbuf_high_watermark=_IN_MEMORY,
            recv_bytes=65_536,
            connection_limit=connections,
            backlog=1024,
            channel_timeout=IDLE_SECONDS,
            cleanup_interval=10,
            channel_request_lookahead=0,
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=True,
            log_socket_errors=False,
        )
        self._sockets: dict[int, Any] = {}
        self._dispatcher = ThreadedTaskDispatcher()
        self._listeners = [
            Listener(app, self._sockets, dispatcher=self._dispatcher, adj=adjustments, sockinfo=info)
            for info in adjustments.listen
        ]
        self._dispatcher.set_thread_count(adjustments.threads)
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._listeners[0].effective_port)

    def run(self) -> None:
        """Serves until `stop`; then finishes answers in flight, at most for STOP_SECONDS."""
        while not self._stopping.is_set():
            wasyncore.poll2(1.0, self._sockets)
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
        for listener in self._listeners:
            listener.pull_trigger()
        self._stopped.wait(STOP_SECONDS + 1)

    def _busy(self) -> bool:
        """Whether an answer is being worked on or has not been sent in full."""
        return any(
            channel.requests or channel.total_outbufs_len
            for channel in list(self._sockets.values())
            if isinstance(channel, HTTPChannel)
        )
