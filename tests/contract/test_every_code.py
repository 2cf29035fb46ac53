"""Every code of the contract comes out of a device over HTTP; from a real cause wherever there is one."""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import appliance_models
import numpy as np
import pytest
from bodies import form, frames, moving, opened, png, zipped
from client import Answer, Client
from devices import Device, pool
from document import MESSAGES, RAW_BYTES, assert_refusal, message
from PIL import Image

from appliance.face.types import AlignedFace, Box, Detection, DetectLimits, Embedding, Face, Pixels, Points
from appliance.vision.detector import Picture
from appliance.vision.engine import EnginePool, FaceEngine
from appliance.vision.loading import first_engine

pytestmark = pytest.mark.logs_errors("does not work|self-test")

PAIR = form({"image_a": bytes(RAW_BYTES), "image_b": bytes(RAW_BYTES)})


class Broken:
    """A part of which every question raises."""

    def __getattr__(self, question: str) -> Callable[..., Any]:
        def raises(*_: object, **__: object) -> Any:
            raise RuntimeError(f"cannot {question}")

        return raises


@dataclass(frozen=True)
class OnePoint:
    """A detector and landmarks whose points lie in one point."""

    shipped: Any

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Detection]:
        return [Detection(Box(168.0, 63.0, 111.0, 111.0), np.full((5, 2), 200, np.float32), 0.9)]

    def locate(self, picture: Picture, detection: Detection) -> Any:
        fitted = self.shipped.locate(picture, detection)
        return replace(fitted, points=np.full_like(fitted.points, 200))


@dataclass(frozen=True)
class NotFinite:
    """Landmarks whose network gives no finite points."""

    shipped: Any

    def locate(self, picture: Picture, detection: Detection) -> Any:
        fitted = self.shipped.locate(picture, detection)
        return replace(fitted, points=np.full_like(fitted.points, np.nan))


class BrokenMaskCheck:
    """An occlusion check that fails at its second question."""

    def occluded(self, pixels: Pixels, points: Points) -> bool:
        return False

    def masked(self, pixels: Pixels, points: Points) -> bool:
        raise ValueError("the face lies outside the picture")


class Forgetful:
    """An aligner that loses a face."""

    def align(self, picture: Picture, faces: Sequence[Face]) -> list[AlignedFace]:
        return []


@dataclass(frozen=True)
class Void:
    """An embedder whose network gives nothing finite; compares as the shipped one does."""

    shipped: Any

    def embed(self, face: AlignedFace) -> Embedding:
        return np.full(512, np.nan, np.float32)

    def similarity(self, a: Embedding, b: Embedding, thresholds: Mapping[str, float]) -> float:
        return self.shipped.similarity(a, b, thresholds)


class Holding:
    """A detector that keeps its engine until it is released."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Detection]:
        self.entered.set()
        assert self.released.wait(30)
        return []


@dataclass(frozen=True)
class Lab:
    """What the cases are made of."""

    device: Client
    parts: Mapping[str, Any]
    portrait: bytes
    corrupted: Path

    @contextmanager
    def of(self, **parts: Any) -> Iterator[Client]:
        """A device whose engine has these parts in place of the shipped ones."""
        with Device(pool(FaceEngine(**{**self.parts, **parts}), waiting=0)) as device:
            yield device.client

    @contextmanager
    def restricted(self, *paths: str, expires: date | None = None) -> Iterator[Client]:
        engine = FaceEngine(**self.parts)
        with Device(pool(engine), restricted=paths, expires=expires) as device:
            yield device.client

    def faces(self, client: Client) -> Answer:
        return client.post("/faces", self.portrait)

    def aligned(self, client: Client) -> Answer:
        return client.post("/alignedfaces", self.portrait)

    def similarity(self, client: Client) -> Answer:
        headers, body = PAIR
        return client.post("/similarity/v2", body, headers)

    def liveness(self, client: Client, archive: bytes | None = None) -> Answer:
        headers, body = form({"images": frames(moving(opened(self.portrait))) if archive is None else archive})
        return client.post("/liveness/multiframe", body, headers)


@pytest.fixture(scope="module")
def lab(device: Client, parts: Mapping[str, Any], portrait: bytes, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("models") / "corrupted"
    shutil.copytree(appliance_models.FOLDER, folder)
    for name in ("landmarks_float16.tflite", "embedder_float16.tflite"):
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
    return Lab(device, parts, portrait, folder)


def corrupted(lab: Lab, ask: Callable[[Client], Answer]) -> Answer:
    precisions = dict.fromkeys(("detector", "embedder", "liveness"), "float16")
    _, engine = first_engine(lab.corrupted, precisions, 1)
    with Device(pool(engine)) as device:
        return ask(device.client)


def with_part(lab: Lab, ask: Callable[[Client], Answer], **parts: Any) -> Answer:
    with lab.of(**parts) as client:
        return ask(client)


def one_point(lab: Lab) -> Answer:
    nowhere = OnePoint(lab.parts["alignment"])
    return with_part(lab, lab.aligned, detector=nowhere, alignment=nowhere)


def restricted(lab: Lab, *paths: str, expires: date | None = None) -> Answer:
    with lab.restricted(*paths, expires=expires) as client:
        return lab.faces(client)


def loading(lab: Lab) -> Answer:
    with Device(EnginePool(waiting=4, patience=1)) as device:
        return lab.faces(device.client)


def saturated(lab: Lab) -> Answer:
    holding = Holding()
    with lab.of(detector=holding) as client:
        first = threading.Thread(target=lab.faces, args=[client])
        first.start()
        try:
            assert holding.entered.wait(30)
            return lab.faces(client)
        finally:
            holding.released.set()
            first.join()


Case = tuple[str, str, int, Callable[[Lab], Answer]]

CASES: tuple[Case, ...] = (
    ("INF-00", "a picture", 200, lambda lab: lab.faces(lab.device)),
    ("INF-01", "no form", 400, lambda lab: lab.device.post("/similarity", b"x")),
    ("INF-01", "too large", 413, lambda lab: lab.device.post("/faces", bytes(9 * 2**20))),
    ("INF-02", "bad query", 400, lambda lab: lab.device.post("/faces?minsize=x", lab.portrait)),
    ("INF-02", "no such path", 404, lambda lab: lab.device.get("/nothing-here")),
    ("INF-02", "no such method", 405, lambda lab: lab.device.ask("DELETE", "/faces")),
    ("INF-03", "no body", 400, lambda lab: lab.device.post("/faces", b"")),
    ("INF-04", "no picture", 400, lambda lab: lab.device.post("/faces", b"hello")),
    ("INF-05", "a photo as a face", 400, lambda lab: photo_as_face(lab)),
    ("INF-06", "corrupted landmarks", 500, lambda lab: corrupted(lab, lab.faces)),
    ("INF-07", "corrupted embedder", 500, lambda lab: corrupted(lab, lab.similarity)),
    ("INF-08", "models are loading", 500, loading),
    ("INF-08", "every engine is taken", 503, saturated),
    ("INF-09", "too many faces", 500, lambda lab: lab.device.post("/faces?detectcount=999999999", lab.portrait)),
    ("INF-10", "too large faces", 500, lambda lab: lab.device.post("/faces?maxsize=999999999", lab.portrait)),
    ("INF-11", "the detector raises", 500, lambda lab: with_part(lab, lab.faces, detector=Broken())),
    ("INF-11", "the landmarks raise", 500, lambda lab: with_part(lab, lab.faces, landmarks=Broken())),
    ("INF-12", "the embedder raises", 500, lambda lab: with_part(lab, lab.similarity, strong=Broken())),
    ("INF-13", "an aligner loses a face", 500, lambda lab: with_part(lab, lab.aligned, aligner=Forgetful())),
    ("INF-14", "landmarks in one point", 500, one_point),
    ("INF-16", "landmarks that are not finite", 500, lambda lab: not_finite(lab)),
    ("INF-17", "four frames of nobody", 400, lambda lab: lab.liveness(lab.device, frames([NOBODY] * 4))),
    ("INF-18", "embeddings that are not finite", 500, lambda lab: void(lab)),
    ("INF-19", "the liveness check raises", 500, lambda lab: with_part(lab, lab.liveness, liveness=Broken())),
    ("INF-20", "the occlusion check raises", 500, lambda lab: with_part(lab, lab.liveness, occlusion=Broken())),
    ("INF-21", "the mask check raises", 500, lambda lab: with_part(lab, lab.liveness, occlusion=BrokenMaskCheck())),
    ("INF-22", "no zip", 400, lambda lab: lab.liveness(lab.device, b"hello")),
    ("INF-23", "wrong names", 400, lambda lab: lab.liveness(lab.device, zipped(dict.fromkeys("abcd", NOBODY)))),
    ("INF-24", "three frames", 400, lambda lab: lab.liveness(lab.device, frames([NOBODY] * 3))),
    ("INF-25", "switched off", 406, lambda lab: restricted(lab, "/faces")),
    ("INF-26", "expired", 406, lambda lab: restricted(lab, expires=date(2020, 2, 29))),
)

NOBODY = png(Image.new("RGB", (64, 64)))


def photo_as_face(lab: Lab) -> Answer:
    headers, body = form({"image_a": lab.portrait, "image_b": lab.portrait})
    return lab.device.post("/similarity", body, headers)


def not_finite(lab: Lab) -> Answer:
    return with_part(lab, lab.faces, landmarks=NotFinite(lab.parts["landmarks"]))


def void(lab: Lab) -> Answer:
    return with_part(lab, lab.similarity, strong=Void(lab.parts["embedder"]))


@pytest.mark.parametrize(("code", "cause", "status", "ask"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES])
def test_a_cause_gives_its_code(lab: Lab, code: str, cause: str, status: int, ask: Callable[[Lab], Answer]) -> None:
    answer = ask(lab)

    if code == "INF-00":
        assert (answer.status, answer.document["return_msg"]) == (200, message("INF-00"))
    else:
        assert_refusal(answer, status, code)
    assert ("Retry-After" in answer.headers) == (code == "INF-08")


def test_an_embedding_that_is_not_finite_is_never_handed_out(lab: Lab) -> None:
    with lab.of(embedder=Void(lab.parts["embedder"])) as client:
        assert_refusal(client.post("/facefeatures", lab.portrait), 500, "INF-12")
        assert_refusal(client.post("/feature/floats", bytes(RAW_BYTES)), 500, "INF-12")


def test_every_code_but_that_of_the_shutdown_has_a_cause() -> None:
    """INF-15 is for the log alone: when it arises no client is left."""
    assert {code for code, *_ in CASES} == set(MESSAGES) - {"INF-15"}
