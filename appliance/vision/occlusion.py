"""Is the face hidden, by an object or by a mask? Skin has one colour: patches of the face are compared by chromaticity.

No network. Measured on 240 LFW portraits with masks and objects painted on (models/CARDS.md): at 1 % false alarms 87 % of
the masks and 45 % of the objects are seen. A skin-coloured mask is not, and a picture without colour says nothing.
"""

import numpy as np
import numpy.typing as npt

from appliance.face.types import Pixels, Points

UPPER = ((37, 38, 43), (52, 80, 2), (61, 81, 30), (45,))
"""Patches that a mask leaves free, each the centre of some of the 106 points: between the brows, below the eyes, the nose."""

LOWER = ((84, 82, 8), (90, 83, 24), (49, 87), (93, 16))
"""Patches that a mask covers: lower cheeks, upper lip, chin."""

PATCH = 0.04
"""Half a patch's side over the face's width."""

MASKED = 0.10
OCCLUDED = 0.12
"""Differences of chromaticity (L1 distance of red and green shares) that 1 % of uncovered LFW faces exceed."""


class OcclusionCheck:
    """Looks at one face in RGB pixels, given its 106 points in those pixels."""

    def masked(self, pixels: Pixels, points: Points) -> bool:
        """Whether the lower half of the face has another colour than the upper one; what the picture's border cuts off is not
        held against it.
        """
        upper, lower = (_chromaticities(pixels, points, patches) for patches in (UPPER, LOWER))
        return bool(min(len(upper), len(lower)) > 1 and np.median(_differences(lower, upper)) > MASKED)

    def occluded(self, pixels: Pixels, points: Points) -> bool:
        """Whether at least two patches of the face have another colour than the rest."""
        patches = _chromaticities(pixels, points, UPPER + LOWER)
        return bool(len(patches) > 2 and np.sort(_differences(patches, patches))[-2] > OCCLUDED)


def _differences(patches: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.abs(patches - np.median(reference, axis=0)).sum(axis=1))


def _chromaticities(pixels: Pixels, points: Points, patches: tuple[tuple[int, ...], ...]) -> npt.NDArray[np.float64]:
    """Red and green shares (N x 2) of the patches' mean colours; patches outside the picture are left out."""
    half = max(1, int(np.linalg.norm(points[2] - points[30]) * PATCH))
    shares = []
    for indices in patches:
        x, y = points[list(indices)].mean(axis=0).astype(int)
        patch = pixels[max(0, y - half) : max(0, y + half + 1), max(0, x - half) : max(0, x + half + 1)]
        if patch.size:
            red, green, blue = patch.reshape(-1, 3).mean(axis=0)
            total = red + green + blue + 1  # black has no chromaticity
            shares.append((red / total, green / total))
    return np.array(shares).reshape(-1, 2)
