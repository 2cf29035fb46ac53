"""Four edits of one still are told from four frames of a living face; figures on the development pictures."""

import csv
from random import Random

import cv2
import numpy as np
import pytest

from appliance.calibration.rates import Rate
from appliance.face.types import DetectLimits
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture
from appliance.vision.still import LEAST_VARIATION

SEEN = 30
"""Pictures of the shuffled AFW and LFW ones on which the bound may have been found."""


def bent(pixels, degrees=0.0, scale=1.0, shear=0.0, right=0.0, tilt=0.0):
    """The picture turned, scaled, sheared, shifted (shares of its sides) and tilted."""
    height, width = pixels.shape[:2]
    matrix = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale), [0, 0, 1]])
    matrix = np.array([[1, shear, right * width - shear * height / 2], [0, 1, 0], [tilt / width, 0, 1]]) @ matrix
    return cv2.warpPerspective(pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def grey_levels(pixels):
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def again(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def halved(pixels, scale):
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def vignette(pixels, strength):
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return grey_levels(pixels * (1 - strength * (rows**2 + columns**2) / 2)[:, :, np.newaxis])


def tone(pixels, strength):
    """An S curve."""
    x = pixels / 255
    return grey_levels(255 * (x + strength * np.sin(2 * np.pi * x) / (2 * np.pi)))


def paler(pixels, share):
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]
    return grey_levels(pixels * (1 - share) + grey * share)


def grain(pixels, random, sigma):
    fine = cv2.GaussianBlur(random.normal(0, 1, pixels.shape[:2]), (0, 0), 0.7)
    return grey_levels(pixels + (sigma * fine / fine.std())[:, :, np.newaxis])


KINDS = {
    "brightness 4 %": lambda p, r: grey_levels(p * r.uniform(0.96, 1.04)),
    "shift 1-3 %": lambda p, r: bent(p, right=r.uniform(-0.03, 0.03)),
    "perspective, noise": lambda p, r: grey_levels(bent(p, tilt=r.uniform(-0.05, 0.05)) + r.normal(0, 3, p.shape)),
    "turn 6 degrees, vignette": lambda p, r: vignette(bent(p, r.uniform(-6, 6)), r.uniform(0, 0.5)),
    "tone curve, shear": lambda p, r: tone(bent(p, shear=r.uniform(-0.04, 0.04)), r.uniform(-0.4, 0.4)),
    "median, scale": lambda p, r: cv2.medianBlur(bent(p, scale=r.uniform(0.97, 1.05)), 3),
    "paler, shift": lambda p, r: paler(bent(p, right=r.uniform(-0.02, 0.02)), r.uniform(0, 0.8)),
    "half size, turn": lambda p, r: halved(bent(p, r.uniform(-2, 2)), r.uniform(0.5, 0.8)),
    "JPEG 50, scale": lambda p, r: again(bent(p, scale=r.uniform(1, 1.04)), 50),
    "film grain, turn": lambda p, r: grain(bent(p, r.uniform(-3, 3)), r, r.uniform(2, 6)),
}
"""Edits of a still; but for the first three, of no kind on which the bound was found. What takes tone curves out was added when
this test had found four of them to pass."""


def stills(data):
    """Photographs of 24 people, none of which has helped to find the bound: half of them large, half small."""
    for folder, count in (("landmarks", 12), ("calibration", 12)):
        paths = sorted((data / folder).glob("*.jpg"))
        Random(8).shuffle(paths)
        for path in paths[SEEN : SEEN + count]:
            yield EncodedPicture(path.read_bytes(), 10**8).frame(1.0).pixels


def verdict(engine, pictures):
    """None when a frame shows no face."""
    try:
        return engine.liveness(pictures)
    except Fault:
        return None


@pytest.mark.nightly
@pytest.mark.data
@pytest.mark.timeout(3600)
def test_edited_stills_are_not_live_and_real_people_are_no_stills(engine, pictured, data):
    passed = {}
    for number, still in enumerate(stills(data)):
        if not engine.detect(pictured(still), DetectLimits(count=1)):
            continue
        for kind, (name, edit) in enumerate(KINDS.items()):
            random = np.random.default_rng([number, kind])
            found = verdict(engine, [pictured(np.ascontiguousarray(edit(still, random)), 92) for _ in range(4)])
            if found is not None:
                passed.setdefault(name, []).append(found.confidence >= 0.5)
        print(number, {name: sum(each) for name, each in passed.items() if any(each)}, flush=True)
    every = [each for kind in passed.values() for each in kind]
    for name, each in passed.items():
        print(f"{name}: APCER {Rate(sum(each), len(each))}")
    print(f"all edits: APCER {Rate(sum(every), len(every))}")
    real = [verdict(engine, pictures) for pictures in sequences(data)]
    print(f"real people taken for stills: {Rate(sum(each.still for each in real), len(real))} at {LEAST_VARIATION}")
    assert sum(every) / len(every) <= 0.05
    assert sum(each.still for each in real) / len(real) <= 0.015


def sequences(data):
    """The real ones."""
    folder = data / "liveness"
    with (folder / "sequences.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "real"]
    for row in rows:
        names = (folder / row["sequence"] / f"{number}.jpg" for number in (1, 2, 3, 4))
        yield [EncodedPicture(name.read_bytes(), 10**6) for name in names]
