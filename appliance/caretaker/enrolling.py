"""Enrolling with photos from the disk, by the rules of `POST /people/<id>/templates`."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from appliance import doorway, machine, state
from appliance.access_control import taking
from appliance.access_control.enrolment import Enrolled, Enrolment
from appliance.access_control.register import Recognition
from appliance.calibration import file as calibration_file
from appliance.calibration.file import CalibrationStore
from appliance.caretaker import place
from appliance.config import Config, GallerySection
from appliance.faults import Fault, Refusal
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryError, Source
from appliance.imaging.decode import EncodedPicture
from appliance.vision.engine import FaceEngine
from appliance.vision.store import Role


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
        choice, engine = machine.first_engine(settings.engine, calibration.thresholds, gallery.embedder())
        embedder = choice[Role.EMBEDDER]
        if isinstance(embedder, Fault):
            raise embedder
        file = embedder.files[0]
        gallery.check_embedder(file.sha256)
        tail = doorway.tail(machine.model_folder(settings.engine), file)
        point = machine.similarity_point(calibration, file)
        recognition = doorway.recognition(gallery, file, point, tail, settings.gallery)
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
