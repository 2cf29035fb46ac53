"""Why a decision is as it is: the word for programs and the sentence for people."""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """The reason of a decision: the word for programs, which does not change, and the sentence."""

    text: str

    def __new__(cls, word: str, text: str) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.text = text
        return member

    GRANTED = "granted", "access granted"
    DEMONSTRATION = (
        "demonstration",
        "access granted in a demonstration: the picture is a stored one, and liveness is off",
    )
    GALLERY_UNAVAILABLE = "gallery_unavailable", "people cannot be recognised at the moment"
    NONCE_REPEATED = "nonce_repeated", "this question has been asked before"
    CAMERA_BLIND = "camera_blind", "the camera does not show the present scene"
    RECORD_UNAVAILABLE = "record_unavailable", "the decision cannot be recorded"
    NOBODY = "nobody", "there is no face at the camera"
    MORE_THAN_ONE_PERSON = "more_than_one_person", "one person at a time, please"
    NOT_FOLLOWED = "not_followed", "stay at the camera for a moment"
    NOT_UPRIGHT = "not_upright", "the face is not upright"
    ANOTHER_PERSON = "another_person", "the frames do not show one and the same person"
    LIVENESS_OFF = "liveness_off", "liveness is not checked on this device"
    NOT_LIVE = "not_live", "this does not look like a living person"
    POOR_PICTURE = "poor_picture", "the face cannot be seen well enough"
    UNKNOWN = "unknown", "not enrolled"
    AMBIGUOUS = "ambiguous", "it could be more than one person"
    CLOCK_UNSET = "clock_unset", "the clock is wrong, and the time matters"
    CLOCK_NOT_SYNCHRONISED = (
        "clock_not_synchronised",
        "the clock has not been set by a time service, and the time matters",
    )
    NOT_YET_VALID = "not_yet_valid", "not yet valid"
    NO_LONGER_VALID = "no_longer_valid", "no longer valid"
    NO_SCHEDULE = "no_schedule", "no schedule is about this person"
    OUTSIDE_SCHEDULE = "outside_schedule", "not at this time"
    ALREADY_IN = "already_in", "in already, and must go out first"
    ALREADY_OUT = "already_out", "out already, and must come in first"
    TOO_SOON = "too_soon", "too soon after the last time"
    CHALLENGE_REQUIRED = "challenge_required", "a movement of the head is required as well"
    CHALLENGE_FAILED = "challenge_failed", "the head did not move as asked"
    CHALLENGE_LIMIT = "challenge_limit", "too many failed challenges: try again in a minute"
    PIN_REQUIRED = "pin_required", "a PIN is required as well"
    PIN_INSTEAD = "pin_instead", "not recognised: an id and a PIN are required"
    WRONG_PIN = "wrong_pin", "wrong PIN"
    PIN_SLOWED = "pin_slowed", "too many wrong PINs: try again later"
    PIN_UNSET = "pin_unset", "no PIN has been set for this person"
    PIN_UNCOUNTED = "pin_uncounted", "PINs cannot be checked at the moment"
    PASS_REVOKED = "pass_revoked", "this pass has been revoked"
    PASS_USED = "pass_used", "this pass has been used"
    PASS_NOT_YET_VALID = "pass_not_yet_valid", "this pass is not yet valid"
    PASS_EXPIRED = "pass_expired", "this pass has expired"
