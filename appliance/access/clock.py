"""The wall clock, and whether it can be trusted."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.access.policy import ClockState
from appliance.faults import Problem

TOUCHED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it when it has an answer of its server (systemd-timesyncd(8), the time service of Raspberry Pi OS).
It is gone after a restart.
"""

UNSET_US = 16_000_000
"""Microseconds: the greatest error that the kernel knows of (NTP_PHASE_LIMIT). It assumes this one from the start on, and after
the clock was set by hand. A time service reports a smaller one, which then grows by 500 ppm, for nine hours. The flag
STA_UNSYNC is ignored, as timedated does: chrony sets it where the kernel is to leave the RTC alone.
"""

_FAILED = -1


def kernel_says_so() -> bool:
    """Whether a time service of any kind has set the kernel's clock lately; False where the kernel may not be asked."""
    answer = _Timex()
    failed = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(answer)) == _FAILED
    return not failed and answer.maxerror < UNSET_US


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

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""Before this release of the program: no clock that shows an earlier time is right."""

STEP_SECONDS = 2.0
"""By how much wall clock and time since boot may come apart before the clock counts as set: slewing moves both alike; a leap
second, and a resume by a clock of whole seconds, are one second each.
"""

MOST_AHEAD_SECONDS = 86_400.0
"""An entry of the record that is further ahead of a clock that a time service has set was made while the clock was wrong."""

_READ_SECONDS = 0.1
"""Two clocks that were not read within this time are read again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`now` is local time with its offset; `stepped` is by how many seconds the clock was set forward (or, below 0, back) since
    the last reading.
    """

    now: datetime
    state: ClockState
    stepped: float


class Clock:
    """The device's wall clock, checked against the time since boot, which cannot be set. Thread-safe.

    SYNCHRONISED: a time service has set it since the start, and it was not set otherwise since. UNSET: it shows a time
    before one that has certainly been: the release, the newest entry of the record, a time that a time service has shown,
    or, while no time service sets it, any time that it has shown. A time service that sets it back is not believed until
    that time has come again. An entry that is more than a day ahead of a time service is ignored. PLAUSIBLE: neither. A
    board without a battery-backed clock starts with the time of its last shutdown (fake-hwclock, systemd-timesyncd), which
    is plausible and late.
    """

    def __init__(
        self,
        kernel: Callable[[], bool] = kernel_says_so,
        touched: Callable[[], int | None] = touched,
        clocks: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        """`clocks` returns the seconds of the wall clock and those since boot."""
        self._kernel, self._touched, self._clocks = kernel, touched, clocks or _clocks
        self._lock = threading.Lock()
        wall, boot = self._clocks()
        self._offset = wall - boot
        self._least = RELEASED.timestamp() - boot  # the least offset with which the clock can be right
        self._shown = RELEASED.timestamp()  # the latest time that a time service has shown
        self._recorded = self._ahead = float(
            "-inf"
        )  # the latest time in the record that may be right, and that is wrong
        self._set, self._known = False, False  # known: a later time than the release
        self._outdated: int | None = None

    def not_before(self, moment: datetime) -> None:
        """Notes that it has been `moment`, the newest time in the record, unless that is ahead of a time service."""
        with self._lock:
            wall, boot = self._clocks()
            if self._set and wall >= self._shown - STEP_SECONDS and self._ignored(moment.timestamp(), wall):
                return
            self._least = max(self._least, moment.timestamp() - boot)
            self._recorded = max(self._recorded, moment.timestamp())
            self._known = True

    def read(self) -> Reading:
        """The time, and whether it can be trusted."""
        with self._lock:
            wall, boot = self._clocks()
            stepped = self._step(wall - boot)
            state = self._judge(wall, wall - boot)
            self._known = self._known or state is not ClockState.UNSET
        time.tzset()  # the device may have been moved to another zone
        return Reading(datetime.fromtimestamp(wall).astimezone(), state, stepped)

    def problems(self) -> list[Problem]:
        """A clock that went back, or a record that is ahead of it, for `/healthz`; not a clock that was never set."""
        reading = self.read()
        if reading.state is ClockState.UNSET and self._known:
            text = "The clock shows a time that has already passed: people whose permission depends on the time are denied."
            return [Problem("clock", "went_back", text)]
        if reading.now.timestamp() < self._ahead:
            text = "The record has entries more than a day ahead of the clock: the clock was wrong then, or it is wrong now."
            return [Problem("clock", "record_ahead", text)]
        return []

    def _ignored(self, recorded: float, wall: float) -> bool:
        """Returns whether a time in the record is too far ahead of a time service's, which is logged once."""
        if recorded <= wall + MOST_AHEAD_SECONDS:
            return False
        if recorded > self._ahead:
            self._ahead = recorded
            log.warning("the record has entries %.0f s ahead of the time service, which is believed", recorded - wall)
        return True

    def _step(self, offset: float) -> float:
        """Notices that the clock was set, after which a time service has to confirm it again."""
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
            if wall < self._shown - STEP_SECONDS:
                return ClockState.UNSET
            if self._ignored(self._recorded, wall):
                self._recorded = float("-inf")
            if wall < self._recorded - STEP_SECONDS:
                return ClockState.UNSET
            self._offset = self._least = offset
            self._shown = max(self._shown, wall)
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
