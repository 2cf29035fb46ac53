"""What every part of the bench is handed: pictures, configuration, models, and how much to measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import appliance_models

from appliance.benchmark.alone import Alone
from appliance.benchmark.camera import without_camera
from appliance.benchmark.extent import Extent
from appliance.benchmark.material import Material
from appliance.benchmark.mosaics import Subject
from appliance.camera.replay import DEMONSTRATION
from appliance.config import EngineSection
from appliance.evaluation.device import Device
from appliance.evaluation.own_device import own_device
from appliance.vision.manifest import ModelStore

PORTRAIT = appliance_models.FOLDER / "portrait.jpg"
OTHER_PORTRAIT = DEMONSTRATION / "grace_hopper.jpg"
"""The bundled pictures, both in the public domain, each with one face."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder for this run with a configuration in it, what is posted, the people in it, the body of the device's `/version`,
    how much to measure, and a folder of pictures that somebody brought.
    """

    folder: Path
    config: Path
    engine: EngineSection
    material: Material
    subjects: tuple[Subject, ...]
    version: Mapping[str, Any]
    extent: Extent
    pictures: Path | None

    @classmethod
    def prepared(
        cls, folder: Path, engine: EngineSection, portrait: Path, extent: Extent, pictures: Path | None = None
    ) -> "Bench":
        """Asks a device of its own where the faces are, and writes the material into `folder`.

        Raises OSError, UnexpectedAnswerError, DeviceFailedError.
        """
        config = without_camera(folder, engine)
        contents = [path.read_bytes() for path in (portrait, OTHER_PORTRAIT)]
        with own_device("--config", str(config)) as device, Device(device.url) as client:
            material = Material.made_from(contents[0], client)
            subjects = tuple(Subject(content, client.faces(content)[0].box) for content in contents)
            version = client.version().expect("INF-00")
        material.write(folder)
        return cls(folder, config, engine, material, subjects, version, extent, pictures)

    def alone(self) -> Alone:
        """The models that the device uses, in this process. Raises ModelError."""
        store = ModelStore.open(self.engine.models or appliance_models.FOLDER)
        return Alone.of(self.material, store, (model["file"] for model in self.version["models"]))
