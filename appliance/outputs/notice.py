"""What is said of a decision outside: no name, no picture, no score."""

from datetime import datetime
from typing import Any

from appliance.access_control.decision import Signed


def of(signed: Signed) -> dict[str, Any]:
    """The JSON object that a webhook and MQTT carry; `person` is an id or null, `token` what others can verify."""
    decision = signed.decision
    return {
        "id": decision.id,
        "device": decision.device,
        "result": decision.result,
        "reason": decision.reason,
        "person": decision.person,
        "direction": decision.direction.value,
        "issued": moment(decision.issued),
        "expires": moment(decision.expires),
        "token": signed.token,
    }


def moment(time: datetime) -> str:
    """Such as "2026-11-26T07:00:00.000Z" (RFC 3339) of a time with UTC as its zone."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
