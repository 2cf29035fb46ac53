"""What becomes of the gallery when somebody is added, changed, enrolled or erased. Each act works on a draft, and raises
before it has written anything.
"""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from appliance.face.types import Embedding
from appliance.gallery import database
from appliance.gallery.people import (
    InvalidPersonError,
    Known,
    NoSuchPersonError,
    NoSuchTemplateError,
    OtherEmbedderError,
    Person,
    PersonExistsError,
    Source,
    Template,
    TooManyError,
    check,
)
from appliance.gallery.records import Sheet
from appliance.gallery.store import Draft
from appliance.gallery.vault import DIMENSIONS

MOST_TEMPLATES = 50_000
"""Of all people: what is searched within 10 ms (`appliance bench`)."""


def add(draft: Draft, person: Person) -> Known:
    """Somebody new. Raises InvalidPersonError, PersonExistsError."""
    check(person)
    if person.id in draft.people:
        raise PersonExistsError(f"there is somebody with the id {person.id} already: take another id, or change theirs")
    if person.reference in draft.references:
        raise InvalidPersonError("reference: it is another person's")
    draft.book.add_person(person)
    draft.put(Known(person, ()))
    return draft.known(person.id)


def change(draft: Draft, person: Person) -> Known:
    """Other words about somebody. Raises InvalidPersonError, NoSuchPersonError."""
    check(person)
    before = draft.known(person.id)
    person = replace(person, reference=before.person.reference, created=before.person.created)
    draft.book.write_person(number_of(draft, before), person)
    draft.put(Known(person, before.templates))
    return draft.known(person.id)


def enrol(
    draft: Draft,
    identity: str,
    embedding: Embedding,
    model: str,
    quality: float,
    source: Source,
    picture: bytes | None,
    *,
    most: int,
) -> Template:
    """A new template. Raises NoSuchPersonError, TooManyError, OtherEmbedderError, ValueError."""
    if len(draft.known(identity).templates) >= most:
        raise TooManyError(f"this person has {most} templates already (gallery.most_templates): erase one first")
    check_room(draft, 1)
    check_embedder(draft.embedder(), model)
    sheet = Sheet(model, quality, source, datetime.now(UTC), turned(draft, embedding))
    return enter(draft, identity, sheet, picture)


def enter(draft: Draft, identity: str, sheet: Sheet, picture: bytes | None) -> Template:
    """A template, with what is said of it."""
    known = draft.known(identity)
    number = draft.book.add_sheet(number_of(draft, known), known.person.reference, sheet, picture)
    template = sheet.template(number, pictured=picture is not None)
    draft.put_with(Known(known.person, (*known.templates, template)), sheet.vector)
    return template


def forget(draft: Draft, identity: str, number: int) -> Known:
    """One template less. Raises NoSuchPersonError, NoSuchTemplateError."""
    known = draft.known(identity)
    kept = tuple(template for template in known.templates if template.number != number)
    if kept == known.templates:
        raise NoSuchTemplateError(f"this person has no template {number}")
    draft.book.erase_sheet(number)
    draft.put_without(Known(known.person, kept))
    return draft.known(identity)


def erase(draft: Draft, identity: str) -> Known:
    """One person less; who they were. Raises NoSuchPersonError."""
    known = draft.known(identity)
    draft.book.erase_person(number_of(draft, known))
    draft.drop(known)
    return known


def note_passage(draft: Draft, reference: str, direction: str, time: datetime) -> None:
    """Another last passage. Raises NoSuchPersonError."""
    draft.book.write_passage(_passing(draft, reference), reference, direction, time)
    draft.passages[reference] = (direction, time)


def forget_passage(draft: Draft, reference: str) -> None:
    """No last passage any more. Raises NoSuchPersonError."""
    draft.book.erase_passage(_passing(draft, reference))
    draft.passages.pop(reference, None)


def turned(draft: Draft, embedding: Embedding) -> Embedding:
    """An embedding as it is kept. Whatever is not a unit vector would be nearest to everybody, or to nobody: raises
    ValueError.
    """
    if embedding.shape != (DIMENSIONS,) or not abs(float(np.linalg.norm(embedding)) - 1) < 1e-3:
        raise ValueError(f"an embedding has {DIMENSIONS} numbers and unit length")
    return draft.rotation.turn(embedding)


def _passing(draft: Draft, reference: str) -> int:
    known = draft.references.get(reference)
    if known is None:
        raise NoSuchPersonError("whoever passed has been erased")
    return number_of(draft, known)


def number_of(draft: Draft, known: Known) -> int:
    """Their number in the book. Raises GalleryDamagedError when it is not there."""
    number = draft.book.number(known.person.id)
    if number is None:
        raise database.lost(f"person {known.person.reference}")
    return number


def check_room(draft: Draft, more: int = 0) -> None:
    """Raises TooManyError when there are more templates than there may be, or would be with so many more."""
    if draft.templates() + more > MOST_TEMPLATES:
        raise TooManyError(f"a gallery holds {MOST_TEMPLATES} templates at most: erase some first")


def check_embedder(made_with: str | None, model: str) -> None:
    """Raises OtherEmbedderError, whose text says what to do, when both are known and differ (sha256)."""
    if made_with not in {None, model}:
        raise OtherEmbedderError(
            f"the gallery's templates were made with the embedder {str(made_with)[:12]}, not with {model[:12]}: "
            'set engine.embedder to "auto" and install the models that made them, or enrol everybody anew'
        )
