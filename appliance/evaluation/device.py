"""A running device, seen through its documented HTTP API alone."""

import base64
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from appliance.evaluation.asked import (
    CutFace,
    FeatureFace,
    FoundFace,
    ScoredFace,
    UnexpectedAnswerError,
    UnscoredError,
    box_of,
    feature_face,
    found_face,
)

TIMEOUT = 30.0
"""Seconds after which the document's clients give up."""

PATIENCE = 20
"""How often a saturated device (503 with Retry-After) is asked again before its answer stands."""

OK, NOT_READY, NO_FACE = "INF-00", "INF-08", "INF-17"

IMAGE_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
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
        """The contract's result code, "" when there is none."""
        message = self.result.get("return_msg")
        return str(message.get("return_code", "")) if isinstance(message, dict) else ""

    def expect(self, *codes: str) -> dict[str, Any]:
        """The JSON object of an answer with one of these codes. Raises UnexpectedAnswerError for any other."""
        if self.code not in codes:
            raise UnexpectedAnswerError(f"HTTP {self.status}: {self.body[:200]!r}", self.code)
        return self.result


class Device:
    """A client that keeps one connection a thread, and closes them all when it is closed."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """`url` is http://HOST:PORT; `key` is sent with each question. Raises ValueError for any other address."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is not http://HOST:PORT")
        self.url = url
        self._address = (parts.hostname, parts.port or 80)
        self._authorization = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._own = threading.local()
        self._opened: list[HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._opened:
            connection.close()

    def version(self) -> Answer:
        """GET /version."""
        return self.ask("GET", "/version")

    def facts(self) -> Mapping[str, Any]:
        """What /version says. Raises UnexpectedAnswerError."""
        return {name: value for name, value in self.version().expect(OK).items() if name != "return_msg"}

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]:
        """POST /faces, largest face first. Raises UnexpectedAnswerError."""
        result = self.ask("POST", _with("/faces", query), picture).expect(OK)
        return [found_face(face) for face in result["faces"]]

    def aligned_faces(self, picture: bytes, **query: int) -> list[CutFace]:
        """POST /alignedfaces, largest face first. Raises UnexpectedAnswerError."""
        result = self.ask("POST", _with("/alignedfaces", query), picture).expect(OK)
        return [CutFace(box_of(face["box"]), base64.b64decode(face["image_data"])) for face in result["aligned_faces"]]

    def face_features(self, picture: bytes, **query: int) -> list[FeatureFace]:
        """POST /facefeatures, largest face first. Raises UnexpectedAnswerError."""
        result = self.ask("POST", _with("/facefeatures", query), picture).expect(OK)
        return [feature_face(face) for face in result["face_features"]]

    def scored_faces(self, picture: bytes, **query: int) -> list[ScoredFace]:
        """Raises UnscoredError: no documented answer has a score."""
        raise UnscoredError(f"the HTTP API of {self.url} gives no scores")

    def similarity(self, image_a: bytes, image_b: bytes) -> float:
        """POST /similarity/v2 with two aligned faces (JPEG, PNG or raw RGB): 0..1. Raises UnexpectedAnswerError."""
        body, kind = multipart({"image_a": image_a, "image_b": image_b})
        return float(self.ask("POST", "/similarity/v2", body, kind).expect(OK)["similarity"])

    def liveness(self, frames: Sequence[bytes], suffix: str = ".jpg") -> float | None:
        """POST /liveness/multiframe with four pictures in time order: confidence 0..1, None when one has no face.

        Raises UnexpectedAnswerError.
        """
        body, kind = multipart({"images": zipped(frames, suffix)})
        result = self.ask("POST", "/liveness/multiframe", body, kind).expect(OK, NO_FACE)
        return float(result["confidence"]) if "confidence" in result else None

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = IMAGE_TYPE) -> Answer:
        """Any question; waits and asks again while the device is saturated.

        Raises OSError or HTTPException without an answer.
        """
        for _ in range(PATIENCE):
            answer = self.ask_once(method, path, body, kind)
            wait = answer.headers.get("retry-after", "")
            if answer.status != 503 or not wait.isdigit():
                break
            time.sleep(min(float(wait), TIMEOUT))
        return answer

    def ask_once(self, method: str, path: str, body: bytes | None = None, kind: str = IMAGE_TYPE) -> Answer:
        """Any question, and whatever the answer is. Raises OSError or HTTPException without an answer."""
        headers = self._authorization | ({"Content-Type": kind} if body is not None else {})
        connection = self._connection()
        fresh = connection.sock is None
        try:
            return _exchange(connection, method, path, body, headers)
        except (HTTPException, ConnectionError):
            connection.close()
            if fresh:
                raise
            return _exchange(connection, method, path, body, headers)  # the server may close a connection that was idle
        except OSError:
            connection.close()
            raise

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._own, "connection"):
            self._own.connection = HTTPConnection(*self._address, timeout=TIMEOUT)
            self._opened.append(self._own.connection)
        connection: HTTPConnection = self._own.connection
        return connection


def multipart(parts: Mapping[str, bytes]) -> tuple[bytes, str]:
    """A multipart/form-data body (RFC 7578) of file parts, and its content type."""
    boundary = os.urandom(16).hex()
    lines = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: %s\r\n\r\n%s\r\n'
        % (boundary.encode(), name.encode(), name.encode(), IMAGE_TYPE.encode(), content)
        for name, content in parts.items()
    ]
    return b"".join(lines) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def zipped(frames: Sequence[bytes], suffix: str) -> bytes:
    """A zip of pictures named 1, 2, 3 … with `suffix`, stored as they are."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, frame in enumerate(frames, start=1):
            archive.writestr(f"{number}{suffix}", frame)
    return content.getvalue()


def _exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def _with(path: str, query: Mapping[str, int]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
