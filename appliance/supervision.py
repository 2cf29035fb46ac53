"""Worker threads that end the process when they die, the wait for the signal to stop, and what systemd is told meanwhile."""

import ctypes
import gc
import http.client
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from types import FrameType

log = logging.getLogger(__name__)


class Supervisor:
    """Starts workers and waits on the main thread until the process should end, and with which status."""

    def __init__(self) -> None:
        """From here on SIGTERM and SIGINT are noted. Call from the main thread."""
        self._ended = threading.Event()
        self._status = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Runs `work` on a thread of its own; when it raises, the process ends with status 1."""
        thread = threading.Thread(target=self._watched, args=(name, work), name=name, daemon=True)
        thread.start()
        return thread

    def wait(self, tick: Callable[[], None], seconds: float) -> int:
        """Returns the exit status: 0 after SIGTERM or SIGINT, 1 after a worker died or `fail`. Until then calls `tick` every so
        many seconds.
        """
        while not self._ended.wait(seconds):
            tick()
        return self._status

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

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s received", signal.Signals(number).name)
        self._ended.set()


class ServiceManager:
    """systemd, told how the process is (sd_notify(3)); started by anything else, the process tells nobody."""

    def __init__(self) -> None:
        """Takes the address from NOTIFY_SOCKET: a path, or with a leading @ a name in the abstract namespace."""
        self._address = os.environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._status = ""

    @property
    def watches(self) -> bool:
        """Whether it wants to hear `alive` again and again."""
        return bool(self._address) and "WATCHDOG_USEC" in os.environ

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line of plain words for `systemctl status`; sent when it is another than before."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={text}")

    def _tell(self, message: str) -> None:
        if self._address:
            try:
                self._socket.sendto(message.encode(), self._address)
            except OSError as error:
                log.warning("systemd does not hear %s: %s", message, error)


class Watchdog:
    """Is fed while everything that should be alive is; systemd ends and restarts a process that does not feed it."""

    def __init__(self, manager: ServiceManager, signs: Sequence[Callable[[], str | None]]) -> None:
        """Each of `signs` says what hangs, in constant words, or None."""
        self._manager, self._signs = manager, signs
        self._hanging: list[str] = []

    def tick(self) -> None:
        """Feeds it, or does not and says why."""
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
"""Bytes from which a buffer is mapped by itself, and goes back to the system when freed; glibc would raise it to 32 MiB.
Pictures of cameras stay below it (1920 x 1080: 6 MB): memory that is mapped anew for each of them makes decoding 1280 x 720
take 2.7 ms instead of 1.6 (x86-64, p50 of `POST /faces`: 20.3 and 18.3 ms).
"""

KEPT = 16 << 20
"""Bytes of freed memory that a heap keeps for the next picture."""

ARENAS = 2
"""Heaps that all threads share; glibc would make eight a core."""


def keep_small() -> None:
    """Bounds the heap. Call before threads start; without glibc it does nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns what is free to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


EVERY_SECONDS = 5.0
"""Distance of the requests."""

ANSWER_SECONDS = 5.0
"""Longest wait for each of connection and answer; `/healthz` takes some milliseconds, behind a burst of pictures a second."""

SILENT_SECONDS = 15.0
"""The socket has stopped answering when no request has succeeded for so long: two in a row have failed."""


class Pulse:
    """Sends real requests, on a thread of its own: whoever wants to know how it goes never waits for one."""

    def __init__(self, host: str, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Where the server listens: all addresses (0.0.0.0 or ::) are asked at the loopback one."""
        address = ip_address(host)
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(address), str(address))  # noqa: S104
        self._port, self._clock = port, clock
        self._answered = clock()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Asks until `stop`."""
        while not self._stopping.wait(EVERY_SECONDS):
            if self._answers():
                self._answered = self._clock()

    def stop(self) -> None:
        """Ends `run` within the time of one request."""
        self._stopping.set()

    def trouble(self) -> str | None:
        """What hangs, or None."""
        return "the HTTP socket does not answer" if self._clock() - self._answered > SILENT_SECONDS else None

    def _answers(self) -> bool:
        """Whether any HTTP answer came: what it says is the health's business, and who may read it that of access."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True
