"""Tracks faces from frame to frame."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import hypot

from appliance.face.types import Box, Face
from appliance.vision.detector import Picture

REACH = 1.0
"""How far the centre of a face may move from one frame to the next, in sides of its box; a person who walks by moves about one
in 0.3 s."""

GROWTH = 1.5
"""By which factor its box may grow or shrink."""

LOST_SECONDS = 1.0
"""A face not seen for so long has left; a glance away or a hand in front of the face is shorter."""

SIGHTINGS, SIGHTING_SECONDS = 4, 0.3
"""Number and distance of the frames for the liveness check (the contract)."""


@dataclass(slots=True)
class Track:
    """A tracked face: its number, its last position, and some frames with it, oldest first."""

    number: int
    face: Face
    since: float
    seen: float
    sightings: deque[tuple[Picture, Face]] = field(default_factory=lambda: deque(maxlen=SIGHTINGS))
    sighted: float = float("-inf")

    def sight(self, picture: Picture, face: Face, now: float) -> None:
        """Updates the face at `now` (seconds)."""
        self.face, self.seen = face, now
        if now - self.sighted >= SIGHTING_SECONDS:
            self.sightings.append((picture, face))
            self.sighted = now


class Tracker:
    """Tracks all faces."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._count = 0

    def update(
        self, picture: Picture, faces: Sequence[Face], now: float
    ) -> tuple[list[Track], list[Track], list[Track]]:
        """Takes the faces of a frame captured at `now` (seconds); returns the tracks of `faces`, in their order, the new ones
        among them, and the tracks that have ended.
        """
        matched = match([track.face.detection.box for track in self._tracks], [face.detection.box for face in faces])
        by_face = {face: self._tracks[track] for track, face in matched.items()}
        current: list[Track] = []
        appeared: list[Track] = []
        for index, face in enumerate(faces):
            track = by_face.get(index)
            if track is None:
                self._count += 1
                track = Track(self._count, face, now, now)
                appeared.append(track)
            track.sight(picture, face, now)
            current.append(track)
        self._tracks.extend(appeared)
        return current, appeared, self.end(now - LOST_SECONDS)

    def end(self, before: float) -> list[Track]:
        """Ends and returns the tracks not seen since `before`."""
        left = [track for track in self._tracks if track.seen < before]
        self._tracks = [track for track in self._tracks if track.seen >= before]
        return left


def match(before: Sequence[Box], after: Sequence[Box]) -> dict[int, int]:
    """Pairs the boxes of two frames, the closest first: index in `before` -> index in `after`."""
    distances = sorted(
        (distance, i, j)
        for i, a in enumerate(before)
        for j, b in enumerate(after)
        if (distance := _distance(a, b)) is not None
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in distances:
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def followed(frames: Sequence[Sequence[Face]]) -> list[Face] | None:
    """The face that is in all frames, one per frame; of several the one largest in the last frame; None if there is none."""
    chains = [[face] for face in frames[0]]
    for faces in frames[1:]:
        pairs = match([chain[-1].detection.box for chain in chains], [face.detection.box for face in faces])
        chains = [[*chains[i], faces[j]] for i, j in pairs.items()]
    return max(chains, key=lambda chain: chain[-1].detection.box.side, default=None)


def _distance(a: Box, b: Box) -> float | None:
    """Between the centres, in sides of the smaller box; None if it cannot be the same face."""
    if max(a.side, b.side) > GROWTH * min(a.side, b.side):
        return None
    distance = hypot(a.center[0] - b.center[0], a.center[1] - b.center[1]) / min(a.side, b.side)
    return distance if distance <= REACH else None
