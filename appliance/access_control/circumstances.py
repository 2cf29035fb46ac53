"""All that a decision rests on, brought together at one moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from appliance.access_control.clock import Clock, Reading
from appliance.access_control.record import Record
from appliance.access_control.situation import Direction, Passage, Situation
from appliance.access_control.witness import Gallery, Recognises, Seen, Witness
from appliance.gallery.people import GalleryDamagedError, GalleryError, NoKeyError


@dataclass(frozen=True, slots=True)
class Question:
    """What a door asks: its nonce, 16 to 86 characters of base64url; which way; and when it came (`time.monotonic`)."""

    nonce: str
    direction: Direction
    asked: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A situation, and when the frames were taken that it was seen in (UTC). Without a gallery nobody can be recognised."""

    situation: Situation
    frames: tuple[datetime, ...]
    gallery: Gallery | None


class Circumstances:
    """Asks camera, gallery, clock and record how things stand."""

    def __init__(self, witness: Witness, recognition: Callable[[], Recognises], clock: Clock, record: Record) -> None:
        """`recognition` raises GalleryError when nobody can be recognised."""
        self._witness, self._recognition, self._clock, self._record = witness, recognition, clock, record

    def now(self, question: Question, *, repeated: bool) -> Moment:
        """How things stand for a question; `repeated`: it was answered before, so nobody looks. Raises the Faults of the
        engine, its pool and `recognition`.
        """
        recognition, obstacle = self._recognised()
        seen = Seen() if recognition is None or repeated else self._witness.look(question.asked, recognition)
        person = seen.sighting.person if seen.sighting else None
        last = recognition.gallery.last_passage(person.reference) if recognition and person else None
        reading = self._clock.read()
        situation = Situation(
            now=reading.now,
            clock=reading.state,
            trouble=seen.trouble,
            gallery=obstacle,
            recordable=self._record.problem() is None,
            repeated=repeated,
            direction=question.direction,
            faces=seen.faces,
            sighting=seen.sighting,
            last=Passage(Direction(last[0]), last[1]) if last else None,
        )
        return Moment(situation, _on_the_wall(seen.captured, reading), recognition.gallery if recognition else None)

    def _recognised(self) -> tuple[Recognises | None, str | None]:
        """What there is to recognise people with, or why there is nothing. A damaged gallery is nothing: with somebody's
        templates their last passage may be lost, or the likeness that made another ambiguous.
        """
        try:
            recognition = self._recognition()
        except GalleryError as error:
            return None, str(error)
        problem = recognition.gallery.problem()
        return (None, str(problem)) if isinstance(problem, GalleryDamagedError | NoKeyError) else (recognition, None)


def _on_the_wall(captured: tuple[float, ...], reading: Reading) -> tuple[datetime, ...]:
    """Times of `time.monotonic` as the wall clock has them."""
    now, wall = time.monotonic(), reading.now.astimezone(UTC)
    return tuple(wall - timedelta(seconds=now - each) for each in captured)
