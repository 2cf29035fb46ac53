"""Which camera is used: the configured driver, or the first one that opens."""

from collections.abc import Sequence
from pathlib import Path

import appliance_models

from appliance.camera import picamera, v4l2
from appliance.camera.picamera import PiCamera
from appliance.camera.replay import DRIFT_SECONDS, Replay
from appliance.camera.source import CameraFrame, FrameSource, NoCameraError, Orientation
from appliance.camera.v4l2 import V4l2Camera

DEMONSTRATION_SECONDS = 2 * DRIFT_SECONDS
"""The demonstration begins anew after whole periods of its motion, so that it does not jump."""


def camera_source(
    *,
    driver: str,
    module: int,
    device: Path | None,
    width: int,
    height: int,
    fps: float,
    rotation: int,
    mirror: bool,
    source: Path | None,
    hold_s: float,
    real_time: bool,
    autofocus: str | None,
    lens_position: float | None,
    exposure_us: int | None,
    gain: float | None,
    demonstrate: str | None,
) -> FrameSource | None:
    """The driver with this name; None for "none". `source`, `hold_s` and `real_time` are those of "replay". With `demonstrate`
    there is the demonstration instead ("always"), or "auto" shows it when it finds no camera ("without-camera"): the bundled
    portrait, moved like a person who stands there. Exposure is in microseconds, the lens position in 1 / metres.
    """
    shape = (width, height, fps, Orientation(rotation, mirror))
    portrait = appliance_models.FOLDER / "portrait.jpg"
    demonstration = Replay([portrait], *shape, hold_s=DEMONSTRATION_SECONDS, demonstration=True)
    match "demonstration" if demonstrate == "always" else driver:
        case "none":
            return None
        case "demonstration":
            return demonstration
        case "replay":
            assert source is not None
            return Replay([source], *shape, hold_s=hold_s, real_time=real_time)
    cameras: dict[str, FrameSource] = {
        "picamera": PiCamera(module, *shape, picamera.controls(autofocus, lens_position, exposure_us, gain)),
        "v4l2": V4l2Camera(device, *shape, v4l2.properties(autofocus, exposure_us, gain)),
    }
    if driver in cameras:
        return cameras[driver]
    return FirstThatOpens([*cameras.values(), demonstration] if demonstrate else list(cameras.values()))


class FirstThatOpens:
    """The first of several cameras that opens; from then on only that one, so that another never replaces a lost camera."""

    def __init__(self, sources: Sequence[FrameSource]) -> None:
        self._sources = sources
        self._current = sources[0]

    @property
    def description(self) -> str:
        return self._current.description

    @property
    def demonstration(self) -> bool:
        return self._current.demonstration

    @property
    def stored(self) -> bool:
        return self._current.stored

    def open(self) -> None:
        """Raises NoCameraError if none exists, CameraError if the first one that exists does not work."""
        reasons: list[str] = []
        for source in self._sources:
            self._current = source
            try:
                source.open()
            except NoCameraError as error:
                source.close()
                reasons.append(error.detail)
            else:
                self._sources = [source]
                return
        raise NoCameraError("; ".join(reasons))

    def read(self) -> CameraFrame | None:
        return self._current.read()

    def close(self) -> None:
        self._current.close()
