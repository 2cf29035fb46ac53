"""The wall clock, and whether it can be trusted."""

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.access.policy import ClockState
from appliance.faults import Problem

TOUCHED = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it when it has an answer of its server (systemd-timesyncd(8), the time service of Raspberry Pi OS).
It is gone after a restart.
"""

TIMEDATED = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
"""Asks systemd-timedated by D-Bus, in some 10 ms. It says yes while the greatest error that the kernel knows of is below 16 s:
for nine hours after any time service (chrony, ntpd) has set the clock, until it is set by hand. The unit may not ask the kernel
itself (adjtimex(2)), because ProtectClock= forbids that call.
"""

ASK_SECONDS = 10.0
"""Interval of these questions while the answer is no."""

ANSWER_SECONDS = 1.0
"""How long the answer may take; systemd starts timedated for it."""

log = logging.getLogger(__name__)


def touched(path: Path = TOUCHED) -> int | None:
    """When systemd-timesyncd last set the clock, in nanoseconds of that clock; None when it has not since the start."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


class Timedated:
    """What systemd-timedated says of the clock. Not thread-safe."""

    def __init__(self, command: Sequence[str] = TIMEDATED, interval: float = ASK_SECONDS) -> None:
        self._command, self._interval = command, interval
        self._next, self._complained = float("-inf"), False

    def __call__(self) -> bool:
        """Returns whether a time service of any kind has set the clock lately; False when it was asked within the interval,
        or cannot be asked, which is logged once.
        """
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._interval
        try:
            done = subprocess.run(  # noqa: S603  # its own constant
                self._command,
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=True,
                stdin=subprocess.DEVNULL,
                # without NOTIFY_SOCKET, to which it would send its own errors
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        except (OSError, subprocess.SubprocessError) as error:
            if not self._complained:
                text = "timedatectl does not say whether the clock is synchronised, only systemd-timesyncd can: %s"
                log.warning(text, " ".join((getattr(error, "stderr", None) or str(error)).split()))
            self._complained = True
            return False
        return done.stdout.strip() == "yes"


RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""Before this release of the program: no clock that shows an earlier time is right."""

STEP_SECONDS = 2.0
"""By how much wall clock and time since boot may come apart before the clock counts as set: slewing moves both alike; a leap
second, and a resume by a clock of whole seconds, are one second each.
"""

MOST_AHEAD_SECONDS = 86_400.0
"""An entry of the record that is further ahead of a clock that a time service has set was made while the clock was wrong. A
time that the service itself has shown was as wrong when it has shown the earlier one for CORRECTED_SECONDS.
"""

CORRECTED_SECONDS = 3600.0
"""How long a time service has to stay more than a day behind a time that it has shown, until the earlier time is believed."""

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

    SYNCHRONISED: a time service has set it since the start, and it was not set otherwise since. UNSET: it shows a time before
    one that has certainly been: the release, the newest entry of the record, a time that a time service has shown, or, while
    no time service sets it, any time that it has shown. A time service that sets it back is not believed until that time has
    come again or, when it is more than a day away, for an hour. An entry that is more than a day ahead of a time service is
    ignored. PLAUSIBLE: neither. A board without a battery-backed clock starts with the time of its last shutdown (fake-
    hwclock, systemd-timesyncd), which is plausible and late.
    """

    def __init__(
        self,
        service: Callable[[], bool] | None = None,
        touched: Callable[[], int | None] = touched,
        clocks: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        """`service` returns whether a time service has set the clock; `clocks` returns the seconds of the wall clock and those
        since boot.
        """
        self._service, self._touched, self._clocks = service or Timedated(), touched, clocks or _clocks
        self._lock = threading.Lock()
        wall, boot = self._clocks()
        self._offset = wall - boot
        self._least = RELEASED.timestamp() - boot  # the least offset with which the clock can be right
        self._shown = RELEASED.timestamp()  # the latest time that a time service has shown
        # the latest time in the record that may be right, and that is wrong
        self._recorded = self._ahead = float("-inf")
        self._set, self._known = False, False  # known: a later time than the release
        self._outdated: int | None = None
        self._behind: float | None = None  # since when, by the time since boot, a time service shows an earlier time

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
        with self._lock:
            wall, boot = self._clocks()
            stepped = self._step(wall - boot)
            state = self._judge(wall, boot)
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
        self._offset, self._set, self._outdated, self._behind = offset, False, self._touched(), None
        return stepped

    def _corrected(self, wall: float, boot: float) -> bool:
        """Returns whether a time service has been more than a day behind a time that it has shown for long enough."""
        self._behind = boot if self._behind is None else self._behind
        released = wall >= RELEASED.timestamp() - STEP_SECONDS
        if not released or self._shown <= wall + MOST_AHEAD_SECONDS or boot - self._behind < CORRECTED_SECONDS:
            return False
        log.warning("the time service has shown a time %.0f s ahead before; it is believed again", self._shown - wall)
        return True

    def _judge(self, wall: float, boot: float) -> ClockState:
        offset = wall - boot
        touched = self._touched()
        by_timesyncd = touched is not None and touched != self._outdated and touched <= wall * 1e9
        self._set = self._set or by_timesyncd or self._service()
        if self._set:
            if wall < self._shown - STEP_SECONDS and not self._corrected(wall, boot):
                return ClockState.UNSET
            if self._ignored(self._recorded, wall):
                self._recorded = float("-inf")
            if wall < self._recorded - STEP_SECONDS:
                return ClockState.UNSET
            self._offset = self._least = offset
            self._shown, self._behind = max(RELEASED.timestamp(), wall), None
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
