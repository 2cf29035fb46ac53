"""What a rule can come to, before it is told under its name."""

from collections.abc import Callable

from appliance.access_control.rules import Rules
from appliance.access_control.ruling import Mark, Reason
from appliance.access_control.situation import Situation

Finding = tuple[Mark, Reason | None, str]
"""The mark, the reason where there is one, and what was seen, in a person's words."""

Rule = Callable[[Rules, Situation], Finding]


def passed(text: str) -> Finding:
    """It lets pass."""
    return Mark.PASSED, None, text


def failed(reason: Reason, text: str) -> Finding:
    """It does not."""
    return Mark.FAILED, reason, text


def moot() -> Finding:
    """There is nothing to judge: an earlier rule has failed."""
    return Mark.MOOT, None, "nobody to judge"


def unless(relaxed: bool, reason: Reason, text: str, key: str) -> Finding:  # noqa: FBT001
    """It does not, unless the configuration says otherwise at `key`."""
    return (Mark.RELAXED, reason, f'{text}; let pass by {key} = "grant"') if relaxed else failed(reason, text)


def at_least(value: float, least: float, reason: Reason, also: str) -> Finding:
    """It lets pass from `least` on; a value that is no number is not enough. `also` is told with it."""
    text = f"{value:.2f}, at least {least:.2f}{also}"
    return passed(text) if value >= least else failed(reason, text)
