"""A device over its documented HTTP API, and a device of our own: a child process on a free port of this machine."""

import base64
import ctypes
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urlencode, urlsplit

import numpy as np
import numpy.typing as npt
import psutil
import tomlkit
from urllib3 import HTTPConnectionPool, Retry
from urllib3.exceptions import HTTPError
from urllib3.filepost import encode_multipart_formdata

from appliance.calibration.rates import Reals
from lab.pictures import blank

TIMEOUT = 30.0  # seconds after which the contract's clients give up
MOST_CONNECTIONS = 64  # kept for the next requests; more than any measurement has at a time
OK, NOT_READY, NO_FACE, RESTRICTED = "INF-00", "INF-08", "INF-17", "INF-25"
IMAGE_TYPE = "application/octet-stream"
HOST = "127.0.0.1"
START_LIMIT = 180.0  # seconds to the first answer: sixty times what the bench accepts, so that a slow board is measured
STOP_LIMIT = 10.0  # seconds from SIGTERM to the end: twice what a device promises
POLL = 0.02  # seconds between two requests to a device that is starting
LIBC = ctypes.CDLL(None)
Vector = npt.NDArray[np.float32]

# Sent again when the server has closed an idle connection; PATIENT: also while the device is saturated (503, Retry-After).
ONCE_MORE = {"connect": 0, "read": 1, "allowed_methods": None, "raise_on_status": False}
AT_ONCE, PATIENT = Retry(1, status=0, respect_retry_after_header=False, **ONCE_MORE), Retry(20, **ONCE_MORE)


class UnexpectedAnswerError(Exception):
    """A valid request had no result; `code` is the contract's result code, "" without one."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code


class ProgramFailedError(Exception):
    """A program that is measured or measures (a device, a build, clients, a peer) did not do its work; carries the end of its
    log.
    """


def one_line(error: Exception) -> str:
    """The text of an error; of an operating system's error, the file or address and the reason."""
    if isinstance(error, UnexpectedAnswerError) and error.code == RESTRICTED:
        return "the device refuses: this needs a key with the right scope (--key), or is switched off"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face of /faces: box (4: x, y, width, height) and 106 x 2 points in pixels; yaw, pitch and roll in degrees."""

    box: Reals
    points: Reals
    pose: Reals


@dataclass(frozen=True, slots=True)
class CutFace:
    """A face of /alignedfaces: box (4: x, y, width, height) in pixels and its 112 x 112 x 3 RGB bytes."""

    box: Reals
    pixels: bytes


@dataclass(frozen=True, slots=True)
class FeatureFace:
    """A face of /facefeatures: box (4: x, y, width, height) in pixels and embedding (512 float32 of unit length, 640 with the
    strong embedder's).
    """

    box: Reals
    feature: Vector


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object; an empty one when the body is something else."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def code(self) -> str:
        """The contract's result code, "" without one."""
        message = self.result.get("return_msg")
        return str(message.get("return_code", "")) if isinstance(message, dict) else ""

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds by stage, and of the "total" (W3C Server Timing); empty without any."""
        metrics = (metric.strip().partition(";dur=") for metric in self.headers.get("server-timing", "").split(","))
        return {name: float(duration) for name, _, duration in metrics if duration}

    def expect(self, *codes: str) -> dict[str, Any]:
        """The JSON object of an answer with one of these codes. Raises UnexpectedAnswerError for any other."""
        if self.code not in codes:
            raise UnexpectedAnswerError(f"HTTP {self.status}: {self.body[:200]!r}", self.code)
        return {name: value for name, value in self.result.items() if name != "return_msg"}


class Device:
    """A client for any number of threads. Pictures are JPEG or PNG, `query` is minsize, maxsize and detectcount, faces come
    largest first; what returns a result raises UnexpectedAnswerError, and without an answer OSError.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        """`url` is http://HOST:PORT; `key` is sent with each request. Raises ValueError for any other address."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is not http://HOST:PORT")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._pool = HTTPConnectionPool(
            parts.hostname, parts.port or 80, timeout=TIMEOUT, maxsize=MOST_CONNECTIONS, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def facts(self) -> Mapping[str, Any]:
        """Versions, runtime, models and operating points: GET /version."""
        return self.ask("GET", "/version").expect(OK)

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]:
        """POST /faces."""
        found = self.result("/faces", {"": picture}, query).get("faces", [])
        points = ([[point["x"], point["y"]] for point in face["landmark"]["lm_points"]] for face in found)
        poses = ([face["pose"][angle] for angle in ("yaw", "pitch", "roll")] for face in found)
        return [
            FoundFace(_box(face), np.array(point, np.float64), np.array(pose, np.float64))
            for face, point, pose in zip(found, points, poses, strict=True)
        ]

    def aligned_faces(self, picture: bytes, **query: int) -> list[CutFace]:
        """POST /alignedfaces."""
        found = self.result("/alignedfaces", {"": picture}, query).get("aligned_faces", [])
        return [CutFace(_box(face), base64.b64decode(face["image_data"])) for face in found]

    def face_features(self, picture: bytes, **query: int | str) -> list[FeatureFace]:
        """POST /facefeatures."""
        found = self.result("/facefeatures", {"": picture}, query).get("face_features", [])
        features = (np.frombuffer(base64.b64decode(face["feature_data"]), "<f4").astype(np.float32) for face in found)
        return [FeatureFace(_box(face), feature) for face, feature in zip(found, features, strict=True)]

    def similarity(self, image_a: bytes, image_b: bytes) -> float:
        """POST /similarity/v2 with two aligned faces (JPEG, PNG or raw RGB): 0..1."""
        return float(self.result("/similarity/v2", {"image_a": image_a, "image_b": image_b})["similarity"])

    def liveness(self, frames: Sequence[bytes]) -> float | None:
        """POST /liveness/multiframe with four JPEGs in time order: confidence 0..1, None when one has no face."""
        confidence = self.result("/liveness/multiframe", {"images": zipped(frames, ".jpg")}).get("confidence")
        return None if confidence is None else float(confidence)

    def result(
        self, path: str, parts: Mapping[str, bytes], query: Mapping[str, int | str] | None = None
    ) -> dict[str, Any]:
        """The JSON object of an answer to a body, whose part has no name, or to a form of named parts."""
        body, kind = multipart(parts) if "" not in parts else (parts[""], IMAGE_TYPE)
        return self.ask("POST", f"{path}?{urlencode(query)}" if query else path, body, kind).expect(OK, NO_FACE)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = IMAGE_TYPE) -> Answer:
        """Any request; waits and sends it again while the device is saturated."""
        return self.ask_once(method, path, body, kind, PATIENT)

    def timed(self, method: str, path: str, body: bytes | None = None, kind: str = IMAGE_TYPE) -> float:
        """Milliseconds of a request until its whole answer is there. Raises UnexpectedAnswerError."""
        begun = time.perf_counter()
        answer, ended = self.ask_once(method, path, body, kind), time.perf_counter()
        answer.expect(OK)
        return 1e3 * (ended - begun)

    def ask_once(
        self, method: str, path: str, body: bytes | None = None, kind: str = IMAGE_TYPE, retries: Retry = AT_ONCE
    ) -> Answer:
        """Any request, and whatever the answer is."""
        headers = self._pool.headers | ({"Content-Type": kind} if body is not None else {})
        try:
            answer = self._pool.urlopen(method, path, body, headers, retries, redirect=False)
        except HTTPError as error:
            reason = getattr(error, "reason", error)
            raise reason.__cause__ if isinstance(reason.__cause__, OSError) else ConnectionError(str(reason)) from error
        return Answer(answer.status, answer.headers, answer.data)


@dataclass(frozen=True, slots=True)
class Build:
    """A program to start: the Python of its environment, and the folder to start it in, where Python looks for it first."""

    python: Path = Path(sys.executable)
    folder: Path = Path()


THIS = Build()


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """Its address, its process, the seconds from its start to its first answer that is not INF-08, and its log."""

    url: str
    process_id: int
    seconds_to_ready: float
    log: Path


@contextmanager
def own_device(
    sections: Mapping[str, Mapping[str, Any]], calibration: Path | None = None, build: Build = THIS
) -> Iterator[OwnDevice]:
    """Starts `appliance serve` of a build with this configuration, without a camera unless it names one, and with a state of
    its own, to which `calibration` is copied; stops it by SIGTERM. Raises ProgramFailedError.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("w+b") as log:
        folder = Path(name)
        written = {"camera": {"driver": "none"}, "gallery": {"key_file": str(folder / "site.key")}, **sections}
        configuration = folder / "appliance.toml"
        configuration.write_text(tomlkit.dumps(written), "utf-8")
        if calibration is not None and calibration.is_file():
            shutil.copy(calibration, folder)
        started = time.monotonic()
        process = subprocess.Popen(
            [build.python, "-m", "appliance", "serve", "--host", HOST, "--port", str(port), "--config", configuration],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "STATE_DIRECTORY": name},
            cwd=build.folder,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (it calls the kernel alone)
        )
        try:
            url = f"http://{HOST}:{port}"
            _wait_until_ready(url, process, log, started + START_LIMIT)
            yield OwnDevice(url, process.pid, time.monotonic() - started, folder / "log")
        finally:
            _stop(process, log)


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def resident_megabytes(process_id: int) -> float:
    """Resident memory of a process in units of 10^6 bytes. Raises psutil.NoSuchProcess."""
    return float(psutil.Process(process_id).memory_info().rss / 1e6)


def multipart(parts: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A multipart/form-data body (RFC 7578) of file parts, and its content type."""
    body, kind = encode_multipart_formdata({name: (name, content, IMAGE_TYPE) for name, content in parts.items()})
    return bytes(body), str(kind)


def zipped(frames: Sequence[bytes], suffix: str) -> bytes:
    """A zip of pictures named 1, 2, 3 … with `suffix`, stored as they are; the same pictures give the same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, frame in enumerate(frames, start=1):
            archive.writestr(zipfile.ZipInfo(f"{number}{suffix}"), frame)
    return content.getvalue()


def _box(face: Mapping[str, Any]) -> Reals:
    return np.array([face["box"][key] for key in ("x", "y", "width", "height")], dtype=np.float64)


def _end_with_parent() -> None:
    """Sends this process SIGTERM when its parent is gone, however that ended (prctl(2), PR_SET_PDEATHSIG)."""
    LIBC.prctl(1, signal.SIGTERM)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: IO[bytes], deadline: float) -> None:
    """Until /version and a posted picture, which needs the models, are answered with another code than INF-08."""
    with Device(url) as device:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ProgramFailedError(f"ended with status {process.returncode}:\n{_tail(log)}")
            with suppress(OSError):  # it does not listen yet
                answers = (device.ask("GET", "/version"), device.ask_once("POST", "/faces", blank(64, 64)))
                if all(answer.code not in ("", NOT_READY) for answer in answers):
                    return
            time.sleep(POLL)
    raise ProgramFailedError(f"not ready after {START_LIMIT:.0f} s:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise ProgramFailedError(f"still alive {STOP_LIMIT:.0f} s after SIGTERM:\n{_tail(log)}") from error


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-2000:].decode(errors="replace")
