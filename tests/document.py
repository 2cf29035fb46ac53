"""The contract's tables, written down a second time, and what holds for every answer."""

import re
from typing import Any

from client import Answer

MESSAGES = {
    "INF-00": "OK.",
    "INF-01": "Request body is invalid.",
    "INF-02": "Request URL Query failed.",
    "INF-03": "Cannot find uploaded image file (Invalid request body)",
    "INF-04": "Content of the image is missing, broken, or incorrect",
    "INF-05": "Image to extract feature size not equal with 112x112x3",
    "INF-06": "FaceSDK - Initialize Error.",
    "INF-07": "FaceSDK - Feature extension Initialize Error.",
    "INF-08": "FaceSDK not ready.",
    "INF-09": "FaceSDK - Set max detectable count failed.",
    "INF-10": "FaceSDK - Set min/max detectable size failed.",
    "INF-11": "FaceSDK - Run DetectInSingleImage failed.",
    "INF-12": "FaceSDK - Run ExtractFeature failed.",
    "INF-13": "Face count unmatched between Detect and AlignFace",
    "INF-14": "FaceSDK - Make Aligned face image failed.",
    "INF-15": "FaceSDK - Deinitialize Error.",
    "INF-16": "FaceSDK - Face Validation Checking Error.",
    "INF-17": "FaceSDK - Face not found.",
    "INF-18": "FaceSDK - Compute feature distance failed.",
    "INF-19": "FaceSDK - Check face liveness error.",
    "INF-20": "FaceSDK - Check face occlusions error.",
    "INF-21": "FaceSDK - Check if face wearing a mask error.",
    "INF-22": "FaceSDK - Multiframe liveness: Cannot unzip requested zip file.",
    "INF-23": "FaceSDK - Multiframe liveness: Invalid image filenames in zip.",
    "INF-24": "FaceSDK - Multiframe liveness: Invalid image files count",
    "INF-25": "API is restricted",
    "INF-26": "API Server has expired",
}

OURS = {"APP-01": "Refused: see reason and text."}
"""The codes that are not the contract's."""

PICTURE_PATHS = ("/faces", "/alignedfaces", "/facefeatures")
FORM_PATHS = ("/similarity/v2", "/similarity", "/liveness/multiframe", "/compare")
POST_PATHS = (*PICTURE_PATHS, *FORM_PATHS)
"""Those of the document, and ours that take the same bodies."""

DOCUMENTED = {"", "/faces", "/alignedfaces", "/similarity", "/similarity/v2", "/liveness/multiframe", "/version"}
"""The paths of the document, and the empty one of a request that the test wrote itself."""

RAW_BYTES = 112 * 112 * 3

_STAGE = r"[a-z_]+;dur=[0-9]+(?:\.[0-9]+)?"
_TIMING = re.compile(rf"{_STAGE}(?:, {_STAGE})*")


def message(code: str) -> dict[str, str]:
    """The `return_msg` of a code."""
    return {"return_code": code, "return_msg": (MESSAGES | OURS)[code]}


def assert_signed(answer: Answer) -> None:
    """What every answer carries, whatever it says."""
    for name in ("Content-Type", "Alchera-API-Version", "Alchera-FaceSDK-Version", "X-Request-Id", "Server-Timing"):
        assert len(answer.headers.get_all(name, [])) == 1, name
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Alchera-API-Version"] == "1.0"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", answer.headers["Alchera-FaceSDK-Version"])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["X-Request-Id"])
    assert _TIMING.fullmatch(answer.headers["Server-Timing"])
    assert isinstance(answer.document, dict)


def assert_success(answer: Answer, *keys: str, status: int = 200) -> dict[str, Any]:
    """A 200 with these keys, `return_msg` and nothing else; returns the document."""
    assert (answer.status, answer.code) == (status, "INF-00")
    assert_signed(answer)
    assert set(answer.document) == {*keys, "return_msg"}
    assert answer.document["return_msg"] == message("INF-00")
    return answer.document


def assert_refusal(answer: Answer, status: int, code: str) -> None:
    """A failure: its status, its code, the message to the letter and nothing else; of a path of our own also why (4xx)."""
    assert (answer.status, answer.code) == (status, code)
    assert_signed(answer)
    assert answer.document == {**_reason(answer), "return_msg": message(code)}


def _reason(answer: Answer) -> dict[str, Any]:
    """What must stand before the `return_msg`: nothing on a path of the document or one that is not there, and in 5xx. A path
    that is not ASCII (RFC 3986, 2) cannot be read, and is answered as one of the document would be.
    """
    unread = answer.status == 400 and not answer.path.isascii()
    if unread or answer.path in DOCUMENTED or answer.status == 404 or answer.status >= 500 or answer.status == 431:
        return {}
    reason, text = answer.document["reason"], answer.document["text"]
    assert re.fullmatch(r"[a-z0-9_]+", reason)
    assert 8 < len(text) < 200
    return {"reason": reason, "text": text}


def assert_known(answer: Answer) -> None:
    """Success or a documented failure that is the client's fault: what any input whatever must give."""
    assert answer.status in (200, 400, 404, 405, 406, 413, 431)
    assert_signed(answer)
    assert (answer.code == "INF-00") == (answer.status == 200)
    assert answer.document["return_msg"] == message(answer.code)
    if answer.status != 200:
        assert set(answer.document) == {*_reason(answer), "return_msg"}


def assert_faces(answer: Answer) -> list[dict[str, Any]]:
    """The answer of `/faces`, key by key; returns the faces."""
    found = assert_success(answer, "count", "faces")
    assert type(found["count"]) is int
    assert found["count"] == len(found["faces"])
    for face in found["faces"]:
        assert set(face) == {"box", "landmark", "pose"}
        assert_floats(face["box"], "x", "y", "width", "height")
        assert set(face["landmark"]) == {"lm_points"}
        assert len(face["landmark"]["lm_points"]) == 106
        for point in face["landmark"]["lm_points"]:
            assert_floats(point, "x", "y")
        assert_floats(face["pose"], "yaw", "pitch", "roll")
    return found["faces"]


def assert_aligned(answer: Answer) -> list[dict[str, Any]]:
    """The answer of `/alignedfaces`, key by key; returns the faces."""
    found = assert_success(answer, "count", "aligned_faces")
    assert type(found["count"]) is int
    assert found["count"] == len(found["aligned_faces"])
    for face in found["aligned_faces"]:
        assert set(face) == {"box", "image_height", "image_width", "image_channel", "image_data"}
        assert_floats(face["box"], "x", "y", "width", "height")
        assert (face["image_height"], face["image_width"], face["image_channel"]) == (112, 112, 3)
        assert type(face["image_data"]) is str
    return found["aligned_faces"]


def assert_fraction(answer: Answer, key: str) -> float:
    """An answer whose one value is a float from 0 to 1; returns it."""
    value = assert_success(answer, key)[key]
    assert type(value) is float
    assert 0 <= value <= 1
    return value


def assert_floats(found: dict[str, Any], *keys: str) -> None:
    assert set(found) == set(keys)
    assert {type(value) for value in found.values()} == {float}
