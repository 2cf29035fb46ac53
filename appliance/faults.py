"""The contract's result codes, and the one exception that carries them from where something goes wrong to the answer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, Self


class ResultCode(Enum):
    """A result code of the contract: its text, its message to the letter and its usual HTTP status."""

    text: str
    message: str
    status: int

    def __new__(cls, text: str, message: str, status: int) -> Self:
        member = object.__new__(cls)
        member._value_ = text
        member.text, member.message, member.status = text, message, int(status)
        return member

    OK = "INF-00", "OK.", HTTPStatus.OK
    INVALID_BODY = "INF-01", "Request body is invalid.", HTTPStatus.BAD_REQUEST
    INVALID_QUERY = "INF-02", "Request URL Query failed.", HTTPStatus.BAD_REQUEST
    NO_IMAGE = "INF-03", "Cannot find uploaded image file (Invalid request body)", HTTPStatus.BAD_REQUEST
    BROKEN_IMAGE = "INF-04", "Content of the image is missing, broken, or incorrect", HTTPStatus.BAD_REQUEST
    NOT_ALIGNED = "INF-05", "Image to extract feature size not equal with 112x112x3", HTTPStatus.BAD_REQUEST
    INITIALIZE = "INF-06", "FaceSDK - Initialize Error.", HTTPStatus.INTERNAL_SERVER_ERROR
    INITIALIZE_EXTENSION = ("INF-07", "FaceSDK - Feature extension Initialize Error.", HTTPStatus.INTERNAL_SERVER_ERROR)
    NOT_READY = "INF-08", "FaceSDK not ready.", HTTPStatus.INTERNAL_SERVER_ERROR
    DETECT_COUNT = "INF-09", "FaceSDK - Set max detectable count failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    DETECT_SIZE = "INF-10", "FaceSDK - Set min/max detectable size failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    DETECT = "INF-11", "FaceSDK - Run DetectInSingleImage failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    EXTRACT = "INF-12", "FaceSDK - Run ExtractFeature failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    COUNT_UNMATCHED = ("INF-13", "Face count unmatched between Detect and AlignFace", HTTPStatus.INTERNAL_SERVER_ERROR)
    ALIGN = "INF-14", "FaceSDK - Make Aligned face image failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    DEINITIALIZE = "INF-15", "FaceSDK - Deinitialize Error.", HTTPStatus.INTERNAL_SERVER_ERROR
    VALIDATE = "INF-16", "FaceSDK - Face Validation Checking Error.", HTTPStatus.INTERNAL_SERVER_ERROR
    NO_FACE = "INF-17", "FaceSDK - Face not found.", HTTPStatus.BAD_REQUEST
    COMPARE = "INF-18", "FaceSDK - Compute feature distance failed.", HTTPStatus.INTERNAL_SERVER_ERROR
    LIVENESS = "INF-19", "FaceSDK - Check face liveness error.", HTTPStatus.INTERNAL_SERVER_ERROR
    OCCLUSION = "INF-20", "FaceSDK - Check face occlusions error.", HTTPStatus.INTERNAL_SERVER_ERROR
    MASK = "INF-21", "FaceSDK - Check if face wearing a mask error.", HTTPStatus.INTERNAL_SERVER_ERROR
    NOT_A_ZIP = "INF-22", "FaceSDK - Multiframe liveness: Cannot unzip requested zip file.", HTTPStatus.BAD_REQUEST
    ZIP_NAMES = "INF-23", "FaceSDK - Multiframe liveness: Invalid image filenames in zip.", HTTPStatus.BAD_REQUEST
    ZIP_COUNT = "INF-24", "FaceSDK - Multiframe liveness: Invalid image files count", HTTPStatus.BAD_REQUEST
    RESTRICTED = "INF-25", "API is restricted", HTTPStatus.NOT_ACCEPTABLE
    EXPIRED = "INF-26", "API Server has expired", HTTPStatus.NOT_ACCEPTABLE
    REFUSED = "APP-01", "Refused: see reason and text.", HTTPStatus.BAD_REQUEST
    """Not of the contract: a Refusal for which none of its messages is true."""


_TEXTS = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list: […]",
    "model_type": "must have keys: {{…}}",
    "path_type": "must be the name of a file or folder, in quotes",
    "date_type": "must be a day, such as 2026-12-31",
    "date_from_datetime_parsing": "must be a day, such as 2026-12-31",
    "datetime_type": "must be a time, such as 2026-12-31T18:00:00+01:00",
    "datetime_parsing": "must be a time, such as 2026-12-31T18:00:00+01:00",
    "datetime_from_date_parsing": "must be a time, such as 2026-12-31T18:00:00+01:00",
    "timezone_aware": "must be a time with its offset, such as 2026-12-31T18:00:00+01:00",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "json_invalid": "is not JSON: {error}",
}
"""What is wrong with a value, by pydantic's name of the error; its own texts speak of tuples and of Python's classes."""


def wrong_value(mistake: Mapping[str, Any]) -> str:
    """What is wrong with a value, of an element of pydantic's `errors()`."""
    kind, found = mistake["type"], mistake.get("input")
    if kind == "tuple_type" and isinstance(found, dict):
        return "must be a list: [{…}]"
    kind = (
        kind.replace("_parsing", "_type")
        if kind in {"int_parsing", "float_parsing", "bool_parsing", "date_parsing"}
        else kind
    )
    text = _TEXTS.get("tuple_type" if kind == "list_type" else kind)
    return str(mistake["msg"]).removeprefix("Value error, ") if text is None else text.format(**mistake.get("ctx", {}))


class ReportedError(Exception):
    """An error whose text is one line that says what is wrong and how to fix it; a command prints it and exits with 1."""


class Fault(Exception):
    """Something that the contract has a code for.

    `detail` is for the log and the command line, never for an HTTP answer. `status` overrides the code's usual HTTP
    status, `retry_after` (seconds) becomes the header of that name.
    """

    def __init__(
        self, code: ResultCode, detail: str = "", *, status: int | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(f"{code.text} {code.message}" + (f" ({detail})" if detail else ""))
        self.code = code
        self.detail = detail
        self.status = code.status if status is None else int(status)
        self.retry_after = retry_after


class Refusal(Fault):
    """A Fault whose answer says why, as those of this device's own endpoints do: `reason` is a word for programs, `text` a line
    for people, `facts` (JSON) what else belongs to it. The documented endpoints never raise one.
    """

    def __init__(
        self,
        code: ResultCode,
        reason: str,
        text: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        facts: Mapping[str, Any] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(code, detail or reason, status=status, retry_after=retry_after)
        self.reason, self.text, self.facts = reason, text, facts or {}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a part, as `/healthz` reports it: `part` is its name, `state` a word for programs, `text` a sentence
    for people.
    """

    part: str
    state: str
    text: str


@contextmanager
def failing_as(code: ResultCode) -> Iterator[None]:
    """The fault boundary: whatever a part raises inside becomes a Fault with `code`; a Fault passes unchanged."""
    try:
        yield
    except Fault:
        raise
    except Exception as error:
        raise Fault(code, f"{type(error).__name__}: {error}") from error
