"""Does it always answer, and the same? Odd files to every endpoint; one portrait in every orientation and size."""

from pathlib import Path

import appliance_models
import numpy as np

from appliance.calibration.rates import Reals
from lab.device import IMAGE_TYPE, Answer, multipart, zipped
from lab.evaluate.client import Client
from lab.evaluate.measures import overlaps
from lab.pictures import STORED_AS, oriented, pasted, recompressed
from lab.report import Evaluation, Finding

QUESTION = "robustness"
PORTRAIT = appliance_models.FOLDER / "portrait.jpg"  # which is pasted and turned
CODES = frozenset(f"INF-{number:02d}" for number in range(27))  # the contract's result codes, INF-00 … INF-26
JSON_TYPE = "application/json"  # exactly: existing clients compare the string
LEAST_ORIENTED_IOU = 0.9
CANVAS = (1280, 720)  # width and height of the picture that a portrait is pasted into
HEIGHTS = tuple(step / 100 for step in range(10, 100, 5))  # of the face over that of the canvas: 10, 15 … 95 %
SAME_FACE = 0.5  # overlap from which the pasted face counts as found (PASCAL VOC)


def measure(client: Client, data: Path) -> Evaluation:
    """Failed requests about the odd files in `data`, answers outside the contract, the least overlap of the portrait's face in
    each orientation with its box, and heights at which it is lost. Raises UnexpectedAnswerError.
    """
    portrait = PORTRAIT.read_bytes()
    aligned, good = client.aligned_faces(portrait)[0].pixels, recompressed(portrait, 90)
    face = client.faces(portrait)[0]

    def post(path: Path) -> list[Answer | None]:
        """The answer of every endpoint to every place that a file can have there; None without one."""
        content = path.read_bytes()
        return [
            *(_ask(client, endpoint, content, IMAGE_TYPE) for endpoint in ("/faces", "/alignedfaces")),
            _ask(client, "/similarity", *multipart({"image_a": content, "image_b": aligned})),
            _ask(client, "/similarity/v2", *multipart({"image_a": content, "image_b": aligned})),
            _ask(client, "/similarity/v2", *multipart({"image_a": aligned, "image_b": content})),
            _ask(client, "/similarity/v2", content, IMAGE_TYPE),
            _ask(client, "/liveness/multiframe", *multipart({"images": content})),
            _ask(client, "/liveness/multiframe", *multipart({"images": zipped([content] * 4, ".jpg")})),
            _ask(client, "/liveness/multiframe", *multipart({"images": zipped([good] * 3 + [content], ".png")})),
            _ask(client, "/liveness/multiframe", content, IMAGE_TYPE),
        ]

    def overlap(picture: bytes, box: Reals) -> float:
        """The greatest IoU of any face in a picture with a box (4), 0 without faces."""
        found = np.array([face.box for face in client.faces(picture)]).reshape(-1, 4)
        return float(overlaps(found, box[None]).max(initial=0.0))

    def missed(share: float) -> bool:
        height = share * CANVAS[1]
        width = height * face.box[2] / face.box[3]
        expected = np.array([(CANVAS[0] - width) / 2, (CANVAS[1] - height) / 2, width, height])
        return overlap(pasted(portrait, face.box, height, CANVAS), expected) < SAME_FACE

    files = sorted(path for path in data.iterdir() if path.is_file())
    answers = [answer for group in client.each("odd files", post, files) for answer in group]
    given = [answer for answer in answers if answer is not None]
    none = len(answers) - len(given)
    failed = none + sum(answer.status >= 500 for answer in given)
    outside = sum(answer.headers.get("content-type") != JSON_TYPE or answer.code not in CODES for answer in given)
    turned = client.each("orientations", lambda each: overlap(oriented(portrait, each), face.box), list(STORED_AS))
    lost = sum(client.each("sizes", missed, HEIGHTS))
    findings = [
        Finding(QUESTION, f"5xx or no answer, of {len(answers)} requests", failed, at_most=0),
        Finding(QUESTION, "answers outside the contract", none + outside, at_most=0),
        Finding(QUESTION, "EXIF orientations 1 … 8: least IoU", min(turned), at_least=LEAST_ORIENTED_IOU),
        Finding(QUESTION, f"face of 10 … 95 %: missed of {len(HEIGHTS)}", lost, at_most=0),
    ]
    return Evaluation({"files": len(files)}, findings)


def _ask(client: Client, path: str, body: bytes, kind: str) -> Answer | None:
    try:
        return client.ask("POST", path, body, kind)
    except OSError:
        return None
