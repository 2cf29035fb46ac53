"""What the record says of a decision."""

from collections.abc import Mapping

from appliance.access_control import token
from appliance.access_control.chain import Fact
from appliance.access_control.decision import Decision
from appliance.access_control.ruling import Ruling


def facts(decision: Decision, reference: str | None, ruling: Ruling) -> Mapping[str, Fact]:
    """Of a decision, and the reference of whoever it is about: what was asked and answered, when the frames were taken
    (milliseconds since 1970), and which rules the configuration relaxed. No score.
    """
    return {
        "id": decision.id,
        "nonce": decision.nonce,
        "direction": decision.direction.value,
        "result": decision.result,
        "reason": decision.reason,
        "person": reference,
        "frames": tuple(token.milliseconds(each) for each in decision.frames),
        "relaxed": tuple(step.rule for step in ruling.relaxed),
    }
