"""People imported from a table with photographs, row by row: each row is done as a whole, or nothing of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from appliance.access.identify import Likeness, Recognition
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import (
    InvalidPersonError,
    Known,
    NoSuchPersonError,
    OnConflict,
    Person,
    PersonExistsError,
    PersonExport,
    Source,
    Template,
    TemplateExport,
    TooManyError,
)
from appliance.gallery.search import Index
from appliance.gallery.table import InvalidRow, PersonRow
from appliance.imaging.archive import Photos
from appliance.imaging.codec import png
from appliance.vision.engine import Portrait

UNREADABLE = {
    ResultCode.BROKEN_IMAGE: ("invalid_picture", "This is not a complete JPEG or PNG, or it is too large."),
    ResultCode.NOT_A_ZIP: ("not_a_zip", "The zip has damaged this file."),
}
"""What is said of a photo that cannot be read."""

FIELDS = ("name", "groups", "valid_from", "valid_until", "credential")
"""What a row sets."""


class RowState(StrEnum):
    """What became of a row, or in a dry run would: UNCHANGED, because the person is there like this already; SKIPPED, because
    another person with this id is to stay; REFUSED, for a reason.
    """

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of a row: the templates of the person, and where it is refused a word for programs and a line for people."""

    row: int
    id: str
    result: RowState
    templates: int = 0
    reason: str = ""
    text: str = ""

    @property
    def changed(self) -> bool:
        return self.result in {RowState.ADDED, RowState.REPLACED}


@dataclass(frozen=True, slots=True)
class PhotoReader:
    """Makes templates of the photos of rows. `portray` returns the portrait of a photo's subject, and raises Fault."""

    photos: Photos
    portray: Callable[[bytes], Portrait]

    def templates(
        self, row: PersonRow, model: str, strong: str | None, *, pictures: bool
    ) -> tuple[TemplateExport, ...]:
        """Those of a person, by the embedder `model` and the `strong` one (sha256), with `pictures` or without. Raises Refusal,
        whose text names the photo; Fault when the models do not work.
        """
        found = []
        for name in row.photos:
            try:
                portrait = self.portray(self.photos.read(name))
            except OSError as error:
                text = f"{name[:80]}: {error.strerror}"
                raise Refusal(ResultCode.NO_IMAGE, "unreadable_photo", text) from error
            except Fault as fault:
                raise _about(name, fault) from fault
            now = datetime.now(UTC)
            template = Template(0, model, portrait.quality.overall, Source.PHOTO, now, pictured=pictures, strong=strong)
            found.append(
                TemplateExport(template, portrait.embedding, png(portrait.aligned.pixels) if pictures else None)
            )
        return tuple(found)


class Batch:
    """Imports rows into a gallery, one after the other. In a dry run it changes nothing, and finds what would be refused."""

    def __init__(self, recognition: Recognition, on_conflict: OnConflict, *, dry_run: bool) -> None:
        self._recognition, self._on_conflict, self.dry_run = recognition, on_conflict, dry_run
        self._earlier = Index()

    def conclude(self, row: PersonRow, templates: tuple[TemplateExport, ...]) -> RowResult:
        """Adds or replaces the person of a row that is not `settled`, with these templates; of a person who is replaced the
        templates stay if there are no new ones. Raises GalleryError when the gallery cannot be changed.
        """
        person, gallery = row.person, self._recognition.gallery
        before = _known(gallery, person.id)
        try:
            self._check(person, before, templates)
            if not self.dry_run:
                self._write(gallery, person, before, templates)
        except Refusal as refusal:
            return refused(row, refusal)
        except (InvalidPersonError, PersonExistsError, TooManyError) as error:
            return RowResult(row.number, person.id, RowState.REFUSED, 0, "invalid_row", str(error))
        for each in templates if self.dry_run else ():
            self._earlier = self._earlier.adding(person.id, each.embedding)
        count = len(templates) or (len(before.templates) if before else 0)
        return RowResult(row.number, person.id, RowState.REPLACED if before else RowState.ADDED, count)

    def _write(
        self, gallery: Gallery, person: Person, before: Known | None, templates: tuple[TemplateExport, ...]
    ) -> None:
        if before and not templates:
            gallery.change(person.id, {name: getattr(person, name) for name in FIELDS})
        else:
            gallery.merge([PersonExport(person, templates)], self._on_conflict)

    def _check(self, person: Person, before: Known | None, templates: tuple[TemplateExport, ...]) -> None:
        """Raises Refusal by the rules of enrolment, TooManyError."""
        identifier, most = self._recognition.identifier, self._recognition.gallery.most_templates
        if len(templates) > most:
            raise TooManyError(f"photos: at most {most} (gallery.most_templates)")
        for each in templates:
            first = Index.build([(person.id, templates[0].embedding)])
            ranking, least = identifier.ranked(each.embedding, 1, two_pictures=True, among=first)
            if ranking[0].cosine < least:
                text = "The photos of this row do not show one person."
                raise Refusal(ResultCode.REFUSED, "not_the_same_person", text)
        for each in templates:
            for other, likeness in identifier.alike(each.embedding, but=before.person if before else None):
                if likeness is Likeness.DUPLICATE:
                    raise _duplicate(other.id)
            ranking, least = identifier.ranked(each.embedding, 1, among=self._earlier)
            if ranking and ranking[0].cosine >= least:
                raise _duplicate(ranking[0].reference)


def refused(row: PersonRow, refusal: Refusal) -> RowResult:
    """What became of a row that is refused."""
    return RowResult(row.number, row.person.id, RowState.REFUSED, 0, refusal.reason, refusal.text)


def settled(gallery: Gallery, row: PersonRow | InvalidRow, on_conflict: OnConflict) -> RowResult | None:
    """What is known of a row before its photos are looked at; None if they decide. A person who is there already with these
    fields, and with as many templates as there are photos, is unchanged: an import that was cut off goes on where it was. With
    REPLACE the photos decide, because they may be others.
    """
    if isinstance(row, InvalidRow):
        return RowResult(row.number, row.id, RowState.REFUSED, 0, "invalid_row", row.text)
    known = _known(gallery, row.person.id)
    if known is None:
        return None
    there = RowResult(row.number, row.person.id, RowState.UNCHANGED, len(known.templates))
    equal = all(getattr(known.person, name) == getattr(row.person, name) for name in FIELDS)
    if on_conflict is OnConflict.REPLACE:
        return there if equal and not row.photos else None
    if equal and len(known.templates) >= len(row.photos):
        return there
    if on_conflict is OnConflict.SKIP:
        return RowResult(row.number, row.person.id, RowState.SKIPPED, len(known.templates))
    text = "A person with this id exists already, and is not as in this row."
    return RowResult(row.number, row.person.id, RowState.REFUSED, 0, "person_exists", text)


def _known(gallery: Gallery, identity: str) -> Known | None:
    try:
        return gallery.person(identity)
    except NoSuchPersonError:
        return None


def _duplicate(other: str) -> Refusal:
    return Refusal(ResultCode.REFUSED, Likeness.DUPLICATE.value, f"{other}: this enrolled person looks the same.")


def _about(photo: str, fault: Fault) -> Fault:
    """A refusal that names the photo; a fault that is not about the photo as it is."""
    facts: Mapping[str, Any] = {}
    if isinstance(fault, Refusal):
        reason, text, facts = fault.reason, fault.text, fault.facts
    elif fault.code in UNREADABLE:
        reason, text = UNREADABLE[fault.code]
    else:
        return fault
    return Refusal(fault.code, reason, f"{photo[:80]}: {text}", status=fault.status, facts=facts)
