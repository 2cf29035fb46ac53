"""Where are faces? Labelled pictures, by the rules of WIDER FACE.

AP needs what the HTTP answer does not have: each face's score, and the detector's own rectangle (the contract's box is that
rectangle squared, which no labelled rectangle is). So it is asked of the device's detector in this process.
"""

from collections.abc import Callable, Sequence
from math import inf, nan
from pathlib import Path

import numpy as np

from appliance.config import Config
from appliance.face.types import DetectLimits
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.engine import EnginePool
from appliance.vision.manifest import ModelStore
from lab.device import UnexpectedAnswerError
from lab.evaluate.client import NO_PICTURE, Client
from lab.evaluate.datasets import LabelledPicture, read_labelled_pictures
from lab.evaluate.measures import FALSE, DetectedPicture, average_precision, match, precision_recall
from lab.report import Evaluation, Finding, Mistake

QUESTION = "detection"
LEAST_AP = {"easy": 0.87, "medium": 0.85, "hard": 0.70}  # yuNet's published figures at full size: .884, .866, .750
MINSIZE, DETECTCOUNT = 8, 1000  # smaller than the smallest face that counts (10 px), and more than any picture has
DIGITS = 5  # as in the answers of the API


def measure(client: Client, data: Path, settings: Config) -> Evaluation:
    """`data` is laid out as datasets.read_labelled_pictures describes. Raises LayoutError, ModelError,
    UnexpectedAnswerError.
    """
    pictures = read_labelled_pictures(data)
    detect = detector(client, settings)
    query = {"minsize": MINSIZE, "detectcount": DETECTCOUNT}

    def find(picture: LabelledPicture) -> list[list[float]]:
        content = picture.path.read_bytes()
        found: list[list[float]] = client.journal.answer("scores", [content], query, lambda: detect(content))
        return found

    found = client.each("detecting", find, pictures)
    labels, judged = sum(len(picture.boxes) for picture in pictures), by_setting(pictures, found)
    last = [*judged][-1]
    return Evaluation(
        {"pictures": len(pictures), "labelled faces": labels, "detections": sum(map(len, found))},
        [_precision(*each) for each in judged.items()],
        f"Mistakes by the rules of WIDER FACE, in the setting “{last}”.",
        _mistakes([picture.path for picture in pictures], judged[last]),
    )


def by_setting(
    pictures: Sequence[LabelledPicture], found: Sequence[Sequence[Sequence[float]]]
) -> dict[str, list[DetectedPicture]]:
    """Detections (x, y, width, height, score of each) and labels in each setting: easy, medium and hard where labels say so."""
    faces = [np.array(each, dtype=np.float64).reshape(-1, 5) for each in found]
    return {
        setting: [
            DetectedPicture(each[:, :4], each[:, 4], picture.boxes, picture.counted[setting])
            for picture, each in zip(pictures, faces, strict=True)
        ]
        for setting in pictures[0].counted
    }


def _precision(setting: str, pictures: Sequence[DetectedPicture]) -> Finding:
    title = f"AP {setting} ({sum(int(picture.counted.sum()) for picture in pictures)} faces)"
    try:
        value, note = average_precision(*precision_recall(pictures)), ""
    except ValueError:
        value, note = nan, "no faces"
    return Finding(QUESTION, title, value, at_least=LEAST_AP.get(setting, -inf), note=note)


def _mistakes(paths: Sequence[Path], pictures: Sequence[DetectedPicture]) -> dict[str, list[Mistake]]:
    """The false detections with the highest scores, and the largest missed faces."""
    wrong, missed = [], []
    for path, detected in zip(paths, pictures, strict=True):
        matching = match(detected)
        false = matching.order[matching.verdicts == FALSE]
        wrong += [(detected.scores[place], detected.found[place], path) for place in false]
        missed += [(box, path) for box in detected.labelled[detected.counted & ~matching.recalled]]
    wrong.sort(key=lambda mistake: -mistake[0])
    missed.sort(key=lambda mistake: -mistake[0][2] * mistake[0][3])
    return {
        "False detections, highest score first (some are faces without a label)": [
            Mistake(f"score {score:.3f}", [(path, box)], box) for score, box, path in wrong
        ],
        "Missed faces, largest first": [
            Mistake("{2:.0f} by {3:.0f} px".format(*box), [(path, box)], None, box) for box, path in missed
        ],
    }


def detector(client: Client, settings: Config) -> Callable[[bytes], list[list[float]]]:
    """Finds x, y, width, height and score of the faces in a picture, with the models that the device reports. Raises
    ModelError; the function raises UnexpectedAnswerError for another reason than the picture.
    """
    engine = settings.engine
    store, names = ModelStore.open(engine.folder), {model["file"] for model in client.version["models"]}
    precisions = {file.role: file.precision for file in store.models if file.file in names}
    choice = loading.choose(store, precisions, engine.threads)
    engines = EnginePool(client.workers, 3600.0)  # seconds; with an engine a worker none is waited for
    engines.fill([loading.build(choice, engine.threads) for _ in range(client.workers)])
    most_bytes, most_pixels = settings.server.max_body_mib * 2**20, int(settings.server.max_megapixels * 1e6)
    limits = DetectLimits(min_size=MINSIZE, count=DETECTCOUNT)

    def detect(content: bytes) -> list[list[float]]:
        if len(content) > most_bytes:
            return []
        try:
            with engines.lease() as leased:
                faces = [face.detection for face in leased.detect(EncodedPicture(content, most_pixels), limits)]
        except Fault as fault:
            if fault.code.text not in NO_PICTURE:
                raise UnexpectedAnswerError(str(fault), fault.code.text) from fault
            return []
        rectangles = ((each.box.x, each.box.y, each.box.width, each.box.height, each.score) for each in faces)
        return [[round(value, DIGITS) for value in rectangle] for rectangle in rectangles]

    return detect
