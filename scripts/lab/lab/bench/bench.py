"""What every part of the bench uses: pictures, configuration, and how much to measure."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import appliance_models

from appliance.camera.replay import DEMONSTRATION
from appliance.sections import EngineSection
from lab.bench.material import CANVAS, FILM, FPS, Material, Subject
from lab.device import THIS, Build, Device, OwnDevice, own_device

# The bundled pictures, both in the public domain, each with one face.
PORTRAITS = (appliance_models.FOLDER / "portrait.jpg", DEMONSTRATION / "grace_hopper.jpg")
SIZES = ((640, 480), (1280, 720), (1920, 1080), (4000, 3000))  # width and height of pictures


@dataclass(frozen=True, slots=True)
class Extent:
    """How often, how long, and on what is measured: repetitions trade time for noise. The documented figures rest on these."""

    starts: int = 3  # of a device; the median counts, as of everything else here
    rounds: int = 5  # of a comparison, so that both sides are measured within the same seconds
    requests: int = 60  # of one kind a round, of all clients together
    clients: tuple[int, ...] = (1, 2, 4, 8)
    sizes: tuple[tuple[int, int], ...] = SIZES
    faces: tuple[int, ...] = (1, 5, 10, 20, 30, 40, 50)
    pictures: int = 8  # of a folder on which peers are compared
    processor_seconds: float = 10.0  # how long processor time is counted
    warm_frames: int = 2_000  # before the first reading of memory, and `frames` before the second
    frames: int = 20_000
    mixed: int = 5_000  # mixed requests between two readings of memory
    templates: tuple[int, ...] = (1_000, 10_000, 50_000)  # sizes of galleries that are searched, rising


# Shows whether everything works; too little for a verdict.
QUICK = Extent(1, 1, 6, (1, 2), SIZES[:2], (1, 3, 6), 2, 0.5, 30, 60, 20, (100, 1_000))


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder for this run, the posted material, the people in it, the body of the device's `/version`, how much to measure,
    and a folder of the user's own pictures.
    """

    folder: Path
    engine: EngineSection
    material: Material
    subjects: tuple[Subject, ...]
    version: Mapping[str, Any]
    extent: Extent
    pictures: Path | None

    @classmethod
    def prepared(cls, folder: Path, engine: EngineSection, extent: Extent, pictures: Path | None = None) -> "Bench":
        """Asks a device of its own where the faces are, and writes the material into `folder`.

        Raises OSError, UnexpectedAnswerError, ProgramFailedError.
        """
        contents = [path.read_bytes() for path in PORTRAITS]
        with own_device({"engine": _written(engine)}) as running, Device(running.url) as client:
            material = Material.made_from(contents[0], client)
            subjects = tuple(Subject(content, client.faces(content)[0].box) for content in contents)
            version = client.facts()
        material.write(folder)
        return cls(folder, engine, material, subjects, version, extent, pictures)

    def device(
        self, *, film: bool = False, real_time: bool = True, build: Build = THIS
    ) -> AbstractContextManager[OwnDevice]:
        """A device of our own, without a camera, or one that replays the film in the folder. Raises ProgramFailedError."""
        camera = {"camera": replay(self.folder, real_time=real_time)} if film else {}
        return own_device({"engine": _written(self.engine), **camera}, build=build)


def _written(engine: EngineSection) -> dict[str, Any]:
    """The section as a configuration has it, without what is as usual: the program of another commit may not know it."""
    return engine.model_dump(mode="json", exclude_defaults=True)


def replay(folder: Path, *, real_time: bool = True) -> dict[str, Any]:
    """The section of a camera that replays the film in `folder`."""
    size = {"fps": FPS, "width": CANVAS[0], "height": CANVAS[1]}
    return {"driver": "replay", "source": str(folder / FILM), "real_time": real_time, **size}
