"""A running device, asked again and again who stands before its camera."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from appliance.calibration.entries import CalibrationError

TIMEOUT = 30.0
"""Seconds after which the document's clients give up."""

OK, NOT_READY, NO_FACE = "INF-00", "INF-08", "INF-17"

REFUSALS = {
    401: "it wants a key: --key KEY, with the scope live",
    403: "the key does not open the camera: --key KEY, with the scope live",
    406: 'the liveness check is switched off: liveness.mode = "multi", and access.restricted without it',
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What the device said: the log odds; or why there are none, nobody there or a device that cannot say now."""

    odds: float | None = None
    nobody: bool = False
    unready: bool = False


@dataclass(frozen=True, slots=True)
class InUse:
    """The liveness model of the device (sha256, file), its operating point in log odds, and since when if it is its own."""

    model: str
    file: str
    threshold: float
    since: str | None


class Door:
    """Asks over one connection at a time."""

    def __init__(self, url: str, key: str | None) -> None:
        """`url` is http://HOST:PORT. Raises CalibrationError for anything else."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise CalibrationError(f"--device {url} is not http://HOST:PORT")
        self.url = url
        self._address = (parts.hostname, parts.port or 80)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def in_use(self) -> InUse:
        """What judges there now. Raises CalibrationError."""
        status, _, answer = self._ask("/version")
        try:
            point = answer["calibration"]["liveness"]
            (file,) = [each["file"] for each in answer["models"] if each["sha256"] == point["model"]]
            return InUse(point["model"], file, float(point["threshold"]), point["date"])
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"{self.url}: {self._reason(status, answer)}") from error

    def judge(self) -> Judged:
        """The verdict on the camera's newest frames. Raises CalibrationError."""
        status, headers, answer = self._ask("/liveness/multiframe")
        match _code(answer):
            case "INF-00":
                return Judged(odds=float(headers["x-liveness-odds"]))
            case "INF-17":
                return Judged(nobody=True)
            case "INF-08":
                return Judged(unready=True)
        raise CalibrationError(f"{self.url}: {self._reason(status, answer)}")

    def trouble(self) -> str:
        """What the device says of itself, as one line. Raises CalibrationError."""
        _, _, answer = self._ask("/healthz")
        reasons = answer.get("reasons") or []
        return " ".join(str(reason.get("text")) for reason in reasons) or "it has no camera"

    def _reason(self, status: int, answer: Mapping[str, Any]) -> str:
        return REFUSALS.get(status) or f"HTTP {status} {_code(answer)}: is this a device of this version, and ready?"

    def _ask(self, path: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        connection = HTTPConnection(*self._address, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = json.loads(response.read())
        except (OSError, HTTPException) as error:
            raise CalibrationError(f"no device answers at {self.url} ({error}): does it run? --device URL") from error
        except ValueError:
            answer = {}
        finally:
            connection.close()
        return response.status, headers, answer if isinstance(answer, dict) else {}


def _code(answer: Mapping[str, Any]) -> str:
    message = answer.get("return_msg")
    return str(message.get("return_code", "")) if isinstance(message, dict) else ""
