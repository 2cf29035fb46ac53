"""What is switched off, and until when the API answers."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from appliance.faults import Fault, ResultCode

DOCUMENTED = {"/faces", "/alignedfaces", "/similarity", "/liveness/multiframe"}
"""What can be switched off, and expires; health, metrics and the page that shows them go on."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Of the documented paths, whoever asks."""

    paths: Collection[str]
    expires: date | None
    today: Callable[[], date] = date.today

    def check(self, path: str) -> None:
        """Raises Fault INF-26 after the expiry date, INF-25 on a path that is switched off."""
        if path in DOCUMENTED and self.expires is not None and self.today() > self.expires:
            raise Fault(ResultCode.EXPIRED, f"since {self.expires}")
        if path in self.paths:
            raise Fault(ResultCode.RESTRICTED, f"{path} is switched off")
