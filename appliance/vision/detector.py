"""Where are faces? YuNet: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023."""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from appliance.face.alignment import Affine, suppress
from appliance.face.types import Box, Detection, DetectLimits, Frame, Pixels
from appliance.vision.runtime import Floats, Runs

BLUR_FREE_SHRINK = 2.0
"""A bilinear warp reads 2 x 2 source pixels a target pixel: shrinking by more than this would skip pixels and alias."""


class Picture(Protocol):
    """A picture whose pixels can be had at several sizes; `width` and `height` are those of the full, upright picture."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def frame(self, detail: float) -> Frame:
        """The picture with at least `detail` frame pixels a picture pixel (0..1]; may be finer."""
        ...


def magnification(affine: Affine) -> float:
    """How many target pixels a source pixel becomes under a similarity transform."""
    return float(np.hypot(affine[0, 0], affine[1, 0]))


def cut(picture: Picture, affine: Affine, size: int) -> Pixels:
    """A `size` x `size` RGB crop of the picture; `affine` takes picture pixels to crop pixels. Black beyond the border."""
    frame = picture.frame(min(1.0, magnification(affine)))
    pixels, matrix = frame.pixels, affine.copy()
    matrix[:, :2] /= frame.scale
    shrink = 1 / magnification(matrix)
    if shrink > BLUR_FREE_SHRINK:
        pixels, matrix = _shrunk(pixels, matrix, size, shrink)
    return np.asarray(cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def mirror(crop: Pixels) -> Pixels:
    """The crop with left and right exchanged."""
    return np.asarray(cv2.flip(crop, 1), np.uint8)


def _shrunk(pixels: Pixels, matrix: Affine, size: int, shrink: float) -> tuple[Pixels, Affine]:
    """The part of `pixels` under the crop, averaged down by halves so that the warp shrinks by less than BLUR_FREE_SHRINK, and
    its transform.
    """
    step = 2 ** int(np.log2(min(shrink, *pixels.shape[:2])))
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    inside = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    most = np.array(pixels.shape[1::-1]) // step  # in steps, like the next two
    first = np.clip(np.floor(inside.min(axis=0) / step), 0, most - 1).astype(int)
    end = np.clip(np.ceil(inside.max(axis=0) / step), first + 1, most).astype(int)
    (left, top), (right, bottom) = first * step, end * step
    small = _halved(pixels[top:bottom, left:right], *(end - first))
    shift = matrix[:, 2] + matrix[:, :2] @ np.array([left, top])
    return small, np.column_stack([matrix[:, :2] * step, shift])


SMALLEST_FACE = 12
"""Pixels of a network's input that the smallest wanted face should still measure; below it recall falls (models/CARDS.md)."""

SCORE = 0.45
"""Below it a candidate is no face: keeps .8821 / .8618 / .7728 of the .8873 / .8755 / .8093 average precision that all
candidates have on the development pictures (easy / medium / hard), with less than half of the false ones."""

OVERLAP = 0.3
"""Intersection over union above which two candidates are one face (as the network's authors evaluate it)."""


FILLED = 0.97
"""Least share of a network's longer side that a picture's takes: one of 16:9 takes .978 of 640, because 352 is a multiple of 32
and 360 is not.
"""

LYING = 0.7
"""Score from which a face counts that is found in the turned picture alone: 28 of 29 lying faces of LFW have it, and none of
seven false ones in 236 patches of WIDER FACE without faces (at most .66).
"""


class Detector:
    """Finds faces with the smallest network in which the smallest wanted face is still large enough."""

    def __init__(self, networks: Sequence[Runs]) -> None:
        """One network an input size, in any order."""
        self._networks = sorted(networks, key=lambda network: network.file.area)

    @property
    def smallest(self) -> Runs:
        return self._networks[0]

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Detection]:
        """The faces within `limits`, largest first; in picture pixels. A picture without any may be searched again, turned by
        90 degrees: the networks miss a quarter of the faces that lie on their side, but upside down they find them.
        """
        found = self._found(picture, limits.min_size)
        if not found and limits.lying:
            turned = self._found(_Turned(picture), limits.min_size)
            found = [_back(each, picture.width) for each in turned if each.score >= LYING]
        wanted = [face for face in found if limits.min_size <= face.box.side <= limits.max_size]
        return sorted(wanted, key=lambda face: face.box.side, reverse=True)

    def _found(self, picture: Picture, min_size: float) -> list[Detection]:
        """The faces of any size, by the networks for faces from `min_size` on."""
        candidates = np.concatenate([self._candidates(picture, n) for n in self._suited(picture, min_size)])
        keep = suppress(candidates[:, :4], candidates[:, 14], OVERLAP)
        return [_detection(row) for row in candidates[keep]]

    def _suited(self, picture: Picture, min_size: float) -> Sequence[Runs]:
        """The smallest network that will do. The largest is joined by the one before it, because alone it loses faces that
        fill the picture: average precision .8758 alone, .8873 together (easy setting, development pictures).
        """
        networks = self._fitting(picture)
        fine = (n for n in networks if min_size * _scale(picture, n) >= SMALLEST_FACE)
        chosen = next(fine, networks[-1])
        return networks[-2:] if chosen is networks[-1] else [chosen]

    def _fitting(self, picture: Picture) -> list[Runs]:
        """The networks whose longer side the picture's (almost) fills, of each length the smallest; shortest first. Without
        one: all.
        """
        longer = max(picture.width, picture.height)
        smallest: dict[int, Runs] = {}
        for network in self._networks:
            side = max(network.file.width, network.file.height)
            if _scale(picture, network) >= FILLED * side / longer:
                smallest.setdefault(side, network)
        return [smallest[side] for side in sorted(smallest)] or self._networks

    def _candidates(self, picture: Picture, network: Runs) -> Floats:
        """N x 15: box (x, y, width, height), five landmarks (x, y), score; in picture pixels."""
        file, scale = network.file, _scale(picture, network)
        canvas = letterbox(picture.frame(min(1.0, scale)), file.width, file.height, scale)
        rows = [_decoded(level, file.width) for level in levels(network.run(canvas))]
        candidates = np.concatenate(rows)
        candidates[:, :14] /= scale
        return candidates


class _Turned:
    """A picture turned counter-clockwise by 90 degrees."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.width, self.height = picture.height, picture.width

    def frame(self, detail: float) -> Frame:
        frame = self._picture.frame(detail)
        return Frame(np.ascontiguousarray(np.rot90(frame.pixels)), frame.scale)


def _back(found: Detection, width: float) -> Detection:
    """A detection of a turned picture in the one that is `width` pixels wide. The landmarks stay upright, as those are that the
    network gives a turned face that it finds directly.
    """
    turned = found.box
    box = Box(width - turned.y - turned.height, turned.x, turned.height, turned.width)
    moved = np.subtract(box.center, turned.center).astype(np.float32)
    return Detection(box, found.landmarks + moved, found.score)


def _scale(picture: Picture, network: Runs) -> float:
    """Input pixels of a network a picture pixel, when all of the picture is seen."""
    return min(network.file.width / picture.width, network.file.height / picture.height)


def letterbox(frame: Frame, columns: int, rows: int, scale: float) -> Pixels:
    """The frame resized to `scale` input pixels a picture pixel, in the top-left corner of `rows` x `columns` black ones."""
    canvas = np.zeros((rows, columns, 3), np.uint8)
    factor = scale / frame.scale
    width, height = (
        min(most, max(1, round(side * factor))) for most, side in ((columns, frame.width), (rows, frame.height))
    )
    pixels = _halved(frame.pixels, width, height)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    cv2.resize(pixels, (width, height), dst=canvas[:height, :width], interpolation=interpolation)
    return canvas


def _halved(pixels: Pixels, width: int, height: int) -> Pixels:
    """The pixels averaged down by halves while they stay at least `width` x `height`: a fifth of the time of one large step."""
    while (
        pixels.shape[1] % 2 == pixels.shape[0] % 2 == 0
        and pixels.shape[1] >= 2 * width
        and pixels.shape[0] >= 2 * height
    ):
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def levels(outputs: Sequence[Floats]) -> list[dict[int, list[Floats]]]:
    """The outputs (rows x columns x channels) by stride and number of channels: 1 (class and object score), 4, 10."""
    levels: dict[int, dict[int, list[Floats]]] = {}
    for output in outputs:
        levels.setdefault(output.shape[0], {}).setdefault(output.shape[2], []).append(output)
    return list(levels.values())


def scores(level: dict[int, list[Floats]]) -> Floats:
    """The score of each cell (rows x columns, 0..1) of one stride."""
    first, second = level[1]
    found: Floats = np.sqrt(np.clip(first * second, 0, 1))[:, :, 0]
    return found


def _decoded(level: dict[int, list[Floats]], width: int) -> Floats:
    """Candidates (N x 15, input pixels) of one stride of an input `width` pixels wide: box centre (p + cell) * stride, size
    exp(p) * stride.
    """
    score = scores(level)
    rows, columns = np.nonzero(score > SCORE)
    if not rows.size:
        return np.empty((0, 15), np.float32)
    stride = width // score.shape[1]
    cells = np.stack([columns, rows], axis=1).astype(np.float32)
    box = level[4][0][rows, columns]
    centers = (box[:, :2] + cells) * stride
    sizes = np.exp(np.clip(box[:, 2:], None, np.log(2 * width / stride))) * stride
    landmarks = (level[10][0][rows, columns].reshape(-1, 5, 2) + cells[:, np.newaxis]) * stride
    return np.concatenate(
        [centers - sizes / 2, sizes, landmarks.reshape(-1, 10), score[rows, columns, np.newaxis]], axis=1
    )


def _detection(row: Floats) -> Detection:
    x, y, width, height = (float(value) for value in row[:4])
    return Detection(Box(x, y, width, height), row[4:14].reshape(5, 2), float(row[14]))
