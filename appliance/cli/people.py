"""`appliance people`: each act, and what it prints."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from appliance import state
from appliance.access import enrol as taking
from appliance.access import log
from appliance.access.enrol import Enrolled, Enrolment
from appliance.access.identify import Recognition
from appliance.access.log import FOLDER, Record, RecordError
from appliance.api import people as answers
from appliance.calibration import points as calibration_file
from appliance.calibration.points import CalibrationStore
from appliance.cli import archives
from appliance.cli import gallery as place
from appliance.config import Config, GallerySection
from appliance.faults import Fault, Refusal
from appliance.gallery.backup import Count
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryError, Known, OnConflict, Person, Source, new_reference
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import FaceEngine
from appliance.vision.manifest import ModelError, Role

_WORDS = ("name", "groups", "valid_from", "valid_until")


def new_person(options: argparse.Namespace) -> Person:
    """Somebody who is not known yet."""
    nobody = Person(options.id, "", (), None, None, new_reference(), datetime.now(UTC).replace(microsecond=0))
    return changed_person(nobody, options)


def changed_person(person: Person, options: argparse.Namespace) -> Person:
    """A person with the words that were typed, and their own where none were."""
    return replace(person, **{word: getattr(options, word) for word in _WORDS if hasattr(options, word)})


def people_documents(gallery: Gallery) -> dict[str, Any]:
    """Everybody, as `GET /people` answers."""
    people = gallery.people()
    return {
        "count": len(people),
        "templates": gallery.templates,
        "people": [person_document(gallery, known) for known in people],
    }


def person_document(gallery: Gallery, known: Known) -> dict[str, Any]:
    """A person as JSON; usable are the templates of the embedder that made the newest of all."""
    return answers.record(known, gallery.embedder())


def people_lines(gallery: Gallery) -> Iterator[str]:
    """A line a person."""
    for known in gallery.people():
        person, count = known.person, len(known.templates)
        words = f"{count} template{'' if count == 1 else 's'}"
        yield f"{person.id:<20} {person.name:<28} {words:<13} {','.join(person.groups):<16} {_validity(person)}".rstrip()


def person_details(known: Known) -> Iterator[str]:
    """A person, and a line a template."""
    person = known.person
    yield f"{person.id}: {person.name}"
    yield f"groups: {', '.join(person.groups) or 'none'}; {_validity(person) or 'at any time'}; reference {person.reference}"
    for template in known.templates:
        picture = ", with its picture" if template.pictured else ""
        yield (
            f"template {template.number}: {template.source} of {template.created.astimezone():%Y-%m-%d %H:%M}, "
            f"quality {template.quality:.2f}{picture}"
        )


def _validity(person: Person) -> str:
    begin = f"from {person.valid_from} " if person.valid_from else ""
    return f"{begin}{f'until {person.valid_until}' if person.valid_until else ''}".rstrip()


def erase(settings: Config, people: Sequence[str] | None, *, sure: bool) -> int:
    """Erases people by their ids, or everybody (None), after asking unless it is `sure`, and prints a receipt (JSON) each; the
    exit status. When one of them is not known, nobody is erased. Raises GalleryError, OSError.
    """
    with place.opened(settings, make=False) as gallery:
        ids = [known.person.id for known in gallery.people()] if people is None else list(dict.fromkeys(people))
        for identity in ids:
            gallery.person(identity)
        if not (sure or _confirmed(len(ids))):
            return 1
        record, status = Record(state.folder(settings.state.folder) / FOLDER), 0
        for identity in ids:
            erasure = gallery.erase(identity)
            entry = log.enter_receipt(record, erasure)
            print(json.dumps({"id": identity, **log.receipt(erasure, entry)}), flush=True)
            status = status if entry and erasure.complete else 1
    return status


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("nobody is erased: say --yes", file=sys.stderr)
        return False
    print(f"Erase {count} people with all their templates? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def run(options: argparse.Namespace, settings: Config) -> int:
    """Does what was asked; the exit status."""
    try:
        return _ACTS[options.act](options, settings)
    except OSError as error:
        print(": ".join(map(str, filter(None, (error.filename, error.strerror)))), file=sys.stderr)
    except (GalleryError, RecordError, ModelError, Fault) as error:
        print(error, file=sys.stderr)
    return 1


def _list(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        print(json.dumps(people_documents(gallery)) if options.json else "\n".join(people_lines(gallery)) or "nobody")
        return _told(gallery.problem())


def _show(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        known = gallery.person(options.id)
        document = person_document(gallery, known)
        print(json.dumps({"person": document}) if options.json else "\n".join(person_details(known)))
        return _told(gallery.problem())


def _add(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings) as gallery:
        gallery.add(new_person(options))
    return _said(f"{options.id} is known; their pictures: appliance people enrol {options.id} PHOTO")


def _change(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        gallery.change(changed_person(gallery.person(options.id).person, options))
    return _said(f"{options.id} is changed")


def _enrol(options: argparse.Namespace, settings: Config) -> int:
    status = 0
    for line, taken in enrolled(options, settings):
        print(line, file=sys.stdout if taken else sys.stderr, flush=True)
        status = status if taken else 1
    return status


def _forget(options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        known = gallery.forget(options.id, options.number)
    return _said(f"template {options.number} is erased; {options.id} has {len(known.templates)} others")


def _erase(options: argparse.Namespace, settings: Config) -> int:
    if bool(options.ids) == options.all:
        print("erase: ID …, or --all", file=sys.stderr)
        return 2
    return erase(settings, None if options.all else options.ids, sure=options.yes)


def _rotate(_options: argparse.Namespace, settings: Config) -> int:
    with place.opened(settings, make=False) as gallery:
        gallery.rotate()
        count = Count(len(gallery.people()), gallery.templates)
    return _said(f"{count}: turned anew; copies of the old templates are of no use any more")


def _export(options: argparse.Namespace, settings: Config) -> int:
    return _written(options, settings, options.ids or None)


def _backup(options: argparse.Namespace, settings: Config) -> int:
    return _written(options, settings, None)


def _import(options: argparse.Namespace, settings: Config) -> int:
    wanted = OnConflict.REPLACE if options.replace else OnConflict.SKIP if options.skip else OnConflict.REFUSE
    merged = archives.merge(settings, options.file, archives.of_old(options.passphrase_file), wanted)
    for what, ids in (("added", merged.added), ("replaced", merged.replaced), ("left as they were", merged.skipped)):
        if ids:
            print(f"{what}: {' '.join(ids)}")
    return 0


def _restore(options: argparse.Namespace, settings: Config) -> int:
    restored = archives.restore(settings, options.file, archives.of_old(options.passphrase_file))
    if restored.key:
        _said(
            f"the gallery that was here cannot be used any more; a new one has begun, sealed by {restored.key}: "
            "restart the device"
        )
    return _said(f"{restored.count} of {restored.label.made.astimezone():%Y-%m-%d %H:%M}, instead of all who were here")


def _written(options: argparse.Namespace, settings: Config, ids: list[str] | None) -> int:
    count = archives.write(
        settings, options.file, archives.of_new(options.passphrase_file), ids, whole=options.act == "backup"
    )
    return _said(f"{options.file}: {count}; without the passphrase nobody can read it, nor you")


def _said(line: str) -> int:
    print(line, file=sys.stderr)
    return 0


def _told(problem: GalleryError | None) -> int:
    """What is wrong with the gallery, to whoever reads from it; the exit status."""
    if problem is None:
        return 0
    print(problem, file=sys.stderr)
    return 1


_ACTS: Mapping[str, Callable[[argparse.Namespace, Config], int]] = {
    "list": _list,
    "show": _show,
    "add": _add,
    "change": _change,
    "enrol": _enrol,
    "forget": _forget,
    "erase": _erase,
    "rotate": _rotate,
    "export": _export,
    "import": _import,
    "backup": _backup,
    "restore": _restore,
}


@dataclass(frozen=True, slots=True)
class Desk:
    """All it takes to enrol the people of a gallery: an engine as this device would choose it, and how they are told apart."""

    engine: FaceEngine
    recognition: Recognition
    section: GallerySection
    max_pixels: int

    @classmethod
    def of(cls, gallery: Gallery, settings: Config) -> Self:
        """Raises OtherEmbedderError, and Fault when the models do not work."""
        calibration = CalibrationStore(state.folder(settings.state.folder) / calibration_file.FILE)
        section, embedder = settings.engine, gallery.embedder()
        choice, engine = loading.first_engine(
            section.folder, section.precisions, section.threads, calibration.thresholds, embedder
        )
        chosen = choice[Role.EMBEDDER]
        if isinstance(chosen, Fault):
            raise chosen
        file = chosen.files[0]
        known = settings.gallery
        recognition = Recognition.of(gallery, section.folder, file, calibration, known.fpir, known.margin)
        return cls(engine, recognition, settings.gallery, int(settings.server.max_megapixels * 1e6))

    def enrol(self, identity: str, photo: bytes, *, allow_duplicate: bool, allow_mismatch: bool) -> Enrolled:
        """Makes a template of a photo. Raises Fault, GalleryError."""
        portrait = taking.from_photograph(self.engine, EncodedPicture(photo, self.max_pixels), self.section.min_quality)
        allowed = {"allow_duplicate": allow_duplicate, "allow_mismatch": allow_mismatch}
        return Enrolment().enrol(self.recognition, identity, portrait, Source.PHOTO, **allowed)


def enrolled(options: argparse.Namespace, settings: Config) -> Iterator[tuple[str, bool]]:
    """A line a photo, and whether it has become a template. Raises GalleryError when nobody can be enrolled at all, Fault when
    the models do not work.
    """
    photos = [(photo, _content(photo)) for photo in options.photos]  # with the rights of whoever asks
    with place.opened(settings, make=False) as gallery:
        gallery.person(options.id)
        desk = Desk.of(gallery, settings)
        for photo, content in photos:
            try:
                line, taken = _line(desk, options, content), True
            except OSError as error:
                line, taken = str(error.strerror), False
            except (Fault, GalleryError) as error:
                line, taken = error.text if isinstance(error, Refusal) else str(error), False
            yield f"{photo}: {line}", taken


def _line(desk: Desk, options: argparse.Namespace, content: bytes | OSError) -> str:
    if isinstance(content, OSError):
        raise content
    allowed = {name: getattr(options, name) for name in ("allow_duplicate", "allow_mismatch")}
    found = desk.enrol(options.id, content, **allowed)
    alike = "".join(f"; {each.kind} of {each.person.id}" for each in found.warnings)
    return f"template {found.template.number}, quality {found.template.quality:.2f}{alike}"


def _content(photo: Path) -> bytes | OSError:
    try:
        return photo.read_bytes()
    except OSError as error:
        return error
