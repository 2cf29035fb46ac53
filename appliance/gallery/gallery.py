"""The gallery: who is known to this device. Every question is answered from memory, every change is on the disk when it is
told.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from appliance.face.types import Embedding
from appliance.gallery import enrolment, renewal, transfer
from appliance.gallery.people import (
    Dossier,
    Erasure,
    GalleryUnavailableError,
    Known,
    Merged,
    OnConflict,
    Person,
    Renewed,
    Source,
    Template,
)
from appliance.gallery.search import Candidate
from appliance.gallery.store import Storage, known
from appliance.gallery.vault import SiteKey

FILE = "gallery.db"
"""Of a device, in its state folder."""


class Gallery:
    """People and their templates. Thread-safe, and safe beside other processes that change the same one: `refresh` takes over
    what they did. Every change is one transaction; whatever raises has changed nothing. Raises GalleryError's classes.
    """

    def __init__(self, storage: Storage, *, keep_pictures: bool, most_templates: int) -> None:
        self._storage, self._keep_pictures, self._most_templates = storage, keep_pictures, most_templates

    @classmethod
    def open(cls, path: Path, key: SiteKey, *, keep_pictures: bool = False, most_templates: int = 5) -> Self:
        """The gallery in a database, which is made when it is absent. `keep_pictures`: those that people are enrolled with are
        kept, too; `most_templates` a person may have. Raises when nothing at all can be read; else `problem` says what is
        wrong.
        """
        return cls(Storage(path, key), keep_pictures=keep_pictures, most_templates=most_templates)

    def close(self) -> None:
        """Closes the database; what is in memory can still be read."""
        self._storage.close()

    def problem(self) -> GalleryUnavailableError | None:
        """What is wrong with the storage; None when all is well."""
        return self._storage.problem()

    def refresh(self) -> None:
        """Takes over what other processes have changed, and looks again at what is wrong. Raises nothing: see `problem`."""
        self._storage.refresh()

    @property
    def version(self) -> int:
        """Another number after each change of people or templates."""
        return self._storage.version

    @property
    def templates(self) -> int:
        """How many templates there are."""
        return self._storage.snapshot.templates

    def people(self) -> tuple[Known, ...]:
        """Everybody, by id."""
        people = self._storage.snapshot.people
        return tuple(people[identity] for identity in sorted(people))

    def person(self, identity: str) -> Known:
        """The person with this id. Raises NoSuchPersonError."""
        return known(self._storage.snapshot.people, identity)

    def named(self, reference: str) -> Known | None:
        """The person whose reference this is; None when they have been erased."""
        return self._storage.snapshot.references.get(reference)

    def add(self, person: Person) -> Known:
        """Makes somebody known. Raises InvalidPersonError, PersonExistsError."""
        with self._storage.change() as draft:
            return enrolment.add(draft, person)

    def change(self, person: Person) -> Known:
        """Other words about a person; id, reference and time of creation stay theirs. Raises InvalidPersonError,
        NoSuchPersonError.
        """
        with self._storage.change() as draft:
            return enrolment.change(draft, person)

    def enrol(
        self,
        identity: str,
        embedding: Embedding,
        model: str,
        quality: float,
        source: Source,
        picture: bytes | None = None,
    ) -> Template:
        """Another template of a person: an embedding (512, unit length) of the embedder `model` (sha256), the quality (0..1)
        of its picture, and that (an aligned face as bytes), which is kept only if the gallery keeps pictures. Raises
        NoSuchPersonError, TooManyError, OtherEmbedderError.
        """
        kept = picture if self._keep_pictures else None
        with self._storage.change() as draft:
            return enrolment.enrol(draft, identity, embedding, model, quality, source, kept, most=self._most_templates)

    def forget(self, identity: str, number: int) -> Known:
        """Erases a template, as `erase` does; the person who stays. Raises NoSuchPersonError, NoSuchTemplateError."""
        with self._storage.change() as draft:
            someone = enrolment.forget(draft, identity, number)
        self._storage.empty_log()
        return someone

    def erase(self, identity: str) -> Erasure:
        """Erases a person, so that nothing sealed of them is left in the database's files. Raises NoSuchPersonError."""
        with self._storage.change() as draft:
            someone = enrolment.erase(draft, identity)
        complete = self._storage.empty_log()
        return Erasure(someone.person.reference, len(someone.templates), datetime.now(UTC), complete)

    def embedder(self) -> str | None:
        """The sha256 of the embedder that the templates were made with; None when there are none."""
        return self._storage.snapshot.embedder

    def check_embedder(self, model: str) -> None:
        """Raises OtherEmbedderError when the templates were made with another embedder than this one (sha256)."""
        enrolment.check_embedder(self.embedder(), model)

    def ranking(self, embedding: Embedding, count: int = 2) -> list[Candidate]:
        """The `count` people whose templates are nearest to an embedding (512, unit length), best first."""
        snapshot = self._storage.snapshot
        return snapshot.index.ranking(snapshot.rotation.turn(embedding), count)

    def last_passage(self, reference: str) -> tuple[str, datetime] | None:
        """In which direction somebody was let through last, and when."""
        return self._storage.snapshot.passages.get(reference)

    def note_passage(self, reference: str, direction: str, time: datetime) -> None:
        """Somebody was let through. Raises NoSuchPersonError when they have been erased."""
        with self._storage.change() as draft:
            enrolment.note_passage(draft, reference, direction, time)

    def take_back_passage(self, reference: str, before: tuple[str, datetime] | None) -> None:
        """Somebody did not pass after all: their last passage is the one `before`. Raises NoSuchPersonError when they have
        been erased.
        """
        with self._storage.change() as draft:
            if before is None:
                enrolment.forget_passage(draft, reference)
            else:
                enrolment.note_passage(draft, reference, *before)

    def pictures(self, reference: str) -> Iterator[tuple[int, bytes]]:
        """The pictures that are kept of a person, with the numbers of their templates."""
        yield from transfer.pictures(self._storage, reference)

    def rotate(self) -> None:
        """Draws a new rotation: whatever templates anybody has copied from the disk are useless from then on."""
        with self._storage.change() as draft:
            renewal.rotate(draft)
        self._storage.empty_log()

    def re_embed(self, model: str, embed: Callable[[bytes], Embedding]) -> Renewed:
        """Makes every template anew from its picture with another embedder (sha256, and what it makes of a picture)."""
        embeddings = renewal.embedded(self._storage, model, embed)
        with self._storage.change() as draft:
            renewed = renewal.renew(draft, model, embeddings)
        self._storage.empty_log()
        return renewed

    def dump(self) -> Iterator[Dossier]:
        """Everything in clear, person by person, as it is now: what is changed meanwhile may be in it or not."""
        yield from transfer.dump(self._storage)

    def replace(self, dossiers: Iterable[Dossier]) -> int:
        """Erases everybody, and takes these people in their place, all or none; how many they are. References stay theirs, and
        with them the last passage of whoever was there before; templates get new numbers. Raises InvalidPersonError,
        TooManyError, and PersonExistsError when an id is there twice.
        """
        with self._storage.change() as draft:
            count = transfer.replace(draft, dossiers)
        self._storage.empty_log()
        return count

    def merge(self, dossiers: Iterable[Dossier], on_conflict: OnConflict = OnConflict.REFUSE) -> Merged:
        """Takes these people in beside those who are there, all or none. Raises InvalidPersonError, PersonExistsError (to
        refuse is to take none), OtherEmbedderError, TooManyError.
        """
        with self._storage.change() as draft:
            merged = transfer.merge(draft, dossiers, on_conflict)
        if merged.replaced:
            self._storage.empty_log()
        return merged
