"""Slow clients, full queues, clients that leave, and the stop: real sockets, real threads."""

import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
import pytest
from bodies import png
from client import HOST, Answer, Client, Wire, request
from devices import Device, pool, shipped_engine, until
from document import assert_faces, assert_refusal, assert_success
from PIL import Image

from appliance.face.alignment import TEMPLATE
from appliance.face.types import AlignedFace, Box, Detection, DetectLimits, Face
from appliance.vision.detector import Picture
from appliance.vision.engine import FaceEngine
from appliance.vision.loading import Choice

SMALL = png(Image.new("RGB", (64, 64)))


class Holding:
    """A detector that keeps its engine until it is released."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Detection]:
        self.entered.set()
        assert self.released.wait(60)
        return []


class Crowd:
    """Finds a hundred faces in every picture, of which each is as black as the night: an answer of five megabytes."""

    def __init__(self, landmarks: Any) -> None:
        self._landmarks = landmarks
        self._detection = Detection(Box(168.0, 63.0, 111.0, 111.0), TEMPLATE + np.float32(100), 0.9)
        self._fitted: Any = None

    def detect(self, picture: Picture, limits: DetectLimits) -> list[Detection]:
        return [self._detection] * 100

    def locate(self, picture: Picture, detection: Detection) -> Any:
        self._fitted = self._fitted or self._landmarks.locate(picture, detection)
        return self._fitted

    def way(self, picture: Picture, detection: Detection) -> int:
        return 0

    def align(self, picture: Picture, faces: Sequence[Face]) -> list[AlignedFace]:
        return [AlignedFace(face.detection.box, np.zeros((112, 112, 3), np.uint8)) for face in faces]


class Held:
    """A device with one engine, which is at work until it is released."""

    def __init__(self, parts: Mapping[str, Any], portrait: bytes, waiting: int, patience: float) -> None:
        self._holding = Holding()
        self._portrait = portrait
        engine = FaceEngine(**{**parts, "detector": self._holding})
        self.device = Device(pool(engine, waiting=waiting, patience=patience), workers=1 + waiting)
        self._askers = ThreadPoolExecutor(32)

    def __enter__(self) -> Self:
        self.device.__enter__()
        self.first = self.asked()
        assert self._holding.entered.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._askers.shutdown()
        self.device.__exit__()

    def asked(self) -> "Future[Answer]":
        """A request that is under way."""
        return self._askers.submit(self.device.client.post, "/faces", self._portrait)

    def release(self) -> None:
        self._holding.released.set()


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails when something is logged as an error, or with a traceback."""
    with caplog.at_level(logging.INFO):
        yield
        assert not [
            record for record in caplog.get_records("call") if record.exc_info or record.levelno >= logging.ERROR
        ]


@pytest.fixture
def crowded(parts: Mapping[str, Any]) -> Iterator[Client]:
    """A client of a device that answers much; it has ten threads."""
    crowd = Crowd(parts["landmarks"])
    engine = FaceEngine(
        **{**parts, "detector": crowd, "landmarks": crowd, "alignment": crowd, "orientation": crowd, "aligner": crowd}
    )
    with Device(pool(engine), workers=2) as device:
        yield device.client


def test_a_full_queue_refuses_at_once(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=2, patience=60) as held:
        under_way = [held.asked() for _ in range(12)]
        until(lambda: sum(future.done() for future in under_way) == 10)
        refused = [future.result() for future in under_way if future.done()]

        assert len(refused) == 10
        for answer in refused:
            assert_refusal(answer, 503, "INF-08")
            assert int(answer.headers["Retry-After"]) >= 1
        held.release()
        assert held.first.result().status == 200
        assert sorted(future.result().status for future in under_way) == [200] * 2 + [503] * 10


def test_who_waited_too_long_is_refused(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=4, patience=0.1) as held:
        answer = held.asked().result(20)

        assert_refusal(answer, 503, "INF-08")
        assert int(answer.headers["Retry-After"]) >= 1


def test_a_refused_connection_stays_usable(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=0, patience=60) as held, held.device.client.wire() as wire:
        assert_refusal(wire.ask("POST", "/faces", portrait), 503, "INF-08")
        held.release()
        held.first.result()

        assert_success(wire.ask("POST", "/faces", portrait), "count", "faces")


def test_what_needs_no_engine_is_answered_while_all_are_taken(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=2, patience=60) as held:
        waiting = [held.asked() for _ in range(2)]

        assert_refusal(held.device.client.post("/faces", b"x"), 400, "INF-04")
        assert_refusal(held.device.client.get("/nothing-here"), 404, "INF-02")
        assert not any(future.done() for future in waiting)


@pytest.mark.usefixtures("quiet")
def test_a_hundred_clients_that_drip_do_not_starve_the_others(device: Client, portrait: bytes) -> None:
    drip = request("POST", "/faces", bytes(1000))
    with ExitStack() as stack:
        slow = [stack.enter_context(Wire(device.port)) for _ in range(100)]
        durations = []
        for position in range(20):
            for number, wire in enumerate(slow):
                wire.send(drip[position + number : position + number + 1] if position else drip[: number + 1])
            start = time.monotonic()
            assert len(assert_faces(device.post("/faces", portrait))) == 1
            durations.append(time.monotonic() - start)

    assert sorted(durations)[-2] < 2


@pytest.mark.usefixtures("quiet")
def test_a_thousand_connections_that_are_opened_and_dropped_leave_nothing(portrait: bytes, choice: Choice) -> None:
    with Device(pool(shipped_engine(choice))) as device:
        for number in range(1000):
            with Wire((device.client.port, device.front_port)[number % 2]) as wire:
                if number % 3:
                    reset_on_close(wire.socket)

        assert len(assert_faces(device.client.post("/faces", portrait))) == 1
        assert until(lambda: not device.connections())


@pytest.mark.usefixtures("quiet")
def test_clients_that_read_nothing_do_not_starve_the_others(crowded: Client, portrait: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(14):
            deaf = stack.enter_context(deaf_client(crowded.port))
            deaf.sendall(2 * request("POST", "/alignedfaces?detectcount=100", SMALL))

        assert len(assert_faces(crowded.post("/faces", portrait))) == 10


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_client_may_leave_in_the_middle_of_its_request(device: Client, portrait: bytes, share: float) -> None:
    sent = request("POST", "/faces", portrait)
    for abruptly in (True, False):
        for _ in range(20):
            with device.wire() as wire:
                wire.send(sent[: int(len(sent) * share)])
                if abruptly:
                    reset_on_close(wire.socket)

    assert len(assert_faces(device.post("/faces", portrait))) == 1


@pytest.mark.usefixtures("quiet")
def test_a_client_may_leave_before_its_answer(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=4, patience=60) as held:
        for _ in range(4):
            with held.device.client.wire() as wire:
                wire.send(request("POST", "/faces", portrait))
                reset_on_close(wire.socket)
        held.release()

        assert held.first.result().status == 200
        assert held.device.client.post("/faces", portrait).status == 200


@pytest.mark.usefixtures("quiet")
def test_a_client_may_leave_in_the_middle_of_its_refusal(device: Client) -> None:
    for _ in range(1500):  # seldom is it between head and body
        with device.wire() as wire:
            wire.send(b"garbage\r\n\r\n")
            assert wire.socket.recv(1)
            reset_on_close(wire.socket)

    assert_refusal(device.post("/faces", b"x"), 400, "INF-04")


@pytest.mark.usefixtures("quiet")
def test_a_client_may_leave_in_the_middle_of_its_answer(crowded: Client, portrait: bytes) -> None:
    for abruptly in (True, False):
        with deaf_client(crowded.port) as client:
            client.sendall(request("POST", "/alignedfaces?detectcount=100", portrait))
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            if abruptly:
                reset_on_close(client)

    assert len(assert_faces(crowded.post("/faces", portrait))) == 10


def test_the_stop_finishes_the_answer_in_flight(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=0, patience=60) as held:
        stopping = threading.Thread(target=held.device.stop)
        stopping.start()
        assert until(lambda: refuses(held.device.client.port))
        stopping.join(1.5)
        assert stopping.is_alive()
        assert not held.first.done()

        held.release()

        assert_success(held.first.result(), "count", "faces")
        stopping.join(5)
        assert not stopping.is_alive()


def test_the_stop_does_not_wait_for_idle_clients(choice: Choice) -> None:
    with Device(pool(shipped_engine(choice))) as device, device.client.wire() as idle:
        idle.send(b"POST /faces HTTP/1.1\r\nContent-Le")
        start = time.monotonic()

        device.stop()

        assert time.monotonic() - start < 3
        with pytest.raises((ConnectionError, OSError)):
            device.client.get("/version")


def test_the_stop_does_not_wait_for_an_answer_that_never_comes(parts: Mapping[str, Any], portrait: bytes) -> None:
    with Held(parts, portrait, waiting=0, patience=60) as held:
        start = time.monotonic()

        held.device.stop()

        assert time.monotonic() - start < 7
        held.release()


def deaf_client(port: int) -> socket.socket:
    """A connection whose system takes in next to nothing of an answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    return client


def reset_on_close(client: socket.socket) -> None:
    """Makes the close an abort, as when a process dies or a network fails."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def refuses(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except ConnectionError:
        return True
    return False
