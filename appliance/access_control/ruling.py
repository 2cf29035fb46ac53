"""What the policy says of a situation, and which rule said it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at: its name, whether it lets pass, and why in a person's words."""

    rule: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """Granted when every rule lets pass; else the first that does not has decided."""

    steps: tuple[Step, ...]

    @property
    def granted(self) -> bool:
        return all(step.passed for step in self.steps)

    @property
    def reason(self) -> str:
        """The name of the rule that decided; "granted" when all let pass."""
        return next((step.rule for step in self.steps if not step.passed), "granted")
