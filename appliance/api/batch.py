"""The endpoints for people in bulk: a table with photos is imported, and people are written to a table."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import bottle

from appliance.access.batch import Batch, PhotoReader, RowResult, refused, settled
from appliance.access.enrol import capture_from_photograph
from appliance.api import answers
from appliance.api.access import ADMIN, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.people import People
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import OnConflict, matching
from appliance.gallery.table import InvalidRow, PersonRow, TableError, people_table, read_people
from appliance.imaging.archive import Photos
from appliance.vision.engine import Portrait

MOST_ROWS = 1000
"""Rows of a table in one request, each of which may take a write to the disk."""


@dataclass(frozen=True, slots=True)
class PeopleTables:
    """Each method answers bottle's current request, or raises a Fault or a GalleryError."""

    people: People

    @route("POST", "/people/import", ADMIN, Part.GALLERY)
    def import_people(self) -> Answer:
        """Imports the table `people` with the zip `photos`, row by row; what becomes of each."""
        query = bottle.request.query
        dry_run, on_conflict = query.get("dry_run") == "1", _on_conflict(query.get("on_conflict", "refuse"))
        intake = self.people.subjects.intake
        content, archive = intake.form(bottle.request.environ, "people", optional="photos")
        try:
            rows = read_people(content, MOST_ROWS)
        except TableError as error:
            raise Refusal(ResultCode.INVALID_BODY, "invalid_table", str(error)) from error
        photos = Photos.zipped(archive, intake.max_body) if archive else Photos()
        batch = Batch(self.people.handle.recognition(), on_conflict, dry_run=dry_run)
        found = self._results(batch, rows, PhotoReader(photos, self._portray), on_conflict)
        return answers.answer({"dry_run": dry_run, "rows": [asdict(each) for each in found]}, headers=NO_STORE)

    @route("GET", "/people.csv", ADMIN, Part.GALLERY)
    def table(self) -> Answer:
        """The people whose id, name or groups contain `query` as a table, without biometrics."""
        query = bottle.request.query.getunicode("query", "")
        return answers.csv("people.csv", people_table(matching(self.people.handle.gallery().people(), query)))

    def _results(
        self, batch: Batch, rows: list[PersonRow | InvalidRow], reader: PhotoReader, on_conflict: OnConflict
    ) -> Iterator[RowResult]:
        recognition = self.people.handle.recognition()
        gallery = recognition.gallery
        for row in rows:
            result = settled(gallery, row, on_conflict)
            if result is None:
                assert isinstance(row, PersonRow)  # no other row waits for its photos
                try:
                    templates = reader.templates(
                        row, recognition.model, recognition.strong, pictures=gallery.keeps_pictures
                    )
                    with self.people.enrolment.lock:
                        result = batch.conclude(row, templates)
                    if result.changed and not batch.dry_run:
                        self.people.changed(gallery.person(row.person.id).person, f"{result.result} by an import")
                except Refusal as refusal:  # also of a fleet, where another device has changed the person
                    result = refused(row, refusal)
            yield result

    def _portray(self, content: bytes) -> Portrait:
        subjects = self.people.subjects
        picture = subjects.intake.picture(content)
        with subjects.engines.lease(picture.decoded_bytes) as engine:
            return capture_from_photograph(engine, picture, self.people.min_quality)


def _on_conflict(text: str) -> OnConflict:
    try:
        return OnConflict(text)
    except ValueError:
        choices = ", ".join(OnConflict)
        raise Refusal(ResultCode.INVALID_QUERY, "invalid_query", f"on_conflict: one of {choices}") from None
