"""The four answers the API gives, from the parts that each answer one question; and the pool of engines."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from typing import NoReturn

import cv2
import numpy as np

from appliance.face import alignment
from appliance.face.embedding import FAST, joined
from appliance.face.types import ALIGNED_SIZE, AlignedFace, Box, Detection, DetectLimits, Embedding, Face, Pixels
from appliance.faults import Fault, ResultCode, failing_as
from appliance.stages import stage
from appliance.vision import quality
from appliance.vision.detector import OVERLAP, Detector, Picture, cut
from appliance.vision.embedder import DOUBT, Comparators, Embedder
from appliance.vision.evidence import Scene
from appliance.vision.landmarks import Fit, Landmarks
from appliance.vision.liveness import Liveness, LivenessCheck
from appliance.vision.manifest import SHIPPED, Thresholds
from appliance.vision.quality import OcclusionCheck, Quality
from appliance.vision.upright import PRESENCE, OrientationCheck, Standing, certain, stood

LARGEST_COUNT = 1000
"""Most faces a caller may ask for; each costs one run of the mesh network."""

LARGEST_SIZE = 65_535
"""Largest face size a caller may name: the longest side a JPEG can have."""

SURE = 0.5
"""Score from which a detection is a face whatever the mesh network says: asked about all, it would deny a quarter of the
true faces of WIDER FACE (profiles, covered faces), and more of the small ones."""

ASTRAY = 0.35
"""Disagreement of detector and mesh above which the larger mesh may lie on two heads that touch. Of 421 such faces it does on
67, which resemble themselves, aligned by it, with a mean cosine of .14; the smaller mesh on 15. Of upright faces none disagrees
so much, of those that lean by 30 degrees 5 %.
"""

SAME = 0.5
"""Intersection over union of a face's boxes in consecutive frames; below it another face may have come."""

SCENE_SIDE = 960
"""Longer side to which liveness frames are brought: the scene evidence was measured there."""


class Aligner:
    """Cuts faces out upright, from as many pixels as the picture has for them."""

    def align(self, picture: Picture, faces: Sequence[Face]) -> list[AlignedFace]:
        """One 112 x 112 crop a face, in the same order. Raises DegenerateLandmarksError."""
        return [AlignedFace(face.detection.box.squared(), self._cut(picture, face)) for face in faces]

    def _cut(self, picture: Picture, face: Face) -> Pixels:
        five = face.points[list(alignment.FIVE_OF_106)]
        return cut(picture, alignment.similarity_transform(five, alignment.TEMPLATE), ALIGNED_SIZE)


class Missing:
    """Stands in for any part whose model does not work: whatever it is asked, it raises the fault that says so."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def __getattr__(self, _name: str) -> NoReturn:
        """A new exception each time, so that tracebacks do not pile up in one that lives as long as the engine."""
        raise Fault(self._fault.code, self._fault.detail)


@dataclass(frozen=True, slots=True)
class Examined:
    """What four pictures show of one face: whether it is alive, whether its embeddings are one person's
    (`FaceEngine.one_person`), and, picture by picture, the face cut out, its embedding by the fast network (512) and what the
    picture is worth.
    """

    liveness: Liveness
    one_person: bool
    embeddings: tuple[Embedding, ...]
    qualities: tuple[Quality, ...]
    aligned: tuple[AlignedFace, ...]

    def portraits(self, faces: Sequence[Face]) -> "list[Portrait]":
        """The portraits of these faces, one in each picture."""
        return list(map(Portrait, faces, self.aligned, self.qualities, self.embeddings))


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face and what is needed to know it again: cut out, what its picture is worth, and its embedding, by the fast network
    (512) or by both (640).
    """

    face: Face
    aligned: AlignedFace
    quality: Quality
    embedding: Embedding


class FaceEngine:
    """Answers the API's questions about pictures. Owns its parts; not thread-safe."""

    def __init__(
        self,
        detector: Detector,
        landmarks: Landmarks,
        alignment: Landmarks,
        orientation: OrientationCheck,
        aligner: Aligner,
        embedder: Embedder,
        occlusion: OcclusionCheck,
        liveness: LivenessCheck,
        comparators: Comparators,
        strong: Embedder | None = None,
        thresholds: Callable[[], Thresholds] = lambda: SHIPPED,
    ) -> None:
        """`landmarks` finds the points that are asked for, `alignment` those by which faces are recognised, at a third of the
        cost. `strong` is the embedder beside the fast one, if it is in use. `thresholds` gives the device's own operating
        points; it is asked once an answer. Each part may be a `Missing`.
        """
        self._detector, self._landmarks, self._alignment, self._orientation = (
            detector,
            landmarks,
            alignment,
            orientation,
        )
        self._aligner, self._embedder, self._occlusion, self._liveness = aligner, embedder, occlusion, liveness
        self._comparators, self._strong, self._thresholds = comparators, strong, thresholds

    def detect(
        self, picture: Picture, limits: DetectLimits, upright: Sequence[Box] = (), *, precise: bool = False
    ) -> list[Face]:
        """The faces within `limits`, largest first, with points and pose, whichever way they are turned; without those that
        neither the detector nor the mesh network is sure of. A face in one of the boxes `upright`, of faces that were upright
        in the frame before, is taken to be upright still. With `precise` the points are those of the larger mesh. Raises
        Fault INF-09, 10, 11, 16.
        """
        landmarks = self._landmarks if precise else self._alignment
        _check(limits)
        with stage("detect"), failing_as(ResultCode.DETECT):
            detections = self._detector.detect(picture, limits)
        faces: list[Face] = []
        for detection in detections:
            if len(faces) == limits.count:
                break
            found = Standing(detection, self._fit(landmarks, picture, detection))
            if precise and found.disagreement > ASTRAY:
                other = Standing(detection, self._fit(self._alignment, picture, detection))
                found = min(found, other, key=lambda each: each.disagreement)
            if not (certain(found) or _known(detection.box, upright)):
                with stage("landmarks"), failing_as(ResultCode.DETECT):
                    found = stood(landmarks, picture, found, self._orientation.way(picture, detection))
            if found.detection.score >= SURE or found.fit.presence >= PRESENCE:
                faces.append(Face(found.detection, found.fit.points, found.fit.pose, found.upright))
        return _distinct(sorted(faces, key=lambda face: face.detection.box.side, reverse=True))

    def fit(self, picture: Picture, detection: Detection, *, precise: bool = False) -> Fit:
        """The points of a face that is about where `detection` says; `precise` as in `detect`. Raises Fault INF-11, 16."""
        return self._fit(self._landmarks if precise else self._alignment, picture, detection)

    def _fit(self, landmarks: Landmarks, picture: Picture, detection: Detection) -> Fit:
        with stage("landmarks"), failing_as(ResultCode.DETECT):
            fit = landmarks.locate(picture, detection)
        with failing_as(ResultCode.VALIDATE):
            return _finite(fit)

    def align(self, picture: Picture, limits: DetectLimits) -> list[AlignedFace]:
        """The same faces as `detect`, cut out upright. Raises Fault INF-09, 10, 11, 13, 14, 16."""
        return self._aligned(picture, self.detect(picture, limits))

    def quality(self, picture: Picture, face: Face) -> Quality:
        """What the picture of a face is worth for recognition. Raises Fault INF-13, 14."""
        (aligned,) = self._aligned(picture, [face])
        return quality.judge(face, aligned)

    def embed(self, face: AlignedFace) -> Embedding:
        """The embedding of an aligned face by the fast network: 512 float32 of unit length. Raises Fault INF-12."""
        with stage("embed"), failing_as(ResultCode.EXTRACT):
            return self._embedder.embed(face)

    def feature(self, face: AlignedFace) -> Embedding:
        """The same, to be handed out or kept: never one that is not finite. Raises Fault INF-12."""
        return _finite_embedding(self.embed(face))

    @property
    def strong(self) -> bool:
        return self._strong is not None

    def embed_both(self, face: AlignedFace, fast: Embedding | None = None) -> Embedding:
        """The embedding by both networks (640) where the strong one is in use, else that by the fast one, which may be known
        already. Raises Fault INF-12.
        """
        fast = self.embed(face) if fast is None else fast
        if self._strong is None:
            return fast
        with stage("embed"), failing_as(ResultCode.EXTRACT):
            return joined(fast, self._strong.embed(face))

    def feature_of_both(self, face: AlignedFace, fast: Embedding | None = None) -> Embedding:
        """The same, never one that is not finite. Raises Fault INF-12."""
        return _finite_embedding(self.embed_both(face, fast))

    def mask(self, picture: Picture, face: Face) -> float:
        """How sure it is that a face wears a mask, 0..1. Raises Fault INF-13, 14, 21."""
        (aligned,) = self._aligned(picture, [face])
        with stage("occlusion"), failing_as(ResultCode.MASK):
            return self._occlusion.mask(face, aligned)

    def portray(self, picture: Picture, faces: Sequence[Face]) -> list[Portrait]:
        """Portraits of faces, in their order. Raises Fault INF-12, 13, 14."""
        return [
            Portrait(face, aligned, quality.judge(face, aligned), self.feature(aligned))
            for face, aligned in zip(faces, self._aligned(picture, faces), strict=True)
        ]

    def compare(self, a: AlignedFace, b: AlignedFace) -> float:
        """How alike two aligned faces are, 0..1, by both networks where the strong one is in use. Raises Fault INF-12, 18."""
        return self.similarity(self.embed_both(a), self.embed_both(b))

    def compare_by_one(self, a: AlignedFace, b: AlignedFace) -> float:
        """The same by one network, the strong one where it is in use: the answer of the published document. Raises Fault
        INF-12, 18.
        """
        with stage("embed"), failing_as(ResultCode.EXTRACT):
            one, other = ((self._strong or self._embedder).embed(face) for face in (a, b))
        with failing_as(ResultCode.COMPARE):
            return self._comparators.documented.similarity(one, other, self._thresholds())

    def similarity(self, a: Embedding, b: Embedding) -> float:
        """How alike two embeddings of the fast network (512) or of both (640) are, 0..1. Raises Fault INF-18."""
        comparator = self._comparators.fast if a.size <= FAST else self._comparators.own
        with failing_as(ResultCode.COMPARE):
            return comparator.similarity(a, b, self._thresholds())

    def single_liveness(self, picture: Picture) -> float:
        """How sure it is, 0..1, that the largest face of one picture is alive. Raises Fault INF-17, 19 and those of the steps
        on the way.
        """
        face = self._largest(picture)
        scene = _scene(picture, face)
        covered = self._covered(scene) or not face.upright
        with stage("liveness"), failing_as(ResultCode.LIVENESS):
            return self._liveness.judge_single(scene, covered=covered)

    def liveness(self, pictures: Sequence[Picture]) -> Liveness:
        """Whether the largest face of four pictures, in time order, is one live person. Raises Fault INF-17, 19 and those
        of the steps on the way.
        """
        return self.liveness_of(pictures, [self._largest(picture) for picture in pictures])

    def liveness_of(self, pictures: Sequence[Picture], faces: Sequence[Face]) -> Liveness:
        """Whether these faces, one in each of four pictures, are one live person. Raises Fault INF-19 and those of the steps
        on the way.
        """
        embeddings = [self.embed(face) for face in self._aligned_each(pictures, faces)]
        return self._judged(pictures, faces, one_person=self.one_person(embeddings))

    def examine(self, pictures: Sequence[Picture], faces: Sequence[Face]) -> Examined:
        """All that there is to know of these faces, one in each of four pictures, in time order: the verdict of `liveness_of`,
        and what it rests on. Raises Fault INF-19 and those of the steps on the way.
        """
        aligned = self._aligned_each(pictures, faces)
        embeddings = [self.embed(face) for face in aligned]
        one_person = self.one_person(embeddings, aligned)
        return Examined(
            self._judged(pictures, faces, one_person=one_person),
            one_person,
            tuple(embeddings),
            tuple(quality.judge(face, cut_out) for face, cut_out in zip(faces, aligned, strict=True)),
            tuple(aligned),
        )

    def _aligned_each(self, pictures: Sequence[Picture], faces: Sequence[Face]) -> list[AlignedFace]:
        return [self._aligned(picture, [face])[0] for picture, face in zip(pictures, faces, strict=True)]

    def one_person(self, embeddings: Sequence[Embedding], aligned: Sequence[AlignedFace] = ()) -> bool:
        """Whether the embeddings of a face in frames of a few seconds, by the fast network, are one person's. Where that is
        doubtful and the faces are there `aligned`, both networks have to agree. Raises Fault INF-12, 18.
        """
        with failing_as(ResultCode.COMPARE):
            link = self._comparators.fast.link(embeddings)
        if not (aligned and self.strong and 0 <= link < DOUBT):
            return link >= 0
        both = list(map(self.embed_both, aligned, embeddings))
        with failing_as(ResultCode.COMPARE):
            return self._comparators.own.link(both) >= 0

    def _judged(self, pictures: Sequence[Picture], faces: Sequence[Face], *, one_person: bool) -> Liveness:
        thresholds = self._thresholds()
        scenes = [_scene(picture, face) for picture, face in zip(pictures, faces, strict=True)]
        covered = sum(self._covered(scene) for scene in scenes) > len(scenes) / 2
        # embeddings and network are not made for faces that are not
        one_person = one_person and all(face.upright for face in faces)
        with stage("liveness"), failing_as(ResultCode.LIVENESS):
            return self._liveness.judge(scenes, one_person=one_person, covered=covered, thresholds=thresholds)

    def _covered(self, scene: Scene) -> bool:
        with stage("occlusion"):
            with failing_as(ResultCode.OCCLUSION):
                occluded = self._occlusion.occluded(scene.pixels, scene.points)
            with failing_as(ResultCode.MASK):
                return self._occlusion.masked(scene.pixels, scene.points) or occluded

    def _largest(self, picture: Picture) -> Face:
        faces = self.detect(picture, DetectLimits(count=1))
        if not faces:
            raise Fault(ResultCode.NO_FACE)
        return faces[0]

    def _aligned(self, picture: Picture, faces: Sequence[Face]) -> list[AlignedFace]:
        with stage("align"), failing_as(ResultCode.ALIGN):
            aligned = self._aligner.align(picture, faces)
        if len(aligned) != len(faces):
            raise Fault(ResultCode.COUNT_UNMATCHED, f"{len(faces)} detected, {len(aligned)} aligned")
        return aligned


def _finite_embedding(embedding: Embedding) -> Embedding:
    """The same embedding. Raises Fault INF-12 when it is not finite."""
    if not np.isfinite(embedding).all():
        raise Fault(ResultCode.EXTRACT, "the embedding is not finite")
    return embedding


def _check(limits: DetectLimits) -> None:
    if limits.count > LARGEST_COUNT:
        raise Fault(ResultCode.DETECT_COUNT, f"{limits.count} faces, the bound is {LARGEST_COUNT}")
    if limits.min_size > LARGEST_SIZE or LARGEST_SIZE < limits.max_size < float("inf"):
        raise Fault(ResultCode.DETECT_SIZE, f"{limits.min_size}..{limits.max_size} px, the bound is {LARGEST_SIZE}")


def _finite(fit: Fit) -> Fit:
    """The same fit. Raises ValueError when the mesh network's answer is not finite."""
    if not (isfinite(fit.presence) and np.isfinite(fit.points).all()):
        raise ValueError("the points are not finite")
    return fit


def _distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces without turned ones that were found twice: their boxes agree only when they are turned upright."""
    kept: list[Face] = []
    for face in faces:
        boxes = [] if face.upright else [each.detection.box for each in kept if not each.upright]
        if all(face.detection.box.overlap(box) <= OVERLAP for box in boxes):
            kept.append(face)
    return kept


def _known(box: Box, upright: Sequence[Box]) -> bool:
    return any(box.overlap(each) > SAME for each in upright)


def _scene(picture: Picture, face: Face) -> Scene:
    scale = min(1.0, SCENE_SIDE / max(picture.width, picture.height))
    frame = picture.frame(scale)
    pixels = frame.pixels
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size != (frame.width, frame.height):
        interpolation = cv2.INTER_LINEAR if frame.width < 2 * size[0] else cv2.INTER_AREA
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=interpolation), np.uint8)
    detection = face.detection
    return Scene(pixels, detection.box.scaled(scale), detection.landmarks * scale, face.points * scale)


LOAN_SECONDS = 120.0
"""An engine that has been lent for this long hangs: a thousand faces, the most a request may ask for, take a busy x86-64 core
11 s and a Pi a few times that; clients give up after 30 s."""


class EnginePool:
    """Lends engines, one borrower each; a bounded number of borrowers may wait, the next one is turned away at once."""

    def __init__(
        self, waiting: int, patience: float, clock: Callable[[], float] = time.monotonic, *, memory: float = inf
    ) -> None:
        """At most `waiting` borrowers wait, each at most `patience` seconds. The pictures of all borrowers together take at
        most `memory` bytes when they are decoded, except that one borrower may have more while the others have none.
        """
        self._waiting, self._patience = waiting, patience
        self._memory, self._free = memory, memory
        self._clock = clock
        self._changed = threading.Condition()
        self._idle: list[FaceEngine] | None = None
        self._lent: dict[FaceEngine, float] = {}
        self._returned: dict[FaceEngine, float] = {}
        self._line: list[object] = []
        self._worked = False

    def fill(self, engines: Sequence[FaceEngine]) -> None:
        """Hands the engines over: from here on they are lent."""
        with self._changed:
            self._idle = list(engines)
            self._changed.notify_all()

    def replace_idle(self, seconds: float, make: Callable[[], FaceEngine]) -> bool:
        """Replaces engines that have not been lent for so long by new ones, except the one that was returned last; whether
        there were any.
        """
        with self._changed:
            idle, since = self._idle or [], self._clock() - seconds
            old = [engine for engine in idle[:-1] if self._returned.get(engine, inf) <= since]
            for engine in old:
                del self._returned[engine]
                idle[idle.index(engine)] = make()
            return bool(old)

    def rests(self, seconds: float) -> bool:
        """Whether all engines have been idle for so long, once after each time of work."""
        with self._changed:
            since = self._clock() - seconds
            rested = self._worked and not self._lent and all(each <= since for each in self._returned.values())
            self._worked = self._worked and not rested
            return rested

    @contextmanager
    def lease(self, memory: int = 0) -> Iterator[FaceEngine]:
        """An engine for the time inside, for pictures that take `memory` bytes when they are decoded. Raises Fault INF-08:
        nothing loaded yet (500), or all engines or too much memory taken and the queue full or too slow (503).
        """
        engine = self._take(memory)
        try:
            yield engine
        finally:
            self._give_back(engine, memory)

    def _take(self, memory: int) -> FaceEngine:
        with stage("queue"), self._changed:
            if self._idle is None:
                raise Fault(ResultCode.NOT_READY, "models are loading", retry_after=1)
            if not self._available(memory):
                self._wait(memory)
            engine = self._idle.pop()
            self._lent[engine] = self._clock()
            self._free -= memory
            return engine

    def _available(self, memory: int, waiting: object = None) -> bool:
        """Whether a borrower may go on. Those who need memory do so in turn, so that many small pictures never keep a large
        one waiting.
        """
        if not self._idle or not memory:
            return bool(self._idle)
        turn = not self._line or self._line[0] is waiting
        return turn and (memory <= self._free or self._free == self._memory)

    def _wait(self, memory: int) -> None:
        if self.queue >= self._waiting:
            raise Fault(ResultCode.NOT_READY, f"{self.queue} requests wait already", status=503, retry_after=1)
        waiting = object()
        self._line.append(waiting)
        try:
            if not self._changed.wait_for(lambda: self._available(memory, waiting), self._patience):
                detail = f"no engine and {memory} bytes of memory within {self._patience} s"
                raise Fault(ResultCode.NOT_READY, detail, status=503, retry_after=1)
        finally:
            self._line.remove(waiting)
            self._changed.notify_all()  # it may be the next one's turn

    @property
    def queue(self) -> int:
        return len(self._line)

    def gauges(self) -> dict[str, tuple[str, float]]:
        return {"engine_queue": ("Requests that wait for an engine.", self.queue)}

    @property
    def longest_loan(self) -> float:
        """For how many seconds the engine that was lent first has been lent; 0 when none is."""
        with self._changed:
            return self._clock() - min(self._lent.values()) if self._lent else 0.0

    def trouble(self) -> str | None:
        """What hangs, for the watchdog; None when nothing does."""
        return f"an engine has been lent for {LOAN_SECONDS:g} s" if self.longest_loan > LOAN_SECONDS else None

    def quiet(self, timeout: float) -> bool:
        """Whether an engine is idle and no request waits for one; waits for that at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._idle) and not self._line, timeout)

    def _give_back(self, engine: FaceEngine, memory: int) -> None:
        with self._changed:
            assert self._idle is not None
            del self._lent[engine]
            self._free += memory
            self._idle.append(engine)
            self._returned[engine] = self._clock()
            self._worked = True
            self._changed.notify_all()
