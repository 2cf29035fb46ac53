"""Whether the HTTP socket answers: the device asks itself."""

import http.client
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

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
