"""Everything out of a gallery, and into one: for backups, and for other devices of the same house."""

import dataclasses
from collections.abc import Iterable, Iterator

from appliance.gallery import enrolment
from appliance.gallery.people import (
    Copied,
    Dossier,
    GalleryDamagedError,
    Merged,
    OnConflict,
    Person,
    PersonExistsError,
    Template,
    new_reference,
)
from appliance.gallery.records import Sheet
from appliance.gallery.store import Draft, Passages, Storage


def pictures(storage: Storage, reference: str) -> Iterator[tuple[int, bytes]]:
    """The pictures of a person, with the numbers of their templates."""
    known = storage.snapshot.references.get(reference)
    for template in known.templates if known else ():
        with storage.reading() as (book, _):
            picture = book.picture(template.number, reference)
        if picture is not None:
            yield template.number, picture


def dump(storage: Storage) -> Iterator[Dossier]:
    """Person by person, in the order of their ids."""
    people = storage.snapshot.people
    for identity in sorted(people):
        known = people[identity]
        copies = [_copied(storage, known.person, template) for template in known.templates]
        yield Dossier(known.person, tuple(copy for copy in copies if copy is not None))


def replace(draft: Draft, dossiers: Iterable[Dossier]) -> int:
    """These people instead of all who are there."""
    passages = dict(draft.passages)
    draft.book.erase_everybody()
    draft.drop_everybody()
    for dossier in dossiers:
        _take(draft, dossier, passages)
    enrolment.check_room(draft)
    return len(draft.people)


def merge(draft: Draft, dossiers: Iterable[Dossier], on_conflict: OnConflict) -> Merged:
    """These people beside those who are there."""
    embedder, before, passages = draft.embedder(), frozenset(draft.people), dict(draft.passages)
    added: list[str] = []
    replaced: list[str] = []
    skipped: list[str] = []
    for dossier in dossiers:
        identity = dossier.person.id
        if identity in draft.people and (on_conflict is OnConflict.REFUSE or identity not in before):
            raise PersonExistsError(f"there is somebody with the id {identity} already: nobody was taken in")
        if identity in draft.people and on_conflict is OnConflict.SKIP:
            skipped.append(identity)
            continue
        for copy in dossier.templates:
            enrolment.check_embedder(embedder, copy.template.model)
            embedder = embedder or copy.template.model
        (replaced if identity in draft.people else added).append(identity)
        _take(draft, _in_place_of(draft, dossier), passages)
    enrolment.check_room(draft)
    return Merged(tuple(added), tuple(replaced), tuple(skipped))


def _in_place_of(draft: Draft, dossier: Dossier) -> Dossier:
    """Whoever takes somebody's place takes their reference, too; whoever is new takes none that is another's."""
    person = dossier.person
    if person.id in draft.people:
        gone = enrolment.erase(draft, person.id)
        return Dossier(dataclasses.replace(person, reference=gone.person.reference), dossier.templates)
    if person.reference in draft.references:
        return Dossier(dataclasses.replace(person, reference=new_reference()), dossier.templates)
    return dossier


def _take(draft: Draft, dossier: Dossier, passages: Passages) -> None:
    """Somebody from elsewhere; on which side of the door they are, only this gallery knows."""
    enrolment.add(draft, dossier.person)
    reference = dossier.person.reference
    if reference in passages:
        enrolment.note_passage(draft, reference, *passages[reference])
    for template, embedding, picture in dossier.templates:
        vector = enrolment.turned(draft, embedding)
        sheet = Sheet(template.model, template.quality, template.source, template.created, vector)
        enrolment.enter(draft, dossier.person.id, sheet, picture)


def _copied(storage: Storage, person: Person, template: Template) -> Copied | None:
    """A template in clear; None when it has been erased meanwhile, or cannot be read any more."""
    with storage.reading() as (book, rotation):
        try:
            sheet = book.sheet(template.number, person.reference)
        except GalleryDamagedError:
            return None
        picture = book.picture(template.number, person.reference)
    return Copied(template, rotation.turn_back(sheet.vector), picture)
