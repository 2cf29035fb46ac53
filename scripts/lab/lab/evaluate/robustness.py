"""Does it always answer, and the same? Odd files to every endpoint; one portrait in every orientation and size."""

from collections.abc import Sequence
from pathlib import Path

import appliance_models
import numpy as np

from appliance.calibration.rates import Reals
from lab.device import IMAGE_TYPE, Answer, FoundFace, multipart, zipped
from lab.evaluate.client import Client
from lab.evaluate.measures import overlaps
from lab.pictures import STORED_AS, oriented, pasted, recompressed
from lab.report import Evaluation, Finding

QUESTION = "robustness"

PORTRAIT = appliance_models.FOLDER / "portrait.jpg"
"""The bundled portrait, which is pasted and turned."""

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


def measure(client: Client, data: Path) -> Evaluation:
    """Failed requests about the odd files in `data`, answers outside the contract, the least overlap of the portrait's face in
    each orientation with its box, and heights at which it is lost. Raises UnexpectedAnswerError.
    """
    portrait = PORTRAIT.read_bytes()
    aligned, good = client.aligned_faces(portrait)[0].pixels, recompressed(portrait, 90)

    def post(path: Path) -> list[Answer | None]:
        return [_ask(client, place.split()[0], *body) for place, body in places(path.read_bytes(), aligned, good)]

    files = sorted(path for path in data.iterdir() if path.is_file())
    answers = [answer for group in client.each("odd files", post, files) for answer in group]
    face = client.faces(portrait)[0]

    def overlap(orientation: int) -> float:
        return _best_overlap(client.faces(oriented(portrait, orientation)), face.box)

    def found(share: float) -> bool:
        height = share * CANVAS[1]
        width = height * face.box[2] / face.box[3]
        expected = np.array([(CANVAS[0] - width) / 2, (CANVAS[1] - height) / 2, width, height])
        return _best_overlap(client.faces(pasted(portrait, face.box, height, CANVAS)), expected) >= SAME_FACE

    given = [answer for answer in answers if answer is not None]
    none = len(answers) - len(given)
    failed = none + sum(answer.status >= 500 for answer in given)
    outside = sum(answer.headers.get("content-type") != JSON_TYPE or answer.code not in CODES for answer in given)
    least = min(client.each("orientations", overlap, list(STORED_AS)))
    missed = client.each("sizes", found, HEIGHTS).count(False)
    return Evaluation(
        {"files": len(files)},
        [
            Finding(QUESTION, f"5xx or no answer, of {len(answers)} requests", failed, at_most=0),
            Finding(QUESTION, "answers outside the contract", none + outside, at_most=0),
            Finding(QUESTION, "EXIF orientations 1 … 8: least IoU", least, at_least=LEAST_ORIENTED_IOU),
            Finding(QUESTION, f"face of 10 … 95 %: missed of {len(HEIGHTS)}", missed, at_most=0),
        ],
    )


def places(content: bytes, aligned: bytes, good: bytes) -> list[tuple[str, tuple[bytes, str]]]:
    """Every endpoint with every place that a file can have there; body and content type."""
    return [
        ("/faces", (content, IMAGE_TYPE)),
        ("/alignedfaces", (content, IMAGE_TYPE)),
        ("/similarity a", multipart({"image_a": content, "image_b": aligned})),
        ("/similarity/v2 a", multipart({"image_a": content, "image_b": aligned})),
        ("/similarity/v2 b", multipart({"image_a": aligned, "image_b": content})),
        ("/similarity/v2 body", (content, IMAGE_TYPE)),
        ("/liveness/multiframe zip", multipart({"images": content})),
        ("/liveness/multiframe as .jpg", multipart({"images": zipped([content] * 4, ".jpg")})),
        ("/liveness/multiframe last as .png", multipart({"images": zipped([good, good, good, content], ".png")})),
        ("/liveness/multiframe body", (content, IMAGE_TYPE)),
    ]


def _best_overlap(faces: Sequence[FoundFace], box: Reals) -> float:
    """The greatest IoU of any face with a box (4), 0 without faces."""
    return float(overlaps(np.array([face.box for face in faces]).reshape(-1, 4), box[None]).max(initial=0.0))


def _ask(client: Client, path: str, body: bytes, kind: str) -> Answer | None:
    try:
        return client.ask("POST", path, body, kind)
    except OSError:
        return None
