"""The policy as data: what the configuration says of who may pass."""

import hashlib
import json
from dataclasses import asdict, dataclass

from appliance.access_control.schedule import Schedule
from appliance.access_control.situation import ClockState


@dataclass(frozen=True, slots=True)
class Rules:
    """`schedules` are alternatives; none: at any time. `min_quality` is the least of the face's picture, 0..1. `passback_s`
    and `passback_strict` are anti-passback's; `clock` is what is asked of the clock where time matters: SYNCHRONISED or
    PLAUSIBLE. Each `without_…` lets pass where liveness is off, the clock is not as asked, or the decision cannot be recorded.
    """

    schedules: tuple[Schedule, ...] = ()
    min_quality: float = 0.4
    passback_s: float = 0
    passback_strict: bool = False
    clock: ClockState = ClockState.SYNCHRONISED
    without_liveness: bool = False
    without_clock: bool = False
    without_record: bool = False

    @property
    def remembers(self) -> bool:
        """Whether anybody's last passage matters."""
        return self.passback_strict or self.passback_s > 0

    def digest(self) -> str:
        """SHA-256 in hexadecimal, by which the record of decisions says under which rules it went on."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
