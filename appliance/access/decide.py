"""The decision: one look at who is there, one ruling, one entry in the record, one signature."""

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance import state
from appliance.access.clock import Clock, Reading
from appliance.access.identify import GalleryHandle
from appliance.access.log import DECISION, Entry, Record, RecordError
from appliance.access.observe import Gallery, Recognises, Seen, Witness
from appliance.access.policy import Passage, Policy, Ruling, Situation
from appliance.access.token import (
    LIFE,
    SECRET_BYTES,
    Decision,
    Direction,
    SignedDecision,
    Signer,
    in_milliseconds,
    write_token,
)
from appliance.faults import Fault, Problem, ResultCode
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    NoKeyError,
    NoSuchPersonError,
    Person,
)
from appliance.gallery.search import Outcome
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey


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


LIFE_SECONDS = 60.0
"""How long a nonce is remembered: a decision holds for 2 s, and no door waits a minute for one."""

MOST = 4096
"""Nonces remembered at most, the newest: 90 bytes each, and one a second for an hour."""


class Nonces:
    """Remembers the nonces of answers, in memory alone. That is enough, because the nonce is the door's: its verifier takes one
    answer to each, whatever this device has forgotten. What is kept here makes a door (or whoever plays one) that asks twice
    visible, and gives it nothing. Not thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered: OrderedDict[str, float] = OrderedDict()

    def add(self, nonce: str) -> None:
        """Takes note of an answer."""
        now = self._clock()
        self._answered[nonce] = now
        self._answered.move_to_end(nonce)
        while len(self._answered) > MOST or now - next(iter(self._answered.values())) > LIFE_SECONDS:
            self._answered.popitem(last=False)

    def __contains__(self, nonce: str) -> bool:
        """Whether it was answered within its life."""
        answered = self._answered.get(nonce)
        return answered is not None and self._clock() - answered <= LIFE_SECONDS


WAITING = 2
"""Questions that may wait for their turn: a device has one camera, and two doors beside it are many."""

PATIENCE_SECONDS = 1.2
"""How long each waits at most: as long as an answer may take."""

REST_SECONDS = 0.3
"""From the begin of a turn to that of the next one: the frames of a decision are so far apart, so nothing new is seen sooner. A
door that asks in a loop, or before a blind camera, does not fill the record with hundreds of answers a second.
"""


class Turns:
    """Gives one turn at a time."""

    def __init__(self, waiting: int = WAITING, patience: float = PATIENCE_SECONDS, rest: float = REST_SECONDS) -> None:
        self._places = threading.BoundedSemaphore(waiting + 1)
        self._turn = threading.Lock()
        self._patience, self._rest, self._begun = patience, rest, float("-inf")

    @contextmanager
    def one(self) -> Iterator[None]:
        """A turn for the time inside. Raises Fault INF-08 (503): others wait already, or it takes too long."""
        if not self._places.acquire(blocking=False):
            raise Fault(ResultCode.NOT_READY, "others wait for a decision already", status=503, retry_after=1)
        try:
            if not self._turn.acquire(timeout=self._patience):
                detail = f"another decision takes longer than {self._patience:g} s"
                raise Fault(ResultCode.NOT_READY, detail, status=503, retry_after=1)
            try:
                time.sleep(max(0.0, self._begun + self._rest - time.monotonic()))
                self._begun = time.monotonic()
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()


log = logging.getLogger(__name__)

ID_BYTES = 16
"""Random bytes of a decision's id."""


class Decider:
    """Decides who may pass, one question at a time. Thread-safe."""

    def __init__(
        self,
        device: str,
        signer: Callable[[], Signer],
        circumstances: Circumstances,
        policy: Policy,
        record: Record,
        publish: Callable[[SignedDecision], None],
    ) -> None:
        """`device` is the id that decisions name; `signer` raises GalleryError when nothing can be signed. `publish` is called
        with every decision; it neither blocks nor raises.
        """
        self.device, self._signer = device, signer
        self._circumstances, self._policy, self._record, self._publish = circumstances, policy, record, publish
        self._turns, self._nonces = Turns(), Nonces()

    def decide(self, nonce: str, direction: Direction) -> SignedDecision:
        """Whether whoever stands before the camera may pass: granted or denied, recorded and signed. `nonce` is the door's, 16
        to 86 characters of base64url. Raises Fault INF-08 (503) when others wait already, the Faults of an engine and its pool,
        and GalleryError when nothing can be signed: then there is no decision, and the door can ask again with this nonce.
        """
        question = Question(nonce, direction, time.monotonic())
        with self._turns.one():
            signed = self._answer(question, self._signer())
            self._nonces.add(nonce)
            self._publish(signed)
        said, milliseconds = signed.decision, (time.monotonic() - question.asked) * 1e3
        log.info("decision %s: %s (%s) after %.0f ms", said.id, said.result, said.reason, milliseconds)
        return signed

    def _answer(self, question: Question, signer: Signer) -> SignedDecision:
        moment = self._circumstances.now(question, repeated=question.nonce in self._nonces)
        situation = self._let_pass(moment)
        ruling = self._policy.rule(situation)
        decision = self._decision(question, moment.frames, situation, ruling)
        entry = self._recorded(decision, situation, ruling)
        if entry is None and situation.recordable:  # there was room a moment ago
            granted, situation = ruling.granted, replace(situation, recordable=False)
            ruling = self._policy.rule(situation)
            decision = self._decision(question, moment.frames, situation, ruling)
            if granted and not ruling.granted:
                self._stay_outside(moment)
        person = _person(situation)
        anchor = entry.anchor if entry else None
        return SignedDecision(
            decision, write_token(decision, anchor, signer), ruling.text, person.name if person else None
        )

    def _let_pass(self, moment: Moment) -> Situation:
        """Takes note that somebody passes, before they do, where anti-passback asks for it. Returns the situation, which is
        another one when that cannot be done.
        """
        situation, person = moment.situation, _person(moment.situation)
        if not (self._policy.rules.remembers and person and moment.gallery and self._policy.rule(situation).granted):
            return situation
        try:
            moment.gallery.note_passage(person.reference, situation.direction.value, situation.now)
        except NoSuchPersonError:  # erased since they were recognised
            assert situation.sighting is not None
            return replace(situation, sighting=replace(situation.sighting, outcome=Outcome.UNKNOWN, person=None))
        except GalleryUnavailableError as error:
            return replace(situation, gallery=str(error))
        return situation

    def _stay_outside(self, moment: Moment) -> None:
        """Whoever was noted as passing does not: they can ask again from where they are."""
        situation, person = moment.situation, _person(moment.situation)
        if not (self._policy.rules.remembers and person and moment.gallery):
            return
        last = situation.last
        before = None if last is None else (last.direction.value, last.time)
        try:
            moment.gallery.take_back_passage(person.reference, before)
        except GalleryError as error:
            log.error("person %s: noted as passing, though the door stays shut: %s", person.reference, error)

    def _decision(
        self, question: Question, frames: Sequence[datetime], situation: Situation, ruling: Ruling
    ) -> Decision:
        issued, person = in_milliseconds(situation.now), _person(situation)
        return Decision(
            id=secrets.token_hex(ID_BYTES),
            device=self.device,
            nonce=question.nonce,
            direction=question.direction,
            granted=ruling.granted,
            reason=ruling.reason.value,
            person=person.id if person else None,
            frames=tuple(map(in_milliseconds, frames)),
            issued=issued,
            expires=issued + LIFE,
        )

    def _recorded(self, decision: Decision, situation: Situation, ruling: Ruling) -> Entry | None:
        """The entry that keeps a decision; None when it cannot be kept."""
        person = _person(situation)
        facts = {
            **decision.facts(),
            "person": person.reference if person else None,
            "relaxed": tuple(step.rule for step in ruling.relaxed),
        }
        del facts["device"]  # the record is that of one device
        try:
            return self._record.append(DECISION, facts)
        except RecordError as error:
            log.error("a decision cannot be recorded: %s", error)
            return None


def _person(situation: Situation) -> Person | None:
    return situation.sighting.person if situation.sighting else None


SIGNING_KEY_FILE = "signing.key"

SIGNING_KEY_PLACE = "device key"
"""What its seal is bound to."""


class DeviceKeyError(GalleryUnavailableError):
    """The device cannot sign; the text is one line that gives the reason and the remedy."""


def obtain_signing_key(path: Path, site_key: SiteKey) -> Signer:
    """The signer of the key in a file, which is made when it is not there. Raises DeviceKeyError."""
    seal = Seal(site_key)
    try:
        with state.held(path):
            if not path.exists():
                state.write_atomically(path, seal.close(secrets.token_bytes(SECRET_BYTES), SIGNING_KEY_PLACE), 0o600)
                log.warning("%s was made: doors that know another key must learn this one (GET /access/key)", path.name)
        return Signer.of(seal.open(path.read_bytes(), SIGNING_KEY_PLACE))
    except OSError as error:
        raise DeviceKeyError(f"{path}: the signing key cannot be read or made: {error.strerror}") from error
    except BrokenSealError as error:
        raise DeviceKeyError(
            f"{path} is damaged, or sealed with another site key: put the right one back; or delete it, and every door "
            "must learn the new key (GET /access/key)"
        ) from error


class SigningKey:
    """The device's signing key, sealed with the gallery's key. Thread-safe."""

    def __init__(self, path: Path, handle: GalleryHandle) -> None:
        self._path, self._handle = path, handle
        self._lock = threading.Lock()
        self._signer: Signer | None = None
        self._logged = False

    def signer(self) -> Signer:
        """Signs as this device; the key is made on first use. Raises GalleryError, also without the gallery's key: a signing
        key is never made under another one.
        """
        self._handle.gallery()
        with self._lock:
            if self._signer is None:
                self._signer = obtain_signing_key(self._path, self._handle.site_key())
            return self._signer

    def problems(self) -> list[Problem]:
        """A damaged key, for `/healthz`. Without a gallery, or before the key is made, there is no problem."""
        try:
            self._handle.gallery()
        except (GalleryError, Fault):
            return []
        try:
            if self._path.exists():
                self.signer()
        except GalleryError as error:
            if not self._logged:
                log.error("no decision is made: %s", error)
            self._logged = True
            return [Problem("door", "signing_key_unusable", "Decisions cannot be signed: see the log.")]
        self._logged = False
        return []
