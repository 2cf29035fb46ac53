"""The gallery of enrolled people. Questions are answered from memory; a change is on the disk before its method returns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from appliance import state
from appliance.face.types import Embedding
from appliance.gallery.counter import CounterStore
from appliance.gallery.database import LOGS, translated
from appliance.gallery.people import (
    Erasure,
    Expired,
    GalleryDamagedError,
    ImportResult,
    InvalidPersonError,
    Known,
    LastPassage,
    NoSuchPersonError,
    OnConflict,
    OtherEmbedderError,
    Person,
    PersonExistsError,
    PersonExport,
    RenewalResult,
    Source,
    Template,
    TemplateExport,
    TemplateFit,
    TooManyError,
    new_reference,
    validate,
)
from appliance.gallery.pin import StoredPin
from appliance.gallery.records import unit_vector
from appliance.gallery.repository import Transaction
from appliance.gallery.search import Candidate, Index
from appliance.gallery.shares import identifying
from appliance.gallery.store import Store
from appliance.gallery.vault import BrokenSealError, SiteKey

FILE = "gallery.db"
"""The device's database, in its state folder."""

MOST_TEMPLATES = 50_000
"""Of all people together: what is searched within 10 ms (`appliance bench`)."""


class Gallery(Store):
    """People and their templates. Thread-safe, and safe beside other processes that change the same database: `refresh` takes
    over what they did. Every change is one transaction, and one that raises has changed nothing. Raises the subclasses of
    GalleryError.
    """

    def __init__(
        self,
        path: Path,
        key: SiteKey,
        *,
        keep_pictures: bool = False,
        most_templates: int = 5,
        record: CounterStore | None = None,
        fresh: bool = False,
    ) -> None:
        """Opens the gallery in a database, which is made if absent. `keep_pictures` stores the pictures people are enrolled
        with; `most_templates` limits the templates of a person. The `record` of decisions keeps the counter of
        changes; a database that it knows and that is absent is made only if a `fresh` one is wanted. Raises if nothing can be
        read; otherwise `problem` says what is wrong.
        """
        super().__init__(path, key, record, fresh=fresh)
        self.keeps_pictures, self.most_templates = keep_pictures, most_templates

    def accept(self) -> None:
        """Accepts the gallery and the record of decisions as they are, which ends `rollback`."""
        with self.writing() as transaction:
            transaction.accepted = True

    @property
    def templates(self) -> int:
        return self.snapshot.templates

    def people(self) -> tuple[Known, ...]:
        """Returns all people in the order of their ids."""
        people = self.snapshot.people
        return tuple(people[identity] for identity in sorted(people))

    def person(self, identity: str) -> Known:
        """Returns the person with an id. Raises NoSuchPersonError."""
        return self.snapshot.known(identity)

    def named(self, reference: str) -> Known | None:
        """Returns the person with a reference, None if they have been erased."""
        return self.snapshot.references.get(reference)

    def embedder(self) -> str | None:
        """Returns the sha256 of the embedder that made the templates, None without templates."""
        return self.snapshot.embedder

    def strong_embedder(self) -> str | None:
        """Returns the sha256 of the strong embedder whose embeddings are compared, None without any."""
        return self.snapshot.embedders[1]

    def check_embedder(self, model: str) -> None:
        """Raises OtherEmbedderError if another embedder than this one (sha256) made the templates."""
        _check_embedder(self.embedder(), model)

    def ranking(self, embedding: Embedding, count: int = 2, handicap: float = 0.0) -> list[Candidate]:
        """Returns the `count` people whose templates are nearest to an embedding (512, or 640 of both networks), best first,
        as `Index.ranking`.
        """
        snapshot = self.snapshot
        return snapshot.index.ranking(snapshot.rotation.apply(embedding), count, handicap)

    def last_passage(self, reference: str) -> LastPassage | None:
        return self.snapshot.passages.get(reference)

    def expired(self, today: date, people_after_days: int | None, templates_after_days: int | None) -> Expired:
        """Returns the people whose `valid_until` is more than so many days ago, and the templates of others that are at least
        so many days old; None disables a limit. `today` must come from a trusted clock, because a fast clock expires everyone.
        """
        gone: list[Person] = []
        old: list[tuple[Person, int]] = []
        for person, templates in ((known.person, known.templates) for known in self.people()):
            last = person.valid_until
            if last is not None and people_after_days is not None and (today - last).days > people_after_days:
                gone.append(person)
            elif templates_after_days is not None:
                ages = ((each.number, (today - each.created.date()).days) for each in templates)
                old += [(person, number) for number, age in ages if age >= templates_after_days]
        return Expired(tuple(gone), tuple(old))

    def add(self, person: Person) -> Known:
        """Adds a person without templates. Raises InvalidPersonError, PersonExistsError."""
        with self.writing() as transaction:
            return _add(transaction, person)

    def change(self, identity: str, fields: Mapping[str, Any]) -> Known:
        """Changes these fields of a person: `name`, `groups`, `valid_from`, `valid_until`, `credential`. Raises
        InvalidPersonError, NoSuchPersonError.
        """
        with self.writing() as transaction:
            person = replace(transaction.contents.known(identity).person, **fields)
            validate(person)
            return transaction.write_person(person)

    def enrol(
        self,
        identity: str,
        embedding: Embedding,
        model: str,
        quality: float,
        source: Source,
        picture: bytes | None = None,
        strong: str | None = None,
        *,
        reference: str | None = None,
    ) -> Template:
        """Adds a template: an embedding (512) of the embedder `model` (sha256), or of that and the `strong` one (640), the
        quality (0..1) of its picture, and the picture (an aligned face as PNG), which is stored only if the gallery keeps
        pictures. A template of a DECISION takes the place of the oldest such one of a person who has the most templates.
        Raises NoSuchPersonError, also if the person with this id has another `reference` than the one given; TooManyError,
        OtherEmbedderError, ValueError.
        """
        with self.writing() as transaction:
            contents = transaction.contents
            known = contents.known(identity)
            if reference not in {None, known.person.reference}:
                raise NoSuchPersonError("this person was erased, and another one has their id")
            if full := len(known.templates) >= self.most_templates:
                refreshed = [each.number for each in known.templates if each.source is source is Source.DECISION]
                if not refreshed:
                    raise TooManyError(
                        f"this person has {self.most_templates} templates already (gallery.most_templates): erase one first"
                    )
                transaction.erase_template(identity, refreshed[0])
            _check_room(transaction, 1)
            _check_embedder(contents.embedder, model)
            vector = contents.rotation.apply(unit_vector(embedding, strong))
            template = Template(0, model, quality, source, datetime.now(UTC), pictured=False, strong=strong)
            added = transaction.add_template(identity, template, vector, picture if self.keeps_pictures else None)
        if full:
            self.empty_log()
        return added

    def forget(self, identity: str, number: int) -> Known:
        """Erases a template like `erase`, and returns the person. Raises NoSuchPersonError, NoSuchTemplateError."""
        with self.writing() as transaction:
            known = transaction.erase_template(identity, number)
        self.empty_log()
        return known

    def erase(self, identity: str) -> Erasure:
        """Erases a person so that no sealed row of theirs is left in the database's files. Raises NoSuchPersonError."""
        with self.writing() as transaction:
            known = transaction.erase_person(identity)
            transaction.bury(known.person.reference)
        complete = self.empty_log()
        return Erasure(known.person.reference, len(known.templates), datetime.now(UTC), complete)

    def score_by_hand(self, reference: str, embedding: Embedding, handicap: float = 0.0) -> float | None:
        """Returns the best score of a face with the templates of a person that were enrolled by hand, as `ranking`; None
        without any. Reads them from the disk.
        """
        known = self.named(reference)
        with self.reading() as (repository, rotation):
            chosen = [each for each in known.by_hand if each.model == self.embedder()] if known else []
            vectors = [(reference, repository.vector(each.number, reference)) for each in chosen]
            best = Index.build(vectors).ranking(rotation.apply(embedding), 1, handicap)
        return best[0].cosine if best else None

    def note_fit(self, reference: str, day: date, cosine: float) -> None:
        """Notes how well the templates of a person fitted on a day, once a day. Raises NoSuchPersonError."""
        known = self.named(reference)
        if known is None or (known.fit and known.fit.day == day):
            return
        newest = max((each.number for each in known.by_hand), default=0)
        if known.fit and known.fit.template == newest:
            fit = known.fit.after(day, cosine)
        else:
            fit = TemplateFit(newest, 1, cosine, cosine, day)
        with self.writing() as transaction:
            transaction.write_fit(reference, fit)

    def note_passage(self, reference: str, direction: str, time: datetime) -> LastPassage | None:
        """Records that a person was let through, and returns their last passage before. Raises NoSuchPersonError if they have
        been erased.
        """
        with self.writing() as transaction:
            before = transaction.contents.passages.get(reference)
            transaction.write_passage(reference, (direction, time))
        return before

    def take_back_passage(self, reference: str, noted: LastPassage, before: LastPassage | None) -> None:
        """Restores the last passage from the one that was `noted` to the one `before`; another one stays."""
        with self.writing() as transaction:
            if transaction.contents.passages.get(reference) == noted:
                transaction.write_passage(reference, before)

    def pin(self, reference: str) -> StoredPin | None:
        return self.snapshot.pins.get(reference)

    def tag(self, *words: str) -> str:
        """Returns what stands for these words in files that are not sealed: only a holder of the site key recognises them."""
        return self._seal.tag("\0".join(words)).hex()

    def set_pin(self, identity: str, pin: StoredPin | None) -> Known:
        """Replaces a person's PIN, None erases it, and returns the person. Raises NoSuchPersonError."""
        with self.writing() as transaction:
            known = transaction.contents.known(identity)
            transaction.write_pin(known.person.reference, pin)
        self.empty_log()
        return known

    def rotate(self) -> None:
        """Draws a new rotation, which makes every copy of the templates on the disk useless."""
        with self.writing() as transaction:
            transaction.rotate()
        self.empty_log()

    def renew(self, model: str, embed: Callable[[bytes], Embedding], strong: str | None = None) -> RenewalResult:
        """Embeds the kept pictures again with another embedder, or with the `strong` one that templates lack: their sha256,
        and the function from a picture (PNG) to an embedding. Templates get new numbers and keep their age. Does nothing if no
        picture is kept.
        """
        embeddings = {}
        for known in self.snapshot.people.values():
            for number, picture in self.pictures(known.person.reference, but=(model, strong)):
                embeddings[number] = unit_vector(embed(picture), strong)
        renewed, left, fast = 0, [], []
        with self.writing() as transaction:
            if embeddings:
                transaction.reread = True
            for known in tuple(transaction.contents.people.values()):
                identity, reference = known.person.id, known.person.reference
                others = [template for template in known.templates if not _made_by(template, model, strong)]
                for template in others:
                    if template.number in embeddings:
                        vector = transaction.contents.rotation.apply(embeddings[template.number])
                        kept = transaction.picture(template.number, reference)
                        transaction.erase_template(identity, template.number)
                        transaction.add_template(identity, replace(template, model=model, strong=strong), vector, kept)
                        renewed += 1
                remaining = [template for template in others if template.number not in embeddings]
                if any(template.model != model for template in remaining):
                    left.append(identity)
                elif remaining:
                    fast.append(identity)
        self.empty_log()
        return RenewalResult(renewed, tuple(sorted(left)), tuple(sorted(fast)))

    def pictures(self, reference: str, but: tuple[str, str | None] | None = None) -> Iterator[tuple[int, bytes]]:
        """Yields template numbers and kept pictures of a person, except those embedded by the embedders `but` (sha256)."""
        known = self.named(reference)
        for template in known.templates if known else ():
            if not (but and _made_by(template, *but)):
                with self.reading() as (repository, _):
                    picture = repository.picture(template.number, reference)
                if picture is not None:
                    yield template.number, picture

    def export(self) -> Iterator[PersonExport]:
        """Yields all people in clear in the order of their ids. Changes made meanwhile may be included or not; templates that
        cannot be read are left out.
        """
        yield from map(self.exported, self.people())

    def exported(self, known: Known) -> PersonExport:
        """Returns a person in clear as `export` does."""
        exports = [self._export(known.person.reference, template) for template in known.templates]
        return PersonExport(known.person, tuple(each for each in exports if each is not None))

    def replace(self, people: Iterable[PersonExport]) -> int:
        """Erases everyone and adds these people, all or none, and returns their number. References stay, and with them the last
        passage and the PIN of those who were there before; templates get new numbers. Ends `rollback`. Raises
        InvalidPersonError, TooManyError, and PersonExistsError for an id that occurs twice.
        """
        with self.writing() as transaction:
            kept = transaction.contents
            passages, pins = dict(kept.passages), dict(kept.pins)
            transaction.erase_everyone()
            transaction.accepted = True
            for key, share in kept.shares.items():
                transaction.write_share(key, share.restored())
            for each in people:
                reference = each.person.reference
                _import(transaction, each, passages.get(reference), pins.get(reference))
            _check_room(transaction)
            count = len(transaction.contents.people)
        self.empty_log()
        return count

    def merge(self, people: Iterable[PersonExport], on_conflict: OnConflict = OnConflict.REFUSE) -> ImportResult:
        """Adds these people to those who are there, all or none. A person who replaces another keeps the other's reference. A
        new person whose reference is taken gets a new one. `most_templates` limits each of them. Raises InvalidPersonError,
        PersonExistsError, OtherEmbedderError, TooManyError.
        """
        added: list[str] = []
        replaced: list[str] = []
        skipped: list[str] = []
        with self.writing() as transaction:
            contents = transaction.contents
            embedder, before = contents.embedder, frozenset(contents.people)
            for each in people:
                person, passage, pin = each.person, None, None
                exists = person.id in contents.people
                if exists and (on_conflict is OnConflict.REFUSE or person.id not in before):
                    raise PersonExistsError(f"there is already a person with the id {person.id}: no one was imported")
                if exists and on_conflict is OnConflict.SKIP:
                    skipped.append(person.id)
                    continue
                if len(each.templates) > self.most_templates:
                    raise TooManyError(
                        f"{person.id} has {len(each.templates)} templates, and gallery.most_templates allows "
                        f"{self.most_templates}: no one was imported"
                    )
                for template in each.templates:
                    _check_embedder(embedder, template.template.model)
                    embedder = embedder or template.template.model
                if exists:
                    reference = contents.people[person.id].person.reference
                    passage, pin = contents.passages.get(reference), contents.pins.get(reference)
                    transaction.erase_person(person.id)
                    person = replace(person, reference=reference)
                elif person.reference in contents.references:
                    person = replace(person, reference=new_reference())
                _import(transaction, PersonExport(person, each.templates), passage, pin)
                (replaced if exists else added).append(person.id)
            _check_room(transaction)
        if replaced:
            self.empty_log()
        return ImportResult(tuple(added), tuple(replaced), tuple(skipped))

    def _export(self, reference: str, template: Template) -> TemplateExport | None:
        """Returns a template in clear, None if it was erased meanwhile or cannot be read; without a picture that cannot."""
        try:
            with self.reading() as (repository, rotation):
                vector = repository.vector(template.number, reference)
        except GalleryDamagedError:
            return None
        try:
            with self.reading() as (repository, _):
                picture = repository.picture(template.number, reference)
        except BrokenSealError:
            picture = None
        return TemplateExport(template, rotation.revert(vector), picture)


def rebuild(path: Path, key: SiteKey, people: Iterable[PersonExport], record: CounterStore | None = None) -> int:
    """Makes a gallery of these people beside an unusable one (damaged, missing, or with a lost key), puts it in its place once
    it is complete, and returns the number of people. A running device takes it over. Raises the subclasses of GalleryError, and
    changes nothing then.
    """
    new = path.with_name(f".{path.name}.restored")
    with translated(path):
        _remove(new)
        try:
            gallery = Gallery(new, key, record=record, fresh=True)
            try:
                count = gallery.replace(people)
            finally:
                gallery.close()  # which moves the log into the file
            with state.held(path):
                for log in LOGS:
                    path.with_name(path.name + log).unlink(missing_ok=True)
                state.move(new, path)
        finally:
            _remove(new)
    return count


def absorb(transaction: Transaction, export: PersonExport, pin: StoredPin | None) -> None:
    """Makes a person what another device of the fleet has: templates that are here already stay with their numbers and
    pictures. Raises InvalidPersonError, OtherEmbedderError, TooManyError before anything is written.
    """
    person, contents = export.person, transaction.contents
    validate(person)
    for each in export.templates:
        _check_embedder(transaction.embedder, each.template.model)
    wanted = {identifying(each.template): each for each in export.templates}
    known, owner = contents.people.get(person.id), contents.references.get(person.reference)
    if owner is not None and owner is not known:
        raise InvalidPersonError("reference: it is another person's")
    if transaction.comparable + len(wanted) - (len(known.templates) if known else 0) > MOST_TEMPLATES:
        raise _no_room()
    passage = None
    if known is not None and owner is None:
        passage = contents.passages.get(known.person.reference)
        transaction.erase_person(person.id)
        known = None
    known = transaction.write_person(person) if known else transaction.add_person(person)
    if passage is not None:
        transaction.write_passage(person.reference, passage)
    for template in known.templates:
        if wanted.pop(identifying(template), None) is None:
            transaction.erase_template(person.id, template.number)
    for each in wanted.values():
        vector = contents.rotation.apply(unit_vector(each.embedding, each.template.strong))
        transaction.add_template(person.id, each.template, vector, each.picture)
    if contents.pins.get(person.reference) != pin:
        transaction.write_pin(person.reference, pin)


def _made_by(template: Template, model: str, strong: str | None) -> bool:
    """Whether these embedders made a template; without a strong one, its embedding may stay."""
    return template.model == model and strong in {None, template.strong}


def _add(transaction: Transaction, person: Person) -> Known:
    validate(person)
    if person.id in transaction.contents.people:
        raise PersonExistsError(
            f"there is already a person with the id {person.id}: take another id, or change that person"
        )
    if person.reference in transaction.contents.references:
        raise InvalidPersonError("reference: it is another person's")
    return transaction.add_person(person)


def _import(transaction: Transaction, export: PersonExport, passage: LastPassage | None, pin: StoredPin | None) -> None:
    """Adds a person from an archive. Only this gallery knows their last passage and their PIN."""
    person = _add(transaction, export.person).person
    if passage is not None:
        transaction.write_passage(person.reference, passage)
    if pin is not None:
        transaction.write_pin(person.reference, pin)
    for each in export.templates:
        vector = transaction.contents.rotation.apply(unit_vector(each.embedding, each.template.strong))
        transaction.add_template(person.id, each.template, vector, each.picture)


def _check_room(transaction: Transaction, more: int = 0) -> None:
    if transaction.contents.templates + more > MOST_TEMPLATES:
        raise _no_room()


def _no_room() -> TooManyError:
    return TooManyError(f"a gallery holds {MOST_TEMPLATES} templates at most: erase some first")


def _check_embedder(made_with: str | None, model: str) -> None:
    """Raises OtherEmbedderError, whose text says what to do, if both are known and differ (sha256)."""
    if made_with not in {None, model}:
        raise OtherEmbedderError(
            f"the gallery's templates were made with the embedder {str(made_with)[:12]}, not with {model[:12]}, "
            "and cannot be compared with its own: embed the kept pictures again with `appliance people renew`, or enrol "
            "everyone again"
        )


def _remove(database: Path) -> None:
    for suffix in ("", *LOGS):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
