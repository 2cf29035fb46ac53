"""Pictures or a video as a camera, for demonstrations and tests."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from appliance.camera.source import (
    MJPG,
    CameraError,
    CameraFrame,
    LazyPixels,
    NoCameraError,
    Orientation,
    from_jpeg,
    rgb,
)
from appliance.face.types import Pixels
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture

log = logging.getLogger(__name__)

DEMONSTRATION = Path(__file__).parent / "demonstration"
"""A bundled picture of a second person, to compare with the portrait (NOTICE names its source)."""

PICTURES = {".jpg", ".jpeg", ".png"}

MOST_PIXELS = 100_000_000
"""Largest picture that is replayed; it takes 1.5 GB when it is a PNG."""

DECODED = 16
"""Decoded pictures that are kept, so that a short sequence costs nothing when repeated (45 MB at 1280 x 720)."""

DRIFT, DRIFT_SECONDS = 0.01, 5.0
"""A held picture sways by this share of its width, once in so many seconds, like that of a hand-held camera; a still picture
would count as frozen."""


class Replay:
    """Plays pictures in the given order, or a video, repeatedly."""

    stored = True

    def __init__(
        self,
        paths: Sequence[Path],
        width: int,
        height: int,
        fps: float,
        orientation: Orientation,
        *,
        hold_s: float = 0.0,
        real_time: bool = True,
        demonstration: bool = False,
    ) -> None:
        """`paths`: pictures, folders of pictures (ordered by name), or one video; all are fitted into `width` x `height`.
        Pictures are shown at `fps`, each for `hold_s` seconds (0: one frame); a video at its own rate. Without `real_time`
        frames come as fast as they are read.
        """
        self._paths, self._size, self._fps = paths, (width, height), fps
        self._orientation = orientation
        self._hold, self._real_time = hold_s, real_time
        self._frames: Iterator[Pixels | LazyPixels] = iter(())
        self._capture: cv2.VideoCapture | None = None
        self._period = 0.0
        self._due = 0.0
        self._decoded: dict[Path, Pixels] = {}
        self.demonstration = demonstration
        self.description = "demonstration" if demonstration else "replay " + ", ".join(map(str, paths))

    def open(self) -> None:
        """Lists the pictures or opens the video. Raises NoCameraError."""
        if self.demonstration:
            log.warning("this is a demonstration: a bundled portrait is shown instead of a camera's picture")
        self._decoded.clear()
        pictures = [picture for path in self._paths for picture in _pictures(path)]
        if pictures:
            self._period = 1 / self._fps
            self._frames = self._slides(pictures)
        else:
            self._open_video(self._paths[0])
        self._due = time.monotonic()

    def read(self) -> CameraFrame | None:
        """The next frame, when it is due. Raises CameraError."""
        content = next(self._frames)
        if self._real_time:
            now = time.monotonic()
            time.sleep(max(0.0, self._due - now))
            self._due = max(self._due, now - self._period) + self._period
        return CameraFrame(content, time.monotonic())

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _slides(self, pictures: Sequence[Path]) -> Iterator[Pixels | LazyPixels]:
        frames_each = max(1, round(self._hold * self._fps))
        for picture in itertools.cycle(pictures):
            pixels = self._orientation.applied(self._picture(picture))
            for number in range(frames_each):
                yield pixels if frames_each == 1 else _swayed(pixels, number / self._fps)

    def _picture(self, path: Path) -> Pixels:
        """A picture, upright by its EXIF orientation and fitted. Raises CameraError."""
        if path in self._decoded:
            return self._decoded[path]
        try:
            pixels = EncodedPicture(path.read_bytes(), MOST_PIXELS).frame(1.0).pixels
        except (OSError, Fault) as error:
            raise CameraError(f"{path} is not a readable picture: {error}") from error
        fitted = self._fitted(pixels)
        if len(self._decoded) < DECODED:
            self._decoded[path] = fitted
        return fitted

    def _open_video(self, path: Path) -> None:
        if path.is_dir() or not path.exists():
            raise NoCameraError(f"{path} is not a picture, a folder of pictures or a video")
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        self._capture = capture
        if not capture.isOpened():
            raise NoCameraError(f"{path} is not a readable video")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # 4.11 shows a turned video as it is stored unless it is asked
        self._period = 1 / (capture.get(cv2.CAP_PROP_FPS) or self._fps)
        upright = not capture.get(cv2.CAP_PROP_ORIENTATION_META)
        encoded = int(capture.get(cv2.CAP_PROP_FOURCC)) == MJPG and upright and capture.set(cv2.CAP_PROP_FORMAT, -1)
        scenes = self._scenes(capture, path, reuse=not encoded)
        self._frames = map(self._lazy if encoded else self._shown, scenes)

    def _scenes(self, capture: cv2.VideoCapture, path: Path, *, reuse: bool) -> Iterator[Pixels]:
        """The frames as `capture` reads them, again and again. With `reuse` each is decoded into the memory of the one before:
        new memory costs as much as decoding.
        """
        pixels = None
        while True:
            read, pixels = capture.read(pixels if reuse else None)
            if not read:
                capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
                read, pixels = capture.read()
                if not read:
                    raise CameraError(f"{path} cannot be read any longer")
            yield np.asarray(pixels, np.uint8)

    def _lazy(self, jpeg: Pixels) -> LazyPixels:
        return LazyPixels(*self._size, jpeg, lambda: self._orientation.applied(self._fitted(from_jpeg(jpeg))))

    def _shown(self, bgr: Pixels) -> Pixels:
        return self._orientation.applied(self._fitted(rgb(bgr)))

    def _fitted(self, pixels: Pixels) -> Pixels:
        """The whole picture, centred on a grey one of the camera's size."""
        width, height = self._orientation.before(*self._size)
        if pixels.shape[:2] == (height, width):
            return pixels
        scale = min(width / pixels.shape[1], height / pixels.shape[0])
        size = min(width, round(pixels.shape[1] * scale)), min(height, round(pixels.shape[0] * scale))
        canvas = np.full((height, width, 3), 127, np.uint8)
        left, top = (width - size[0]) // 2, (height - size[1]) // 2
        inside = canvas[top : top + size[1], left : left + size[0]]
        cv2.resize(pixels, size, dst=inside, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        return canvas


def _pictures(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        if not found:
            raise NoCameraError(f"no pictures in {path}")
        return found
    if path.suffix.lower() not in PICTURES:
        return []
    if not path.exists():
        raise NoCameraError(f"{path} does not exist")
    return [path]


def _swayed(pixels: Pixels, seconds: float) -> LazyPixels:
    """The picture shifted a little, as by a hand-held camera."""
    phase = 2 * np.pi * seconds / DRIFT_SECONDS
    way = DRIFT * pixels.shape[1]
    shift = np.array([[1, 0, way * np.sin(phase)], [0, 1, way / 2 * np.sin(2 * phase)]])
    size = (pixels.shape[1], pixels.shape[0])
    warped = partial(cv2.warpAffine, pixels, shift, size, borderMode=cv2.BORDER_REPLICATE)
    return LazyPixels(*size, shift, lambda: np.asarray(warped(), np.uint8))
