"""`appliance people`: each subcommand except the archives. Each raises GalleryError, OSError or Fault."""

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import state
from appliance.access import log
from appliance.access.enrol import (
    DuplicateError,
    Enrolled,
    Enrolment,
    NotThisPersonError,
    capture_from_photograph,
)
from appliance.access.identify import Recognition
from appliance.access.invitations import Invitations
from appliance.access.log import RECORD_FILE, Record
from appliance.api import answers
from appliance.calibration import points
from appliance.calibration.points import CalibrationStore
from appliance.cli.gallery import opened, site_key
from appliance.cli.photos import chosen_engine
from appliance.config import Config
from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, Embedding
from appliance.faults import Fault, Refusal
from appliance.gallery.backup import Count
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryError, Known, Person, Source, new_reference
from appliance.gallery.pin import InvalidPinError, StoredPin
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.embedder import Comparators

EDITABLE = ("name", "groups", "valid_from", "valid_until", "credential")


def list_people(options: argparse.Namespace, settings: Config) -> int:
    """Prints all people; the exit status: 1 if a part of the gallery is damaged."""
    with opened(settings) as gallery:
        people = gallery.people()
        if options.json:
            records = [_record(gallery, known) for known in people]
            print(json.dumps({"count": len(people), "templates": gallery.templates, "people": records}))
        else:
            print("\n".join(map(_line, people)) or "no people")
        if loading.is_strong(settings.engine.recognition):
            _name_weak(people)
        return _status(gallery.problem() or gallery.rollback())


def show(options: argparse.Namespace, settings: Config) -> int:
    """Prints a person and their templates; the exit status as of `list_people`."""
    with opened(settings) as gallery:
        known = gallery.person(options.id)
        has_pin = gallery.pin(known.person.reference) is not None
        print(json.dumps({"person": _record(gallery, known)}) if options.json else _details(known, has_pin=has_pin))
        return _status(gallery.problem() or gallery.rollback())


def add(options: argparse.Namespace, settings: Config) -> int:
    """Adds a person without templates."""
    created = datetime.now(UTC).replace(microsecond=0)
    person = Person(options.id, "", (), None, None, new_reference(), created)
    with opened(settings, create=True) as gallery:
        gallery.add(replace(person, **_edits(options)))
    return _done(f"{options.id} is added; enrol their photos: appliance people enrol {options.id} PHOTO")


def change(options: argparse.Namespace, settings: Config) -> int:
    """Changes the given attributes of a person."""
    with opened(settings) as gallery:
        gallery.change(options.id, _edits(options))
    return _done(f"{options.id} is changed")


def pin(options: argparse.Namespace, settings: Config) -> int:
    """Sets or removes a person's PIN, which is read from a file or the terminal, never from the command line."""
    stored = None if options.remove else StoredPin.of(*_typed_pins(options.pin_file))
    with opened(settings) as gallery:
        gallery.set_pin(options.id, stored)
    return _done(f"{options.id} has {'a PIN' if stored else 'no PIN'} now")


def enrol(options: argparse.Namespace, settings: Config) -> int:
    """Makes a template of each photo; the exit status: 1 if one was refused."""
    contents = [(photo, _content(photo)) for photo in options.photos]  # with the caller's own rights
    status = 0
    with opened(settings) as gallery:
        person = gallery.person(options.id).person
        enrol_photo = _enroller(gallery, person, settings, options)
        for photo, content in contents:
            try:
                if isinstance(content, OSError):
                    raise content
                found = enrol_photo(content)
            except (OSError, Fault, GalleryError) as error:
                reason = error.strerror if isinstance(error, OSError) else advice(error)
                print(f"{photo}: {reason}", file=sys.stderr, flush=True)
                status = 1
            else:
                alike = "".join(f"; {likeness} of {person.id}" for person, likeness in found.alike)
                template = found.template
                print(f"{photo}: template {template.number}, quality {template.quality:.2f}{alike}", flush=True)
    return status


def advice(error: Fault | GalleryError) -> str:
    """Why a photo is refused, and the option that decides otherwise."""
    if not isinstance(error, Refusal):
        return str(error)
    if isinstance(error, DuplicateError):
        return (
            f"{error.person.id}: this enrolled person looks the same; --allow-duplicate enrols the photo all the same"
        )
    if isinstance(error, NotThisPersonError):
        return f"{error.text} --allow-mismatch enrols it all the same"
    boxes = error.facts.get("faces", ())
    points = [f"--face {box['x'] + box['width'] / 2:.0f},{box['y'] + box['height'] / 2:.0f}" for box in boxes]
    return f"{error.text} The faces: {', '.join(points)}" if points else error.text


def invite(options: argparse.Namespace, settings: Config) -> int:
    """Prints a one-time link with which a person enrols on their own phone; it replaces an earlier one."""
    key = site_key(settings)
    with opened(settings) as gallery:
        person = gallery.person(options.id).person
        token, made = Invitations(state.folder(settings.state.folder), lambda: key).invite(person)
    print(f"{options.url}/enrol/{token}")
    return _done(f"valid once, until {made.expires.astimezone():%Y-%m-%d %H:%M}; give it to {person.id} only")


def forget(options: argparse.Namespace, settings: Config) -> int:
    """Erases one template."""
    with opened(settings) as gallery:
        known = gallery.forget(options.id, options.number)
    return _done(f"template {options.number} is erased; {options.id} has {len(known.templates)} others")


def erase(options: argparse.Namespace, settings: Config) -> int:
    """Erases people by id, or all, after a confirmation, and prints a receipt (JSON) each. If an id is unknown, erases none.
    The exit status: 1 without a confirmation, or if an erasure is incomplete or not recorded.
    """
    if bool(options.ids) == options.all:
        print("erase: ID …, or --all", file=sys.stderr)
        return 2
    with opened(settings) as gallery:
        ids = [known.person.id for known in gallery.people()] if options.all else list(dict.fromkeys(options.ids))
        for identity in ids:
            gallery.person(identity)
        if not (options.yes or _confirmed(len(ids))):
            return 1
        record, status = Record(state.folder(settings.state.folder) / RECORD_FILE), 0
        for identity in ids:
            erasure = gallery.erase(identity)
            entry = log.enter_receipt(record, erasure)
            print(json.dumps({"id": identity, **log.receipt(erasure, entry)}), flush=True)
            status = status if entry and erasure.complete else 1
    return status


def accept(_options: argparse.Namespace, settings: Config) -> int:
    """Accepts older copies of the gallery or the record of decisions, or an empty gallery in the place of a missing one."""
    with opened(settings, create=True, fresh=True) as gallery:
        reason = gallery.rollback()
        gallery.accept()
        count = Count(len(gallery.people()), gallery.templates)
    return _done(f"{count}: accepted; {reason or 'nothing was behind'}")


def rotate(_options: argparse.Namespace, settings: Config) -> int:
    """Transforms all templates with a new secret matrix."""
    with opened(settings) as gallery:
        gallery.rotate()
        count = Count(len(gallery.people()), gallery.templates)
    return _done(f"{count}: transformed; copies of the old templates are useless now")


def renew(_options: argparse.Namespace, settings: Config) -> int:
    """Embeds the kept pictures again with the configured embedder; the exit status: 1 if some people have no picture."""
    with opened(settings) as gallery:
        choice, engine = chosen_engine(settings)
        ways = loading.comparators(choice)

        def embed(picture: bytes) -> Embedding:
            pixels = EncodedPicture(picture, ALIGNED_SIZE**2).frame(1.0).pixels
            return engine.feature_of_both(AlignedFace(Box(0, 0, ALIGNED_SIZE, ALIGNED_SIZE), pixels))

        result = gallery.renew(ways.fast.model, embed, ways.strong_model)
    renewed = f"{result.renewed} template{'' if result.renewed == 1 else 's'} embedded again by {ways.own.file}"
    if result.fast:
        _done(
            "some pictures were not kept (gallery.pictures): these people are recognised by the fast embedder alone until "
            f"they are enrolled again: {' '.join(result.fast)}"
        )
    if result.left:
        people = " ".join(result.left)
        return 1 | _done(
            f"{renewed}; some pictures were not kept (gallery.pictures): enrol these people again: {people}"
        )
    return _done(f"{renewed}: restart the device" if result.renewed else f"{renewed}: nothing is left to renew")


def _record(gallery: Gallery, known: Known) -> dict[str, Any]:
    """A person as the API answers; templates of the embedder that made the newest one are usable."""
    return answers.person(known, gallery.embedder())


def _line(known: Known) -> str:
    person, count = known.person, len(known.templates)
    templates = f"{count} template{'' if count == 1 else 's'}"
    groups = ",".join(person.groups)
    worse = "fits worse: enrol again" if known.fit and known.fit.worse else ""
    return f"{person.id:<20} {person.name:<28} {templates:<13} {groups:<16} {_validity(person)} {worse}".rstrip()


def _name_weak(people: Sequence[Known]) -> None:
    """Prints who has templates without an embedding of the strong embedder."""
    weak = [known.person.id for known in people if any(not template.strong for template in known.templates)]
    if weak:
        _done(
            "recognised by the fast embedder alone, by some of their templates at least (`appliance people renew` embeds the "
            f"pictures that are kept): {' '.join(weak)}"
        )


def _details(known: Known, *, has_pin: bool) -> str:
    person = known.person
    lines = [
        f"{person.id}: {person.name}",
        f"groups: {', '.join(person.groups) or 'none'}; {_validity(person) or 'at any time'}; reference {person.reference}",
    ]
    if person.credential:
        lines.append(f"credential {person.credential}")
    if has_pin:
        lines.append("PIN set")
    if fit := known.fit:
        worse = ": worse, take new pictures" if fit.worse else ""
        lines.append(
            f"cosine at the door {fit.first:.2f} at first, {fit.latest:.2f} now ({fit.days} days, until {fit.day}){worse}"
        )
    for template in known.templates:
        picture = ", with its picture" if template.pictured else ""
        picture += "" if template.strong else ", fast embedder only"
        lines.append(
            f"template {template.number}: {template.source} of {template.created.astimezone():%Y-%m-%d %H:%M}, "
            f"quality {template.quality:.2f}{picture}"
        )
    return "\n".join(lines)


def _validity(person: Person) -> str:
    begin = f"from {person.valid_from} " if person.valid_from else ""
    return f"{begin}{f'until {person.valid_until}' if person.valid_until else ''}".rstrip()


def _edits(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in EDITABLE if hasattr(options, name)}


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        print("nothing is erased: --yes confirms it", file=sys.stderr)
        return False
    print(f"Erase {count} people with all their templates? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _typed_pins(file: Path | None) -> tuple[str, str | None]:
    """The PIN and the one for duress: the lines of a file, or what is typed. Raises InvalidPinError, OSError."""
    if file is not None:
        lines = [*file.read_text("utf-8", "replace").splitlines(), "", ""]
        return lines[0], lines[1] or None
    if not sys.stdin.isatty():
        raise InvalidPinError("standard input is no terminal to ask for the PIN: --pin-file FILE")
    found = [getpass.getpass(question) for question in ("PIN: ", "Repeat the PIN: ", "PIN under duress (or nothing): ")]
    if found[0] != found[1]:
        raise InvalidPinError("the two PINs differ")
    return found[0], found[2] or None


def _content(photo: Path) -> bytes | OSError:
    try:
        return photo.read_bytes()
    except OSError as error:
        return error


def _enroller(
    gallery: Gallery, person: Person, settings: Config, options: argparse.Namespace
) -> Callable[[bytes], Enrolled]:
    """Enrols photos of the person with the engine that this device would choose. Raises OtherEmbedderError; Fault if the models
    do not work.
    """
    choice, engine = chosen_engine(settings)
    recognition = recognition_of(gallery, settings, loading.comparators(choice))
    allowed = {name: getattr(options, name) for name in ("allow_duplicate", "allow_mismatch")}
    enrolment, max_pixels = Enrolment(), int(settings.server.max_megapixels * 1e6)

    def enrol_photo(content: bytes) -> Enrolled:
        picture, least = EncodedPicture(content, max_pixels), settings.gallery.min_quality
        portrait = capture_from_photograph(engine, picture, least, options.face)
        return enrolment.enrol(recognition, person, portrait, Source.PHOTO, **allowed)

    return enrol_photo


def recognition_of(gallery: Gallery, settings: Config, ways: Comparators) -> Recognition:
    """What people are recognised with on this device. Raises as `Recognition.of`."""
    calibration = CalibrationStore(state.folder(settings.state.folder) / points.FILE)
    known = settings.gallery
    return Recognition.of(gallery, settings.engine.folder, ways, calibration, known.fpir, known.margin)


def _done(line: str) -> int:
    print(line, file=sys.stderr)
    return 0


def _status(problem: GalleryError | None) -> int:
    if problem is None:
        return 0
    print(problem, file=sys.stderr)
    return 1
