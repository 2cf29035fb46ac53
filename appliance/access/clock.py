"""What time it is, and what can be said for it."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.access.policy import ClockState

TOUCHED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever it has heard from its server (systemd-timesyncd(8), on Raspberry Pi OS the service
there is); it is gone after a restart.
"""

UNSET_US = 16_000_000
"""Microseconds: the greatest error that the kernel knows of (NTP_PHASE_LIMIT). From the start on and after somebody has set
the clock by hand it assumes this one; a time service tells it less, and it then grows by 500 ppm, for nine hours. The flag
STA_UNSYNC is not asked, as timedated does not: chrony sets it on purpose where the kernel shall leave the RTC alone.
"""

_FAILED = -1


def kernel_says_so() -> bool:
    """Whether the kernel has been told by a time service, of whatever kind, of late. Nobody has told it where it may not be
    asked.
    """
    told = _Timex()
    failed = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told)) == _FAILED
    return not failed and told.maxerror < UNSET_US


def touched(path: Path = TOUCHED) -> int | None:
    """When systemd-timesyncd last set the clock, in nanoseconds of that clock; None when it has not since the start."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); `modes` = 0 only asks."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        *((name, ctypes.c_long) for name in ("offset", "freq", "maxerror", "esterror")),
        ("status", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("constant", "precision", "tolerance", "seconds", "fraction", "tick")),
        *((name, ctypes.c_long) for name in ("ppsfreq", "jitter")),
        ("shift", ctypes.c_int),
        *((name, ctypes.c_long) for name in ("stabil", "jitcnt", "calcnt", "errcnt", "stbcnt")),
        ("tai", ctypes.c_int),
        ("padding", ctypes.c_int * 11),
    )


log = logging.getLogger(__name__)

RELEASED = datetime(2026, 1, 1, tzinfo=UTC)
"""No device has run this program before."""

STEP_SECONDS = 2.0
"""What the wall clock may differ from the time since boot before somebody has set it: slewing moves both alike, a leap second
and a resume by a clock of whole seconds are one each.
"""

_READ_SECONDS = 0.1
"""Two clocks that were not read within it are read again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`now` is local time with its offset; `stepped` how many seconds the clock was set forward (or, less than 0, back) since
    the last reading.
    """

    now: datetime
    state: ClockState
    stepped: float


class Clock:
    """The device's wall clock, watched against the time since boot, which nobody can set. Thread-safe.

    SYNCHRONISED: a time service has set it since the start, and nobody has set it otherwise since. UNSET: it is before what it
    showed or has certainly shown, so it is wrong. PLAUSIBLE: neither. A board without a clock of its own shows, after a start
    without a network, when it was last shut down (fake-hwclock, systemd-timesyncd): plausible, and late.
    """

    def __init__(
        self,
        kernel: Callable[[], bool] = kernel_says_so,
        touched: Callable[[], int | None] = touched,
        clocks: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        """`clocks` are seconds of the wall clock and since boot."""
        self._kernel, self._touched, self._clocks = kernel, touched, clocks or _clocks
        self._lock = threading.Lock()
        wall, boot = self._clocks()
        self._offset = wall - boot
        self._least = RELEASED.timestamp() - boot  # the least offset that the clock can have and be right
        self._set = False
        self._outdated: int | None = None

    def not_before(self, moment: datetime) -> None:
        """It has been `moment` already: the newest entry of the record, say."""
        with self._lock:
            _, boot = self._clocks()
            self._least = max(self._least, moment.timestamp() - boot)

    def read(self) -> Reading:
        """What time it is now, and what can be said for it."""
        with self._lock:
            wall, boot = self._clocks()
            stepped = self._step(wall - boot)
            state = self._judge(wall, wall - boot)
        time.tzset()  # the device may have been moved to another zone
        return Reading(datetime.fromtimestamp(wall).astimezone(), state, stepped)

    def _step(self, offset: float) -> float:
        """Notices that the clock was set; what had been said of it then no longer holds."""
        stepped = offset - self._offset
        if abs(stepped) <= STEP_SECONDS:
            return 0.0
        log.warning("the clock was set %s by %.0f s", "forward" if stepped > 0 else "back", abs(stepped))
        self._offset, self._set, self._outdated = offset, False, self._touched()
        return stepped

    def _judge(self, wall: float, offset: float) -> ClockState:
        touched = self._touched()
        by_timesyncd = touched is not None and touched != self._outdated and touched <= wall * 1e9
        self._set = self._set or by_timesyncd or self._kernel()
        if self._set:
            self._offset = self._least = offset
            return ClockState.SYNCHRONISED
        if offset < self._least - STEP_SECONDS:
            return ClockState.UNSET
        self._least = max(self._least, offset)
        return ClockState.PLAUSIBLE


def _clocks() -> tuple[float, float]:
    while True:
        before, wall = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        if boot - before < _READ_SECONDS:
            return wall, boot
