"""What the gallery cannot do, in HTTP's words: states for `/healthz`, refusals for everyone else. No text names a path or a
person.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    InvalidPersonError,
    NoKeyError,
    NoSuchPersonError,
    NoSuchTemplateError,
    OtherEmbedderError,
    PersonExistsError,
    ReadOnlyError,
    StorageFullError,
    TooManyError,
)

log = logging.getLogger(__name__)

STATES: dict[type[GalleryError], tuple[str, str]] = {
    NoKeyError: ("gallery_locked", "The gallery's key is not there, or is not the right one: nobody is recognised."),
    GalleryDamagedError: ("gallery_damaged", "The gallery is damaged: nobody can be enrolled or erased, see the log."),
    StorageFullError: ("gallery_full", "The disk is full: nobody can be enrolled."),
    ReadOnlyError: ("gallery_read_only", "The gallery cannot be written: nobody can be enrolled or erased."),
    OtherEmbedderError: (
        "other_embedder",
        "The gallery was made with another embedder: nobody is recognised until engine.embedder is set back, or everybody "
        "is enrolled anew.",
    ),
    GalleryUnavailableError: ("gallery_unavailable", "The gallery cannot be used just now: see the log."),
}
"""Of each error the state and what it means, the more special first."""

WAIT_SECONDS = 5
"""After which a client may try again what the gallery cannot do now."""


def state_of(error: GalleryError) -> tuple[str, str]:
    """The state of a gallery with this problem, and one line for people."""
    return next(state for kind, state in STATES.items() if isinstance(error, kind))


@contextmanager
def refusing() -> Iterator[None]:
    """What the gallery raises inside becomes a Refusal."""
    try:
        yield
    except GalleryError as error:
        raise _refusal(error) from None


def _refusal(error: GalleryError) -> Refusal:
    query = ResultCode.INVALID_QUERY
    match error:
        case NoSuchPersonError():
            return Refusal(query, "no_such_person", "There is nobody with this id.", status=404)
        case NoSuchTemplateError():
            return Refusal(query, "no_such_template", "This person has no template with this number.", status=404)
        case PersonExistsError():
            return Refusal(query, "person_exists", "There is somebody with this id already.", status=409)
        case TooManyError():
            return Refusal(query, "too_many_templates", str(error), status=409)
        case InvalidPersonError():
            return Refusal(ResultCode.INVALID_BODY, "invalid_body", str(error))
    log.warning("gallery: %s", error)
    return Refusal(ResultCode.NOT_READY, *state_of(error), status=503, retry_after=WAIT_SECONDS)
