"""Who may pass: every rule that is looked at, in the order in which the first that fails decides."""

from typing import Final

from appliance.access_control import permission, sight
from appliance.access_control.finding import Rule
from appliance.access_control.rules import Rules
from appliance.access_control.ruling import Ruling, Step
from appliance.access_control.situation import Situation

RULES: Final[dict[str, Rule]] = {
    "gallery": sight.gallery,
    "nonce": sight.nonce,
    "camera": sight.camera,
    "record": sight.record,
    "one_face": sight.one_face,
    "followed": sight.followed,
    "one_person": sight.one_person,
    "liveness": sight.liveness,
    "quality": sight.quality,
    "identity": sight.identity,
    "clock": permission.clock,
    "valid_from": permission.valid_from,
    "valid_until": permission.valid_until,
    "schedule": permission.schedule,
    "passback_direction": permission.passback_direction,
    "passback_time": permission.passback_time,
}
"""In their order: first what the device lacks, then what the frames show, then who it is, then when and which way. The clock
stands before what depends on it, so that a wrong one is named and not what follows from it.
"""


class Policy:
    """Says of a situation whether its person may pass. It remembers nothing: the same situation has the same ruling."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def rule(self, situation: Situation) -> Ruling:
        """Looks at every rule, so that all there is to know is told, whichever decides."""
        return Ruling(tuple(Step(name, *rule(self.rules, situation)) for name, rule in RULES.items()))
