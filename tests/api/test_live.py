"""The documented questions about what the camera sees now, its picture, events, health and metrics."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import simplejpeg
from cameras import HEIGHT, WIDTH, Scripted, noisy, on_canvas
from client import Client, Wire, request
from devices import Device, pool, shipped_engine, until
from document import assert_refusal
from overlaps import overlap
from prometheus_client.parser import text_string_to_metric_families

from appliance.face.types import Box, Pixels
from appliance.vision.loading import Choice

STUCK = 4.0
"""Seconds without a read after which these devices give a viewer up."""


@dataclass(frozen=True)
class Filmed:
    """A device before a scripted camera."""

    device: Device
    camera: Scripted

    @property
    def client(self) -> Client:
        return self.device.client

    def ready(self) -> None:
        assert until(lambda: self.client.get("/healthz").status == 200)


@pytest.fixture
def picture(portrait: bytes) -> Callable[[int], Pixels]:
    return noisy(on_canvas(portrait))


@pytest.fixture
def filmed(choice: Choice, picture: Callable[[int], Pixels]) -> Iterator[Filmed]:
    camera = Scripted(picture, 1 / 30)
    engine = shipped_engine(choice)
    with Device(
        pool(engine), source=camera, size=(WIDTH, HEIGHT), observing=shipped_engine(choice), stuck=STUCK
    ) as device:
        running = Filmed(device, camera)
        running.ready()
        yield running


def health(client: Client) -> tuple[int, str, list[str]]:
    answer = client.get("/healthz")
    return answer.status, answer.document["status"], [reason["state"] for reason in answer.document["reasons"]]


def box(face: dict[str, Any]) -> Box:
    return Box(**face["box"])


class Stream:
    """An open stream, read piece by piece."""

    def __init__(self, wire: Wire, path: str) -> None:
        wire.send(request("GET", path))
        self._file = wire._reader
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(self._file.readline, b"\r\n"))
        self._buffer = b""

    def until(self, end: bytes) -> bytes:
        """The content up to `end`."""
        while end not in self._buffer:
            size = int(self._file.readline(), 16)
            assert size, "the stream ended"
            self._buffer += self._file.read(size)
            self._file.readline()
        content, _, self._buffer = self._buffer.partition(end)
        return content

    def jpeg(self) -> bytes:
        head = self.until(b"\r\n\r\n").decode()
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        content = self._exactly(length)
        self.until(b"\r\n")
        return content

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            size = int(self._file.readline(), 16)
            self._buffer += self._file.read(size)
            self._file.readline()
        content, self._buffer = self._buffer[:length], self._buffer[length:]
        return content

    def event(self) -> tuple[str, dict[str, Any]]:
        while True:
            fields = dict(line.split(": ", 1) for line in self.until(b"\n\n").decode().splitlines() if ": " in line)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])

    def events(self, name: str, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < count:
            kind, body = self.event()
            found += [body] if kind == name else []
        return found

    def close(self) -> None:
        self._file.close()


def test_faces_are_those_of_the_newest_frame(filmed: Filmed) -> None:
    answer = filmed.client.get("/faces")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    posted = filmed.client.post("/faces", filmed.client.get("/camera/frame.jpg").content)
    assert answer.document.keys() == posted.document.keys()
    assert answer.document["count"] == posted.document["count"] == 1
    (seen,), (known,) = answer.document["faces"], posted.document["faces"]
    assert overlap(box(seen), box(known)) > 0.8
    assert len(seen["landmark"]["lm_points"]) == 106
    assert int(answer.headers["X-Frame-Sequence"]) > 0
    assert 0 <= float(answer.headers["X-Frame-Age"]) < 1000
    assert "Server-Timing" in answer.headers
    later = filmed.client.get("/faces")
    assert int(later.headers["X-Frame-Sequence"]) > int(answer.headers["X-Frame-Sequence"])


def test_the_query_means_the_same(filmed: Filmed) -> None:
    assert filmed.client.get("/faces?minsize=300").document["count"] == 0
    assert filmed.client.get("/faces?detectcount=1").document["count"] == 1
    for path in ("/faces", "/alignedfaces"):
        assert_refusal(filmed.client.get(path + "?minsize=0"), 400, "INF-02")
        assert_refusal(filmed.client.get(path + "?detectcount=1001"), 500, "INF-09")


def test_aligned_faces_can_be_compared(filmed: Filmed) -> None:
    answer = filmed.client.get("/alignedfaces")
    (face,) = answer.document["aligned_faces"]
    assert (face["image_height"], face["image_width"], face["image_channel"]) == (112, 112, 3)
    assert len(face["image_data"]) == 50_176


def test_liveness_of_a_face_that_is_there_all_the_time(filmed: Filmed) -> None:
    answer = filmed.client.get("/liveness/multiframe")
    assert answer.status == 200
    assert set(answer.document) == {"confidence", "return_msg"}
    assert 0 <= answer.document["confidence"] <= 1


def test_liveness_without_a_face_in_one_of_the_frames(filmed: Filmed, portrait: bytes) -> None:
    room = np.random.default_rng(0).integers(90, 130, (HEIGHT, WIDTH, 3), np.uint8)
    face = filmed.camera.picture
    filmed.camera.picture = lambda number: face(number) if number // 12 % 2 else noisy(room)(number)
    time.sleep(1.5)
    assert_refusal(filmed.client.get("/liveness/multiframe"), 400, "INF-17")


def test_liveness_of_a_face_that_is_now_here_now_there(filmed: Filmed, portrait: bytes) -> None:
    left, right = (noisy(on_canvas(portrait, left=place)) for place in (0.0, 1.0))
    filmed.camera.picture = lambda number: (left if number // 12 % 2 else right)(number)
    time.sleep(1.5)
    assert_refusal(filmed.client.get("/liveness/multiframe"), 400, "INF-17")


@pytest.mark.parametrize("path", ["/faces", "/alignedfaces", "/liveness/multiframe"])
def test_a_listener_that_waited_for_an_engine_receives_the_newest_faces(
    choice: Choice, picture: Callable[[int], Pixels], path: str
) -> None:
    engines, camera = pool(shipped_engine(choice)), Scripted(picture, 1 / 30)
    with Device(engines, source=camera, size=(WIDTH, HEIGHT)) as device, ThreadPoolExecutor(1) as elsewhere:
        assert until(lambda: device.client.get(path).status == 200)
        with engines.lease():
            asked = elsewhere.submit(device.client.get, path)
            assert until(lambda: engines.queue == 1)
            time.sleep(2)
        assert float(asked.result().headers["X-Frame-Age"]) < 1500
        with engines.lease():
            asked = elsewhere.submit(device.client.get, path)
            assert until(lambda: engines.queue == 1)
            camera.plugged = False
            assert until(lambda: device.client.get("/healthz").status == 503)
        assert_refusal(asked.result(), 503, "INF-08")


@pytest.mark.parametrize(
    "path", ["/faces", "/alignedfaces", "/liveness/multiframe", "/camera/frame.jpg", "/camera/stream.mjpg"]
)
def test_a_lost_camera_is_503_and_back_again(filmed: Filmed, path: str) -> None:
    filmed.camera.plugged = False
    assert until(lambda: health(filmed.client) == (503, "fault", ["no_camera"]))
    assert_refusal(filmed.client.get(path), 503, "INF-08")
    assert filmed.client.get(path).headers["Retry-After"] == "1"
    filmed.camera.plugged = True
    filmed.ready()
    with filmed.client.wire() as wire:
        stream = Stream(wire, path)
        assert stream.status == 200
        stream.close()


def test_posted_pictures_are_answered_without_a_camera(filmed: Filmed, portrait: bytes) -> None:
    filmed.camera.plugged = False
    assert until(lambda: filmed.client.get("/healthz").status == 503)
    assert filmed.client.post("/faces", portrait).document["count"] == 1


def test_a_device_without_a_camera_is_healthy_and_says_so(device: Client) -> None:
    answer = device.get("/healthz")
    assert (answer.status, answer.document["camera"]) == (200, None)
    for path in ("/faces", "/alignedfaces", "/liveness/multiframe", "/camera/frame.jpg", "/camera/stream.mjpg"):
        assert_refusal(device.get(path), 503, "INF-08")


def test_a_covered_lens_is_named_and_still_answered(filmed: Filmed) -> None:
    filmed.camera.picture = noisy(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert until(lambda: health(filmed.client) == (503, "fault", ["dark"]), 10)
    assert filmed.client.get("/faces").document["count"] == 0


def test_the_frame_is_a_jpeg_of_the_camera_s_size(filmed: Filmed, picture: Callable[[int], Pixels]) -> None:
    answer = filmed.client.get("/camera/frame.jpg")
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("image/jpeg", "no-store")
    pixels = simplejpeg.decode_jpeg(answer.content, colorspace="RGB")
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(pixels.astype(int) - picture(1)).mean() < 4, "colours and places are the camera's"


def test_a_stream_of_pictures(filmed: Filmed) -> None:
    with filmed.client.wire() as wire:
        stream = Stream(wire, "/camera/stream.mjpg")
        assert stream.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        frames = [stream.jpeg() for _ in range(5)]
        assert len(set(frames)) == 5
        assert all(simplejpeg.decode_jpeg_header(frame)[:2] == (HEIGHT, WIDTH) for frame in frames)
        stream.close()


def test_fifty_viewers(filmed: Filmed, portrait: bytes) -> None:
    wires = [Wire(filmed.client.port) for _ in range(50)]
    try:
        for wire in wires:
            wire.send(request("GET", "/camera/stream.mjpg"))
        statuses = [wire._reader.readline().split()[1] for wire in wires]
        assert (statuses.count(b"200"), statuses.count(b"503")) == (2, 48)
        assert filmed.client.post("/faces", portrait).document["count"] == 1
        assert filmed.client.get("/faces").document["count"] == 1
    finally:
        for wire in wires:
            wire.__exit__()
    assert until(lambda: metric(filmed.client, "appliance_stream_viewers") == 0, 3), "places are given back"
    with filmed.client.wire() as wire:
        stream = Stream(wire, "/camera/stream.mjpg")
        assert stream.status == 200
        stream.close()


def test_a_viewer_that_never_reads_costs_one_frame_and_then_its_place(filmed: Filmed) -> None:
    big = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    filmed.camera.picture = noisy(big)
    with filmed.client.wire() as stuck, filmed.client.wire() as reading:
        stuck.socket.setsockopt(1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF
        stuck.send(request("GET", "/camera/stream.mjpg"))
        assert until(lambda: metric(filmed.client, "appliance_stream_viewers") == 1)
        stream = Stream(reading, "/camera/stream.mjpg")
        begun, sizes = time.monotonic(), []
        while time.monotonic() - begun < 2:
            sizes.append(len(stream.jpeg()))
        assert len(sizes) > 20, "another viewer is not held up"
        waiting = [each.unsent() for each in filmed.device.connections()]
        assert 0 < max(waiting) < 1.1 * max(sizes), "one frame waits for it"
        assert until(lambda: metric(filmed.client, "appliance_stream_viewers") == 1, 20), "it is given up"
        stream.close()


def test_a_slow_viewer_sees_the_present(filmed: Filmed) -> None:
    """It reads a third of what is filmed: what it gets is young, and it is not given up."""

    def clock(number: int) -> Pixels:
        """Noise, which makes large frames, and the time in its first rows, by brightness."""
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        pixels[:64] = round((time.monotonic() - started) * 8) % 256
        return pixels

    started = time.monotonic()
    filmed.camera.picture = clock
    with filmed.client.wire() as wire:
        stream = Stream(wire, "/camera/stream.mjpg")
        ages = []
        while time.monotonic() - started < STUCK + 3:
            frame = stream.jpeg()
            seen = simplejpeg.decode_jpeg(frame, colorspace="RGB")[:48].mean() / 8
            ages.append(time.monotonic() - started - seen)
            time.sleep(0.1)
        assert len(ages) > 20
        assert max(ages[5:]) < 2.5, "seconds"
        stream.close()


def metric(client: Client, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics").content.decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_events_tell_what_happens(filmed: Filmed) -> None:
    with filmed.client.wire() as wire:
        stream = Stream(wire, "/events")
        assert stream.headers["content-type"] == "text/event-stream"
        kind, body = stream.event()
        assert kind == "health"
        assert (body["status"], body["camera"]["state"]) == ("ok", "ok")
        (appeared,) = stream.events("appeared", 1)
        seen = stream.events("faces", 3)
        assert all(body["faces"][0]["id"] == appeared["id"] for body in seen)
        assert (seen[0]["width"], seen[0]["height"]) == (WIDTH, HEIGHT)
        assert set(seen[0]["faces"][0]) == {"id", "box", "landmark", "pose", "quality"}
        quality = seen[0]["faces"][0]["quality"]
        assert set(quality) == {"overall", "weakest", "size", "sharpness", "light", "pose", "visibility"}
        assert quality["weakest"] in quality
        (judged,) = stream.events("liveness", 1)
        assert judged["id"] == appeared["id"]
        filmed.camera.plugged = False
        first, second = stream.events("health", 2)
        assert [each["reasons"][0]["state"] for each in (first, second)] == ["no_frames", "no_camera"]
        assert first["status"] == second["status"] == "fault"
        (left,) = stream.events("left", 1)
        assert left["id"] == appeared["id"]
        assert left["seconds"] > 0
        filmed.camera.plugged = True
        (better,) = stream.events("health", 1)
        assert better["status"] == "ok"
        stream.close()


def test_listeners_are_bounded(filmed: Filmed) -> None:
    with filmed.client.wire() as a, filmed.client.wire() as b:
        streams = [Stream(wire, "/events") for wire in (a, b)]
        assert [stream.status for stream in streams] == [200, 200]
        assert_refusal(filmed.client.get("/events"), 503, "INF-08")
        for stream in streams:
            stream.close()


def test_a_stream_asked_for_with_head_takes_no_place(filmed: Filmed) -> None:
    for _ in range(5):
        for path in ("/camera/stream.mjpg", "/events"):
            with filmed.client.wire() as wire:
                wire.send(request("HEAD", path))
                assert b" 200 " in wire._reader.readline()
    assert until(lambda: metric(filmed.client, "appliance_stream_viewers") == 0)
    with filmed.client.wire() as wire:
        stream = Stream(wire, "/events")
        assert stream.status == 200
        stream.close()


def test_the_end_of_the_device_ends_streams(choice: Choice, picture: Callable[[int], Pixels]) -> None:
    camera = Scripted(picture, 1 / 30)
    engine = shipped_engine(choice)
    with Device(pool(engine), source=camera, size=(WIDTH, HEIGHT), observing=engine) as device:
        assert until(lambda: device.client.get("/healthz").status == 200)
        with device.client.wire() as a, device.client.wire() as b:
            pictures, events = Stream(a, "/camera/stream.mjpg"), Stream(b, "/events")
            pictures.jpeg()
            events.event()
            begun = time.monotonic()
            device.stop()
            assert time.monotonic() - begun < 4
            pictures.close()
            events.close()


def test_requests_are_counted_by_endpoint_and_code(filmed: Filmed, portrait: bytes) -> None:
    client = filmed.client
    client.post("/faces", portrait)
    client.post("/faces", b"no picture")
    client.get("/nowhere/at/all")
    client.get("/faces?minsize=x")
    with client.wire() as wire:
        wire.ask("POST", "/faces", None, {"Content-Length": "99999999999"})
    count = "appliance_requests_total"
    assert metric(client, count, endpoint="/faces", method="POST", code="INF-00", status="200") == 1
    assert metric(client, count, endpoint="/faces", method="POST", code="INF-04", status="400") == 1
    assert metric(client, count, endpoint="/faces", method="GET", code="INF-02", status="400") == 1
    assert metric(client, count, endpoint="other", code="INF-02", status="404") == 1
    assert metric(client, count, endpoint="other", code="INF-01", status="413") == 1
    assert metric(client, "appliance_stage_seconds_count", stage="detect") >= 1
    assert metric(client, "appliance_request_seconds_count", endpoint="/faces") == 3


def test_metrics_show_the_camera(filmed: Filmed) -> None:
    client = filmed.client
    assert metric(client, "appliance_camera_state", state="ok") == 1
    assert metric(client, "appliance_camera_state") == 1
    assert 0 <= metric(client, "appliance_camera_frame_age_seconds") < 1
    assert metric(client, "appliance_camera_frames_total") > 0
    assert metric(client, "process_open_fds") > 3
    filmed.camera.plugged = False
    assert until(lambda: metric(client, "appliance_camera_state", state="no_camera") == 1)
    assert metric(client, "appliance_camera_state") == 1


def test_unknown_paths_and_methods_do_not_make_new_series(filmed: Filmed) -> None:
    for number in range(20):
        filmed.client.get(f"/unknown{number}")
        filmed.client.ask(f"BREW{number}", "/faces", b"")
    text = filmed.client.get("/metrics").content.decode()
    assert "unknown" not in text
    assert "BREW" not in text


def test_the_page_is_strict(device: Client) -> None:
    for path, kind in (("/", "text/html"), ("/app.js", "javascript"), ("/style.css", "text/css")):
        answer = device.get(path)
        assert answer.status == 200
        assert kind in answer.headers["Content-Type"]
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert_refusal(device.get("/index.html"), 404, "INF-02")
    assert_refusal(device.get("/web/../app.py"), 404, "INF-02")


def test_a_switched_off_path_is_off_for_the_camera_too(choice: Choice, picture: Callable[[int], Pixels]) -> None:
    engine = shipped_engine(choice)
    camera = Scripted(picture, 1 / 30)
    with Device(pool(engine), source=camera, restricted={"/faces"}, size=(WIDTH, HEIGHT), observing=engine) as device:
        assert_refusal(device.client.get("/faces"), 406, "INF-25")
        assert until(lambda: device.client.get("/alignedfaces").status == 200)


def test_four_frames_of_the_camera_can_be_posted(filmed: Filmed) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(1, 5):
            file.writestr(f"{number}.jpg", filmed.client.get("/camera/frame.jpg").content)
            time.sleep(0.3)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename="f.zip"\r\n\r\n'
        + archive.getvalue()
        + b"\r\n--b--\r\n"
    )
    answer = filmed.client.post("/liveness/multiframe", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status == 200
