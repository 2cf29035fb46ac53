"""Whether a time service has set this device's clock: what the kernel and systemd-timesyncd say."""

import ctypes
from pathlib import Path

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
