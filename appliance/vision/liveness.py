"""Is it alive? Four frames of one face: a MiniFASNet-class network on each, and what the scene gives away.

The network's three classes and its crops follow Minivision's Silent-Face-Anti-Spoofing; the scene evidence is measured in
models/CARDS.md, with its limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import cv2
import numpy as np

from appliance.face.types import Pixels
from appliance.vision import evidence
from appliance.vision.evidence import Scene
from appliance.vision.manifest import SHIPPED, Thresholds
from appliance.vision.runtime import Runs
from appliance.vision.still import LEAST_VARIATION, variation

CONTEXTS = (2.7, 4.0)
"""Sides of the crops over the face box's side, as the network was trained; frame by frame in turn. Both of each frame, and the
closer one mirrored, cost three times as much and separate the development sequences no better (models/CARDS.md).
"""

ALIVE = 0.5
"""The confidence from which a face is alive: the operating point, around which the scale is laid (calibration)."""

SURE = 0.97
"""The confidence from which liveness is beyond doubt: 50 of the 58 development sequences of real people in which a face can be
followed reach it, and the most of an attack is .05. The others are of videos whose pictures are soft (seven of .56 to .89).
"""

LOGIT_LIMIT = 8.0
"""One frame's log odds are cut here, so that a single sure frame does not outvote three."""

EVIDENCE_WEIGHT = 2.0
"""What a full sign of a presentation attack takes from the log odds."""

TEMPERATURE = 1.5
"""Log odds per unit of confidence, so that the bulk of real and attack sequences spreads over 0..1."""

SHIPPED_ODDS = 0.0
"""Log odds of the shipped operating point, confidence 0.5."""

SINGLE_ODDS = 0.0
"""Log odds at which one frame has the confidence 0.5. Of the 239 frames of 60 development prints and replays none reaches it,
of the 236 frames of 59 live people 3.0 % do not.
"""

LEAST_ODDS = -LOGIT_LIMIT - EVIDENCE_WEIGHT * 3.5
"""The least there can be: a sure network, and all of the bezel's 1.5, the glued surroundings and the moiré."""

NOT_ONE_LIVE_PERSON = 0.30
"""The most that a still shown again, edited or not, or four frames of more than one person, can score (the contract)."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The verdict on four frames: `confidence` 0..1 that a live person was there, and what it rests on.

    `odds`, -15..8: the confidence reaches 0.5 when they reach the operating point; LEAST_ODDS when it never does.
    """

    confidence: float
    odds: float
    network: float
    bezel: float
    coupled: bool
    moire: bool
    still: bool
    blind: bool


class LivenessCheck:
    """Judges four frames of one face."""

    def __init__(self, network: Runs) -> None:
        self._network = network

    def judge(
        self, scenes: Sequence[Scene], *, one_person: bool, covered: bool = False, thresholds: Thresholds = SHIPPED
    ) -> Liveness:
        """The verdict on frames in time order. `one_person`: whether their embeddings are one person's; `covered`:
        whether a mask or an object hides the face, which leaves the network nothing to judge. The confidence 0.5 is the
        operating point: this device's in `thresholds`, else the shipped one.
        """
        network = float(np.mean([self._logit(*each) for each in zip(scenes, cycle(CONTEXTS), strict=False)]))
        bezel = float(np.mean([evidence.bezel(scene) for scene in scenes[::2]]))
        coupled = evidence.moves_as_one(scenes)
        moire = float(np.mean([evidence.moire(scene) for scene in scenes])) > evidence.MOIRE
        still = evidence.smallest_change(scenes) < evidence.STILL or not variation(scenes) >= LEAST_VARIATION
        blind = covered or evidence.blind(scenes)
        odds = network - EVIDENCE_WEIGHT * (bezel + coupled + moire)
        threshold = thresholds.get(self._network.file.sha256, SHIPPED_ODDS)
        confidence = 1 / (1 + float(np.exp(-(odds - threshold) / TEMPERATURE)))
        if blind and confidence > 0.5:
            confidence = 0.5 + (confidence - 0.5) / 2
        if still or not one_person:
            confidence, odds = min(confidence, NOT_ONE_LIVE_PERSON), LEAST_ODDS
        return Liveness(confidence, odds, network, bezel, coupled, moire, still, blind)

    def judge_single(self, scene: Scene, *, covered: bool) -> float:
        """How sure it is, 0..1, that a face is alive that is seen in one frame: by the same network and the signs that need no
        motion. The confidence is 0.5 at SINGLE_ODDS.
        """
        network = float(np.mean([self._logit(scene, context) for context in CONTEXTS]))
        odds = network - EVIDENCE_WEIGHT * (evidence.bezel(scene) + (evidence.moire(scene) > evidence.MOIRE))
        confidence = 1 / (1 + float(np.exp(-(odds - SINGLE_ODDS) / TEMPERATURE)))
        blind = covered or evidence.blind([scene])
        return 0.5 + (confidence - 0.5) / 2 if blind and confidence > 0.5 else confidence

    def _logit(self, scene: Scene, context: float) -> float:
        """Log odds of "live" for one frame."""
        crop = self._crop(scene, context)
        live, *attacks = self._network.run(crop)[0]
        return float(np.clip(live - np.logaddexp.reduce(attacks), -LOGIT_LIMIT, LOGIT_LIMIT))

    def _crop(self, scene: Scene, context: float) -> Pixels:
        """The square about the face, `context` times as large, slid inside the picture (never padded: the network takes
        a black border for a screen's).
        """
        height, width = scene.pixels.shape[:2]
        box = scene.box.squared()
        scale = min((height - 1) / box.side, (width - 1) / box.side, context)
        side = box.side * scale
        center_x, center_y = box.center
        left = int(np.clip(center_x - side / 2, 0, max(0.0, width - 1 - side)))
        top = int(np.clip(center_y - side / 2, 0, max(0.0, height - 1 - side)))
        region = scene.pixels[top : min(height, int(top + side) + 1), left : min(width, int(left + side) + 1)]
        size = self._network.file.width
        return np.asarray(cv2.resize(region, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
