"""Answers that go on: pictures, and Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import httpx

from face_appliance_client import answers
from face_appliance_client.answers import Event
from face_appliance_client.transport import TIMEOUT, ApplianceError, UnexpectedAnswerError, UnreachableError, checked

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

SILENCE = 25.0
"""Seconds without a byte after which a stream is dead: the device sends a comment every 5 s, and a proxy may hold some back."""


class Streamed:
    """An answer that goes on, inside `with`."""

    def __init__(self, http: httpx.Client, path: str) -> None:
        self._opened = http.stream("GET", path, timeout=httpx.Timeout(TIMEOUT, read=SILENCE))

    def __enter__(self) -> httpx.Response:
        try:
            response = self._opened.__enter__()
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        try:
            if not response.is_success:
                response.read()
            return checked(response)
        except (ApplianceError, httpx.HTTPError) as error:
            self._opened.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)


def failing(parts: Iterator[T]) -> Iterator[T]:
    """The parts of a stream. Raises UnreachableError when it breaks."""
    try:
        yield from parts
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise unreachable(error) from error


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream of Server-Sent Events; comments are left out. Raises UnexpectedAnswerError."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield _event(name, value)


def _event(name: str, data: str) -> Event:
    try:
        return answers.read_event(name, json.loads(data))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnexpectedAnswerError(f"not an event of a face appliance: {name}") from error


def unreachable(error: Exception) -> UnreachableError:
    return UnreachableError(str(error) or type(error).__name__)
