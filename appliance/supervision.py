"""Worker threads that end the process when they die, and the wait for the signal to stop."""

import logging
import signal
import threading
from collections.abc import Callable
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
