"""Why a decision is as it is: the word for programs and the sentence for people."""

from enum import StrEnum


class Reason(StrEnum):
    """The reason of a decision: words for programs, which do not change."""

    GRANTED = "granted"
    GALLERY_UNAVAILABLE = "gallery_unavailable"
    NONCE_REPEATED = "nonce_repeated"
    CAMERA_BLIND = "camera_blind"
    RECORD_UNAVAILABLE = "record_unavailable"
    NOBODY = "nobody"
    MORE_THAN_ONE_PERSON = "more_than_one_person"
    NOT_FOLLOWED = "not_followed"
    NOT_UPRIGHT = "not_upright"
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
    CHALLENGE_REQUIRED = "challenge_required"
    CHALLENGE_FAILED = "challenge_failed"
    CHALLENGE_LIMIT = "challenge_limit"
    PIN_REQUIRED = "pin_required"
    PIN_INSTEAD = "pin_instead"
    WRONG_PIN = "wrong_pin"
    PIN_SLOWED = "pin_slowed"
    PIN_UNSET = "pin_unset"
    PIN_UNCOUNTED = "pin_uncounted"
    PASS_REVOKED = "pass_revoked"  # noqa: S105 - a visitor\'s
    PASS_USED = "pass_used"  # noqa: S105 - a visitor\'s
    PASS_NOT_YET_VALID = "pass_not_yet_valid"  # noqa: S105 - a visitor\'s
    PASS_EXPIRED = "pass_expired"  # noqa: S105 - a visitor\'s

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        return _TEXTS[self]


_TEXTS = {
    Reason.GRANTED: "access granted",
    Reason.GALLERY_UNAVAILABLE: "people cannot be recognised at the moment",
    Reason.NONCE_REPEATED: "this question has been asked before",
    Reason.CAMERA_BLIND: "the camera does not show the present scene",
    Reason.RECORD_UNAVAILABLE: "the decision cannot be recorded",
    Reason.NOBODY: "there is no face at the camera",
    Reason.MORE_THAN_ONE_PERSON: "one person at a time, please",
    Reason.NOT_FOLLOWED: "stay at the camera for a moment",
    Reason.NOT_UPRIGHT: "the face is not upright",
    Reason.ANOTHER_PERSON: "the frames do not show one and the same person",
    Reason.LIVENESS_OFF: "liveness is not checked on this device",
    Reason.NOT_LIVE: "this does not look like a living person",
    Reason.POOR_PICTURE: "the face cannot be seen well enough",
    Reason.UNKNOWN: "not enrolled",
    Reason.AMBIGUOUS: "it could be more than one person",
    Reason.CLOCK_UNSET: "the clock is wrong, and the time matters",
    Reason.CLOCK_NOT_SYNCHRONISED: "the clock has not been set by a time service, and the time matters",
    Reason.NOT_YET_VALID: "not yet valid",
    Reason.NO_LONGER_VALID: "no longer valid",
    Reason.NO_SCHEDULE: "no schedule is about this person",
    Reason.OUTSIDE_SCHEDULE: "not at this time",
    Reason.ALREADY_IN: "in already, and must go out first",
    Reason.ALREADY_OUT: "out already, and must come in first",
    Reason.TOO_SOON: "too soon after the last time",
    Reason.CHALLENGE_REQUIRED: "a movement of the head is required as well",
    Reason.CHALLENGE_FAILED: "the head did not move as asked",
    Reason.CHALLENGE_LIMIT: "too many failed challenges: try again in a minute",
    Reason.PIN_REQUIRED: "a PIN is required as well",
    Reason.PIN_INSTEAD: "not recognised: an id and a PIN are required",
    Reason.WRONG_PIN: "wrong PIN",
    Reason.PIN_SLOWED: "too many wrong PINs: try again later",
    Reason.PIN_UNSET: "no PIN has been set for this person",
    Reason.PIN_UNCOUNTED: "PINs cannot be checked at the moment",
    Reason.PASS_REVOKED: "this pass has been revoked",
    Reason.PASS_USED: "this pass has been used",
    Reason.PASS_NOT_YET_VALID: "this pass is not yet valid",
    Reason.PASS_EXPIRED: "this pass has expired",
}
