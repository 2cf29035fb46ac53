"""Does it always answer, and the same? Odd files to every endpoint; one portrait in every orientation and size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import numpy as np

from appliance.evaluation.asked import CutFace, FoundFace
from appliance.evaluation.device import IMAGE_TYPE, Answer, Device, multipart, zipped
from appliance.evaluation.inquiry import in_parallel
from appliance.evaluation.measures import Reals, overlaps
from appliance.evaluation.pictures import STORED_AS, oriented, pasted, recompressed
from appliance.evaluation.report import Finding

QUESTION = "robustness"

CODES = frozenset(f"INF-{number:02d}" for number in range(27))
"""The contract's result codes, INF-00 … INF-26."""

JSON_TYPE = "application/json"
"""Exactly: existing clients compare the string."""

LEAST_ORIENTED_IOU = 0.9

CANVAS = (1280, 720)
"""Width and height of the picture that a portrait is pasted into."""

HEIGHTS = tuple(step / 100 for step in range(10, 100, 5))
"""Height of the face over that of the canvas: 10, 15 … 95 %."""

SAME_FACE = 0.5
"""Overlap from which the pasted face counts as found (PASCAL VOC)."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A question about one odd file, and what came back; None when nothing did."""

    title: str
    answer: Answer | None

    @property
    def server_error(self) -> bool:
        """Whether the device gave up: a 5xx, or no answer at all."""
        return self.answer is None or self.answer.status >= 500

    @property
    def outside_contract(self) -> bool:
        """Whether the answer is anything but JSON with one of the contract's codes."""
        answer = self.answer
        return answer is None or answer.headers.get("content-type") != JSON_TYPE or answer.code not in CODES


def measure(device: Device, data: Path, portrait: bytes, workers: int) -> list[Finding]:
    """`data` holds the odd files; `portrait` is a picture whose largest face is found."""
    posted = post_everything(device, data, portrait, workers)
    face = device.faces(portrait)[0]
    areas = oriented_overlaps(device, portrait, face, workers)
    steps = pasted_steps(device, portrait, face, workers)
    return [
        Finding(
            QUESTION, f"5xx or no answer, of {len(posted)} requests", sum(p.server_error for p in posted), at_most=0
        ),
        Finding(QUESTION, "answers outside the contract", sum(p.outside_contract for p in posted), at_most=0),
        Finding(QUESTION, "EXIF orientations 1 … 8: least IoU", min(areas), at_least=LEAST_ORIENTED_IOU),
        Finding(QUESTION, f"face of 10 … 95 %: missed of {len(steps)}", steps.count(False), at_most=0),
    ]


def post_everything(device: Device, data: Path, portrait: bytes, workers: int) -> list[Posted]:
    """Every file to every endpoint, in every place a file can have there."""
    aligned = device.aligned_faces(portrait)[0]
    good = recompressed(portrait, 90)

    def post(path: Path) -> list[Posted]:
        requests = questions(path.read_bytes(), aligned, good)
        return [
            Posted(f"{path.name} to {title}", _ask(device, title.split()[0], *body)) for title, body in requests.items()
        ]

    each = in_parallel("odd files", post, sorted(path for path in data.iterdir() if path.is_file()), workers)
    return [posted for group in each for posted in group]


def questions(content: bytes, aligned: CutFace, good: bytes) -> Mapping[str, tuple[bytes, str]]:
    """Path and place of the file -> body and content type."""
    return {
        "/faces": (content, IMAGE_TYPE),
        "/alignedfaces": (content, IMAGE_TYPE),
        "/similarity (a)": multipart({"image_a": content, "image_b": aligned.pixels}),
        "/similarity/v2 (a)": multipart({"image_a": content, "image_b": aligned.pixels}),
        "/similarity/v2 (b)": multipart({"image_a": aligned.pixels, "image_b": content}),
        "/similarity/v2 (body)": (content, IMAGE_TYPE),
        "/liveness/multiframe (zip)": multipart({"images": content}),
        "/liveness/multiframe (as .jpg)": multipart({"images": zipped([content] * 4, ".jpg")}),
        "/liveness/multiframe (last as .png)": multipart({"images": zipped([good, good, good, content], ".png")}),
        "/liveness/multiframe (body)": (content, IMAGE_TYPE),
    }


def oriented_overlaps(device: Device, portrait: bytes, face: FoundFace, workers: int) -> list[float]:
    """IoU of the portrait's face box with its box in each of the eight orientations; 0 where it is lost."""
    stored = [oriented(portrait, orientation) for orientation in STORED_AS]
    return in_parallel("orientations", lambda picture: best_overlap(device.faces(picture), face.box), stored, workers)


def pasted_steps(device: Device, portrait: bytes, face: FoundFace, workers: int) -> list[bool]:
    """Whether the face is found at each of the heights it is pasted in."""

    def found(share: float) -> bool:
        height = share * CANVAS[1]
        width = height * face.box[2] / face.box[3]
        expected = np.array([(CANVAS[0] - width) / 2, (CANVAS[1] - height) / 2, width, height])
        return best_overlap(device.faces(pasted(portrait, face.box, height, CANVAS)), expected) >= SAME_FACE

    return in_parallel("sizes", found, HEIGHTS, workers)


def best_overlap(faces: Sequence[FoundFace], box: Reals) -> float:
    """The greatest IoU of any face with a box (4), 0 without faces."""
    return float(overlaps(np.array([face.box for face in faces]).reshape(-1, 4), box[None]).max(initial=0.0))


def _ask(device: Device, path: str, body: bytes, kind: str) -> Answer | None:
    try:
        return device.ask("POST", path, body, kind)
    except (OSError, HTTPException):
        return None
