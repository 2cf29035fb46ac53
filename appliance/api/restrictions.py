"""What is switched off, and until when the API answers."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from appliance.faults import Fault, ResultCode

RECOGNISING = {
    *("/faces", "/alignedfaces", "/similarity", "/liveness/multiframe"),
    *("/compare", "/feature/floats", "/facefeatures", "/identify", "/access/decide"),
}
"""What expires; health, metrics and the page that shows them go on, and so does the care of the people who are known."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Of paths, whoever asks."""

    paths: Collection[str]
    expires: date | None
    today: Callable[[], date] = date.today

    def check(self, path: str) -> None:
        """Raises Fault INF-26 after the expiry date, INF-25 on a path that is switched off."""
        if path in RECOGNISING and self.expires is not None and self.today() > self.expires:
            raise Fault(ResultCode.EXPIRED, f"since {self.expires}")
        if path in self.paths:
            raise Fault(ResultCode.RESTRICTED, f"{path} is switched off")
