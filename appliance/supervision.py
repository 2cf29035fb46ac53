"""Worker threads whose death ends the process, the wait for the stop signal, notifications to systemd, bounds of the heap."""

import ctypes
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType

from appliance.client import Client

log = logging.getLogger(__name__)


class Supervisor:
    """Starts workers, and waits on the main thread for the end of the process."""

    def __init__(self) -> None:
        """Installs handlers for SIGTERM, SIGINT and SIGHUP. Call it from the main thread."""
        self._ended = threading.Event()
        self._status = 0
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if "NOTIFY_SOCKET" in os.environ:  # under systemd
            signal.signal(signal.SIGHUP, self._on_hangup)
        elif (
            signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        ):  # a terminal that closes ends the process, unless by nohup
            signal.signal(signal.SIGHUP, self._on_signal)

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Runs `work` on its own thread; if it raises, the process ends with status 1."""
        thread = threading.Thread(target=self._watched, args=(name, work), name=name, daemon=True)
        thread.start()
        return thread

    def wait(self, tick: Callable[[], None], seconds: float) -> int:
        """Calls `tick` every so many seconds until the end; returns the exit status: 0 after SIGTERM or SIGINT, 1 after `fail`
        or a worker's death.
        """
        while not self._ended.wait(seconds):
            tick()
        return self._status

    def asked_to_reload(self) -> bool:
        """Whether SIGHUP has come since the last call."""
        asked, self._asked = self._asked, False
        return asked

    def fail(self, why: str) -> None:
        """Ends the process with status 1."""
        log.critical("%s", why)
        self._status = 1
        self._ended.set()

    def _watched(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("%s died", name)
            self._status = 1
            self._ended.set()

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s received", signal.Signals(number).name)
        self._ended.set()


class ServiceManager:
    """Notifies systemd of the state of the process (sd_notify(3)); does nothing if it was not started by systemd."""

    def __init__(self) -> None:
        """Reads the address from NOTIFY_SOCKET: a path, or with a leading @ a name in the abstract namespace."""
        self._address = os.environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._status = ""

    @property
    def watches(self) -> bool:
        """Whether systemd expects `alive` regularly."""
        return bool(self._address) and "WATCHDOG_USEC" in os.environ

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent if it has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if self._address:
            try:
                self._socket.sendto(message.encode(), self._address)
            except OSError as error:
                log.warning("systemd was not notified of %s: %s", message, error)


class Watchdog:
    """Notifies systemd while nothing hangs; systemd restarts a process that stops doing so."""

    def __init__(self, manager: ServiceManager, signs: Sequence[Callable[[], str | None]]) -> None:
        """Each of `signs` returns what hangs, as a constant text, or None."""
        self._manager, self._signs = manager, signs
        self._hanging: list[str] = []

    def tick(self) -> None:
        hanging = [what for sign in self._signs if (what := sign())]
        for what in hanging:
            if what not in self._hanging:
                log.error("the watchdog is not fed: %s", what)
        self._hanging = hanging
        if not hanging:
            self._manager.alive()


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt (malloc.h)."""

LARGE = 8 << 20
"""Buffers from so many bytes on are mapped separately and return to the system when freed; glibc would raise this to 32 MiB.
Pictures of cameras are smaller (1920 x 1080: 6 MB): mapping memory for each of them makes decoding 1280 x 720 take 2.7 ms
instead of 1.6 (x86-64, p50 of `POST /faces`: 20.3 and 18.3 ms).
"""

KEPT = 16 << 20
"""Freed bytes that a heap keeps for the next picture."""

ARENAS = 2
"""Heaps shared by all threads; glibc would create eight per core."""


def keep_small() -> None:
    """Bounds the heap. Call it before threads start; without glibc it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns free memory to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


EVERY_SECONDS = 5.0
"""Interval of the requests."""

ANSWER_SECONDS = 5.0
"""Longest time of a request; `/healthz` takes some milliseconds, behind a burst of pictures a second."""

SILENT_SECONDS = 15.0
"""The socket hangs if no request has succeeded for so long: two in a row have failed."""


class Pulse:
    """Sends real requests to the device's own HTTP socket, on its own thread."""

    def __init__(
        self, host: str, port: int, full: Callable[[], bool] = bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """The address at which the server listens; for all addresses (0.0.0.0 or ::) the loopback one is used. A server that is
        `full` of connections does not answer, and does not hang.
        """
        address = ip_address(host)
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        name = f"[{address}]" if address.version == 6 else str(address)
        self._client = Client(f"http://{name}:{port}", ANSWER_SECONDS)
        self._full, self._clock = full, clock
        self._answered = clock()
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            with suppress(OSError):
                self._client.request("GET", "/healthz")  # any answer will do, whatever its status
                self._answered = self._clock()
            if self._full():
                self._answered = self._clock()

    def stop(self) -> None:
        """Ends `run` within the time of one request."""
        self._stopping.set()

    def trouble(self) -> str | None:
        """What hangs, or None."""
        return "the HTTP socket does not answer" if self._clock() - self._answered > SILENT_SECONDS else None
