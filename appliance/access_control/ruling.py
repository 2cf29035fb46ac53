"""What the policy says of a situation, which rule said it, and why in words."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a door stays shut, or does not: words for programs, which stay as they are."""

    GRANTED = "granted"
    GALLERY_UNAVAILABLE = "gallery_unavailable"
    NONCE_REPEATED = "nonce_repeated"
    CAMERA_BLIND = "camera_blind"
    RECORD_UNAVAILABLE = "record_unavailable"
    NOBODY = "nobody"
    MORE_THAN_ONE_PERSON = "more_than_one_person"
    NOT_FOLLOWED = "not_followed"
    ANOTHER_PERSON = "another_person"
    LIVENESS_OFF = "liveness_off"
    NOT_LIVE = "not_live"
    POOR_PICTURE = "poor_picture"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    CLOCK_UNSET = "clock_unset"
    CLOCK_NOT_SYNCHRONISED = "clock_not_synchronised"
    NOT_YET_VALID = "not_yet_valid"
    NO_LONGER_VALID = "no_longer_valid"
    NO_SCHEDULE = "no_schedule"
    OUTSIDE_SCHEDULE = "outside_schedule"
    ALREADY_IN = "already_in"
    ALREADY_OUT = "already_out"
    TOO_SOON = "too_soon"

    @property
    def text(self) -> str:
        """The same for people."""
        return _TEXTS[self]


class Mark(StrEnum):
    """What a rule came to: it lets pass; it would not, but the configuration says otherwise; it does not; an earlier rule
    left it nothing to judge.
    """

    PASSED = "passed"
    RELAXED = "relaxed"
    FAILED = "failed"
    MOOT = "moot"


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that was looked at: its name, what it came to, for which reason (None where it passed or is moot), and what
    it saw, in a person's words.
    """

    rule: str
    mark: Mark
    reason: Reason | None
    text: str

    @property
    def passed(self) -> bool:
        return self.mark in (Mark.PASSED, Mark.RELAXED)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Granted when every rule lets pass; else the first that failed has decided."""

    steps: tuple[Step, ...]

    @property
    def granted(self) -> bool:
        return bool(self.steps) and all(step.passed for step in self.steps)

    @property
    def decided(self) -> Step | None:
        """The rule that decided; None when all let pass."""
        return next((step for step in self.steps if step.mark is Mark.FAILED), None)

    @property
    def reason(self) -> Reason:
        """That of the rule that decided."""
        return Reason.GRANTED if self.decided is None or self.decided.reason is None else self.decided.reason

    @property
    def text(self) -> str:
        """The reason for people."""
        return self.reason.text

    @property
    def relaxed(self) -> tuple[Step, ...]:
        """The rules that would not have let pass, but for the configuration."""
        return tuple(step for step in self.steps if step.mark is Mark.RELAXED)


_TEXTS = {
    Reason.GRANTED: "come in",
    Reason.GALLERY_UNAVAILABLE: "nobody can be recognised just now",
    Reason.NONCE_REPEATED: "this question has been asked before",
    Reason.CAMERA_BLIND: "the camera does not show what is before it",
    Reason.RECORD_UNAVAILABLE: "the decision cannot be recorded",
    Reason.NOBODY: "nobody stands before the camera",
    Reason.MORE_THAN_ONE_PERSON: "one at a time, please",
    Reason.NOT_FOLLOWED: "stay before the camera for a moment",
    Reason.ANOTHER_PERSON: "the frames do not show one and the same person",
    Reason.LIVENESS_OFF: "whether somebody is alive is not checked on this device",
    Reason.NOT_LIVE: "this does not look like a living person",
    Reason.POOR_PICTURE: "the face cannot be seen well enough",
    Reason.UNKNOWN: "nobody who is known here",
    Reason.AMBIGUOUS: "it could be more than one person",
    Reason.CLOCK_UNSET: "the clock is wrong, and the time matters",
    Reason.CLOCK_NOT_SYNCHRONISED: "the clock has not been set by a time service, and the time matters",
    Reason.NOT_YET_VALID: "not yet valid",
    Reason.NO_LONGER_VALID: "no longer valid",
    Reason.NO_SCHEDULE: "no schedule lets this person pass",
    Reason.OUTSIDE_SCHEDULE: "not at this time",
    Reason.ALREADY_IN: "in already, and must go out first",
    Reason.ALREADY_OUT: "out already, and must come in first",
    Reason.TOO_SOON: "too soon after the last time",
}
