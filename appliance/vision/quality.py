"""What a face's picture is worth for recognition, and what spoils it. No network: size, sharpness, light, pose, visibility.

Each aspect is the cosine that is left between a face's embedding and that of the same picture unspoilt: the tables below are
means over 167 LFW portraits that were scaled down, blurred, darkened, overexposed and lit from one side; how well they hold
on other people's is in models/CARDS.md.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from appliance.face.alignment import FIVE_OF_106, TEMPLATE, apply, similarity_transform
from appliance.face.types import AlignedFace, Face, Pixels, Points

PUPILS = (104, 105)
"""Indices of the pupils among the 106 points."""

INNER = (slice(30, 105), slice(20, 92))
"""Rows and columns of the aligned 112 x 112 face that show brows to chin, without hair and background."""

NOISE = 0.5
"""Grey levels squared, added to what a derivative varies by: an even surface is not sharp."""

CONTRAST = 30.0
"""Grey levels squared, added to what the face varies by: a dark face's noise is not sharpness."""

Table = tuple[tuple[float, ...], tuple[float, ...]]
"""Rising values of a feature, and the cosine left at each of them."""

PUPIL_DISTANCE: Final[Table] = ((4, 6, 8, 10, 13, 16, 20, 26, 36), (0.2, 0.38, 0.58, 0.73, 0.87, 0.93, 0.97, 0.99, 1))
"""Pixels of the picture between the pupils; the network's own input has 35."""

FINE_DETAIL: Final[Table] = ((-2.9, -2.73, -2.63, -2.48, -2.25, -2.03, -1.75), (0.2, 0.45, 0.58, 0.72, 0.89, 0.97, 1))
"""Logarithm (base 10) of the second derivative's variance over the face's, in the direction that has least of it."""

COARSE_DETAIL: Final[Table] = (
    (-2.52, -2.4, -2.26, -2.06, -1.81, -1.48, -1.29, -1.0),
    (0.08, 0.15, 0.22, 0.39, 0.62, 0.85, 0.93, 1),
)
"""The same at half the size (means over 120 LFW portraits, blurred by 0 to 8 pixels of 112): of a face that is blurred by more
than 4 pixels nothing but noise is left at full size.
"""

BRIGHTNESS: Final[Table] = ((12, 18, 28, 46, 92, 140), (0.2, 0.5, 0.73, 0.89, 0.97, 1))
"""Grey level that 5 % of the face exceed."""

OVEREXPOSED: Final[Table] = ((0.02, 0.14, 0.41, 0.67, 0.75), (1, 0.95, 0.82, 0.54, 0.35))
"""Share of the face that is white (over 247)."""

EVENNESS: Final[Table] = ((0.15, 0.18, 0.31, 0.55, 0.8), (0.55, 0.66, 0.78, 0.88, 1))
"""Mean grey level of the darker half of the face over that of the lighter half."""

YAW: Final[Table] = ((20, 30, 45, 50), (1, 0.93, 0.85, 0.63))
PITCH: Final[Table] = ((15, 25, 40, 90), (1, 0.95, 0.7, 0.4))
"""Degrees away from the front. Mean cosine of 500 pairs of one person over that of pairs who both look ahead. Beyond 45 and 40
degrees there were none: the mesh reads about 50 degrees of yaw on a profile, whose cosine to the front follows from its true
match rates (.84 and .73 at a false match rate of 1 and .1 %); the line of the pitch goes on.
"""

COVERED = 0.55
"""Mean cosine left of 60 LFW faces under painted masks; under dark glasses it is .72, which alone would not keep them out of a
gallery (`gallery.min_quality` is 0.6).
"""

LIT = 0.75
"""Light below which covers are not looked for: shadows and noise have colours of their own."""

WHITE = 247


@dataclass(frozen=True, slots=True)
class Quality:
    """Five aspects, each 0..1, 1 for a picture that nothing is wrong with."""

    size: float
    sharpness: float
    light: float
    pose: float
    visibility: float

    @property
    def overall(self) -> float:
        """0..1: about the cosine to the same face in a flawless picture. Size and sharpness are one loss, seen twice."""
        return min(self.size, self.sharpness) * self.light * self.pose * self.visibility

    @property
    def weakest(self) -> str:
        """The aspect to mend first."""
        aspects = asdict(self)
        return min(aspects, key=lambda name: aspects[name])


@dataclass(frozen=True, slots=True)
class Light:
    """What a quality's `light` is the least of, each 0..1."""

    brightness: float
    exposure: float
    evenness: float

    @property
    def weakest(self) -> str:
        """What to mend first: "brightness" (too dark), "exposure" (too bright) or "evenness" (from one side)."""
        aspects = asdict(self)
        return min(aspects, key=lambda name: aspects[name])


def judge(face: Face, aligned: AlignedFace) -> Quality:
    """The quality of a face, given its aligned picture (112 x 112 RGB)."""
    grey = _Grey.of(aligned)
    left, right = face.points[list(PUPILS)]
    lit = min(asdict(grey.light).values())
    return Quality(
        size=_left(PUPIL_DISTANCE, float(np.hypot(*(right - left)))),
        sharpness=min(_left(FINE_DETAIL, grey.detail()), _left(COARSE_DETAIL, grey.halved().detail())),
        light=lit,
        pose=_left(YAW, abs(face.pose.yaw)) * _left(PITCH, abs(face.pose.pitch)),
        visibility=COVERED if lit > LIT and OcclusionCheck().covered(face, aligned) else 1.0,
    )


def light(aligned: AlignedFace) -> Light:
    """The light on a face, given its aligned picture."""
    return _Grey.of(aligned).light


class _Grey:
    """Grey levels (rows x columns) of a face."""

    def __init__(self, pixels: npt.NDArray[np.float32]) -> None:
        self.pixels = pixels

    @classmethod
    def of(cls, aligned: AlignedFace) -> Self:
        """The inner part of an aligned face."""
        return cls(np.asarray(cv2.cvtColor(aligned.pixels, cv2.COLOR_RGB2GRAY), np.float32)[INNER])

    def halved(self) -> Self:
        rows, columns = self.pixels.shape
        half = cv2.resize(self.pixels, (columns // 2, rows // 2), interpolation=cv2.INTER_AREA)
        return type(self)(np.asarray(half, np.float32))

    @property
    def light(self) -> Light:
        return Light(
            brightness=_left(BRIGHTNESS, _percentile(self.pixels, 95)),
            exposure=_left(OVEREXPOSED, float((self.pixels > WHITE).mean())),
            evenness=_left(EVENNESS, self.evenness),
        )

    @cached_property
    def halves(self) -> list[npt.NDArray[np.float32]]:
        """Left and right of the nose."""
        return np.array_split(self.pixels, 2, axis=1)

    @property
    def evenness(self) -> float:
        darker, lighter = sorted(float(half.mean()) for half in self.halves)
        return (darker + 1) / (lighter + 1)

    def detail(self) -> float:
        middle, least = 2 * self.pixels[1:-1, 1:-1], float("inf")
        rows, columns = self.pixels.shape
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
            ahead, behind = (
                self.pixels[1 + sign * down : rows - 1 + sign * down, 1 + sign * across : columns - 1 + sign * across]
                for sign in (1, -1)
            )
            steps = 1 + down * abs(across)  # a diagonal step is longer, by the square root of two
            least = min(least, _variance(ahead + behind - middle) / steps**2)
        variance = sum(map(_variance, self.halves)) / 2
        return float(np.log10((least + NOISE) / (variance + CONTRAST)))


def _left(table: Table, value: float) -> float:
    return float(np.interp(value, *table))


def _variance(values: npt.NDArray[np.float32]) -> float:
    return float(cv2.meanStdDev(values)[1].item() ** 2)


def _percentile(values: npt.NDArray[Any], percent: int) -> float:
    """As np.percentile, in a third of the time."""
    place = (values.size - 1) * percent / 100
    below = int(place)
    around = np.partition(values, (below, min(below + 1, values.size - 1)), axis=None)[below : below + 2]
    return float(np.interp(place - below, (0, 1)[: around.size], around))


UPPER = ((37, 38, 43), (52, 80, 2), (61, 81, 30), (45,))
"""Patches that a mask leaves free, each the centre of some of the 106 points: between the brows, below the eyes, the nose."""

LOWER = ((84, 82, 8), (90, 83, 24), (49, 87), (93, 16))
"""Patches that a mask covers: lower cheeks, upper lip, chin."""

PATCH = 0.04
"""Half a patch's side over the face's width."""

MASKED = 0.10
OCCLUDED = 0.12
"""Differences of chromaticity (L1 distance of red and green shares) that 1 % of uncovered LFW faces exceed."""


EYES = ((slice(46, 62), slice(26, 50)), (slice(46, 62), slice(62, 86)))
CHEEKS = (slice(66, 84), slice(26, 86))
"""Rows and columns of the aligned 112 x 112 face: what glasses cover, and the cheeks and nose below."""

SHADED, BARED = 0.70, 2.2
"""Light part of the eye regions (80th percentile of their grey levels, the lighter region) over the median below: less than
the first behind dark glasses and above a white mask, more than the second above a dark one. Of 492 uncovered LFW faces 1 %
are outside, those whose eyes lie in the shadow of a cap or the brows.
"""


MASK_POWER = 4.0
"""Steepness of the confidence that a face wears a mask."""

PALER, TINGED = 1.1, 0.035
"""Brightness of the lower half of a face over that of the upper one, and the difference of their chromaticities, which white
masks exceed: with them 54 instead of 33 of 60 painted ones are found, and .6 % of uncovered LFW faces more.
"""


class OcclusionCheck:
    """Looks at one face in RGB pixels, given its 106 points in those pixels."""

    def covered(self, face: Face, aligned: AlignedFace) -> bool:
        """Whether a mask, dark glasses or an object hide a part of a face, given its aligned picture."""
        upright = similarity_transform(face.points[list(FIVE_OF_106)], TEMPLATE)
        colours = _Colours.of(aligned.pixels, apply(upright, face.points))
        return self.shaded(aligned) or colours.pale or colours.masked or colours.occluded

    def mask(self, face: Face, aligned: AlignedFace) -> float:
        """How sure it is that a face wears a mask, 0..1, given its aligned picture: 0.5 where `masked` or `pale` begins.
        Raises ValueError when too little of its lower or its upper half is in the picture.
        """
        upright = similarity_transform(face.points[list(FIVE_OF_106)], TEMPLATE)
        strength: float = _Colours.of(aligned.pixels, apply(upright, face.points)).mask_strength ** MASK_POWER
        return strength / (1 + strength)

    def shaded(self, aligned: AlignedFace) -> bool:
        """Whether the eyes are much darker than the face below them, or much lighter."""
        grey = cv2.cvtColor(aligned.pixels, cv2.COLOR_RGB2GRAY)
        light = max(_percentile(grey[region], 80) for region in EYES)
        return not SHADED <= (light + 1) / (_percentile(grey[CHEEKS], 50) + 1) <= BARED

    def masked(self, pixels: Pixels, points: Points) -> bool:
        """Whether the lower half of the face has another colour than the upper one; what the picture's border cuts off is not
        held against it.
        """
        return _Colours.of(pixels, points).masked

    def occluded(self, pixels: Pixels, points: Points) -> bool:
        """Whether at least two patches of the face have another colour than the rest."""
        return _Colours.of(pixels, points).occluded


@dataclass(frozen=True, slots=True)
class _Colours:
    """Red and green shares of the patches' mean colours, and the sum of red, green and blue (N x 3); patches outside the
    picture are left out.
    """

    upper: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]

    @classmethod
    def of(cls, pixels: Pixels, points: Points) -> Self:
        half = max(1, int(np.linalg.norm(points[2] - points[30]) * PATCH))
        return cls(*(_patches(pixels, _CENTRES[patches] @ points, half) for patches in (UPPER, LOWER)))

    @property
    def pale(self) -> bool:
        """Whether the lower half of the face is lighter than the upper one, and of a somewhat different colour."""
        if not self._both:
            return False
        lighter = bool(_median(self.lower[:, 2]) > PALER * _median(self.upper[:, 2]))
        return lighter and self._tinge > TINGED

    @property
    def masked(self) -> bool:
        return self._both and self._tinge > MASKED

    @property
    def mask_strength(self) -> float:
        """The signs of a mask over their thresholds, the stronger one. Raises ValueError."""
        if not self._both:
            raise ValueError("too little of the face is in the picture")
        lighter = float(_median(self.lower[:, 2]) / _median(self.upper[:, 2]))
        return max(self._tinge / MASKED, min(lighter / PALER, self._tinge / TINGED))

    @property
    def occluded(self) -> bool:
        patches = np.concatenate([self.upper, self.lower])
        return len(patches) > 2 and bool(np.sort(_differences(patches, patches))[-2] > OCCLUDED)

    @property
    def _both(self) -> bool:
        return min(len(self.upper), len(self.lower)) > 1

    @property
    def _tinge(self) -> float:
        return float(_median(_differences(self.lower, self.upper)))


_CENTRES = {
    patches: np.array([np.isin(np.arange(106), each) / len(each) for each in patches]) for patches in (UPPER, LOWER)
}
"""Matrices (N x 106) that give the centres of the patches."""


def _differences(patches: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of the chromaticities."""
    return np.asarray(np.abs(patches[:, :2] - _median(reference[:, :2])).sum(axis=1))


def _median(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """As np.median(values, axis=0), in a third of the time."""
    ordered, middle = np.sort(values, axis=0), len(values) // 2
    return np.asarray((ordered[middle] + ordered[(len(values) - 1) // 2]) / 2)


def _patches(pixels: Pixels, centres: Points, half: int) -> npt.NDArray[np.float64]:
    colours = []
    for x, y in centres.astype(int).tolist():
        patch = pixels[max(0, y - half) : max(0, y + half + 1), max(0, x - half) : max(0, x + half + 1)]
        if patch.size:
            red, green, blue, _ = cv2.mean(patch)
            total = red + green + blue + 1  # black has no chromaticity
            colours.append((red / total, green / total, total))
    return np.array(colours).reshape(-1, 3)
