"""The decision: one observation, one result of the policy, one entry in the record, one signature; between them the steps in
which a person gives more than the face.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from appliance.access.challenge import Response, Tries
from appliance.access.clock import Clock
from appliance.access.factors import NOTHING_GIVEN, Factors, Given, PinCheck, StepKind
from appliance.access.identify import Recognition
from appliance.access.log import DECISION, DOOR, VOIDS, Entry, Fact, Record, RecordError
from appliance.access.observe import ChallengeWatch, SubjectObserver
from appliance.access.passes import NoSuchPassError, PassBook, VisitorPass
from appliance.access.pins import PinChecker
from appliance.access.policy import Facts, Observation, Policy, PolicyResult, Rules
from appliance.access.reason import Reason
from appliance.access.steps import STEP_SECONDS, OpenStep, OpenSteps, PendingStep, Present, StepAnswer
from appliance.access.token import (
    LIFE,
    Decision,
    Direction,
    SignedDecision,
    Signer,
    Trigger,
    in_milliseconds,
    write_token,
)
from appliance.access.turns import WAITING, AnsweredNonces, Turns
from appliance.events import DoorEvent, DoorEventKind, Event
from appliance.faults import Fault, Problem, Refusal, ResultCode
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import (
    GalleryDamagedError,
    GalleryError,
    GalleryUnavailableError,
    NoKeyError,
    NoSuchPersonError,
    Person,
)
from appliance.gallery.pin import LONGEST, SHORTEST
from appliance.gallery.search import Outcome

log = logging.getLogger(__name__)

ID_BYTES = 16
"""Random bytes of a decision's id."""

FRESH_SECONDS = 1.5
"""How old the newest frame may be when a decision is signed, which is then valid for another half a second."""

SLOW_SECONDS = 600.0
"""How long a decision that took too long is a problem, unless a later one is in time."""

REPEAT_SECONDS = 1.0
"""For how long a denial that equals the last decision is not recorded again, but counted."""

AFTER_SECONDS = 1.0
"""From a PIN to the newest frame of the look at the face that follows: so all four are of a person who has finished typing."""

LOOK_SECONDS = 4.0
"""How long a person may take to look at the camera again."""

PRESENT_SECONDS = 1.0
"""How often it is looked whether the person is still there, while a step waits."""

TRIED_AGAIN = frozenset({"one_face", "followed", "upright", "quality", "identity"})
"""The rules that the face of a person who still looks at the keys fails. Liveness and an exchanged person get no other try."""


class DecisionEntries:
    """The entries of decisions. A denial that repeats the last decision within `seconds` has no entry of its own: the next
    entry says how many there were (`repeats`). Not thread-safe.
    """

    def __init__(self, record: Record, seconds: float) -> None:
        self._record, self._seconds = record, seconds
        self._last: tuple[Entry, float] | None = None
        self._repeats = 0

    def add(self, facts: Mapping[str, Fact]) -> Entry:
        """The entry of a decision. Raises RecordError."""
        now = time.monotonic()
        if self._last and now - self._last[1] < self._seconds and _repeats(self._last[0].facts, facts):
            self._repeats += 1
            return self._last[0]
        entry = self._record.append(DECISION, {**facts, **({"repeats": self._repeats} if self._repeats else {})})
        self._last, self._repeats = (entry, now), 0
        return entry


def _repeats(before: Mapping[str, Fact], facts: Mapping[str, Fact]) -> bool:
    same = ("result", "reason", "direction", "person", "relaxed", "trigger")
    return facts["result"] == "denied" and all(before.get(name) == facts[name] for name in same)


class Decider:
    """Decides who may pass, one question at a time. Thread-safe."""

    def __init__(
        self,
        device: str,
        signer: Callable[[], Signer],
        observer: SubjectObserver,
        recognition: Callable[[], Recognition],
        clock: Clock,
        record: Record,
        policy: Policy,
        pins: PinChecker,
        passes: PassBook,
        publish: Callable[[Event], None],
        fresh_s: float = FRESH_SECONDS,
        repeat_s: float = REPEAT_SECONDS,
        step_s: float = STEP_SECONDS,
        granted: Callable[[Facts], None] = lambda _: None,
    ) -> None:
        """`device` is the id that decisions name. `signer` raises GalleryError when nothing can be signed, `recognition` when
        people cannot be recognised. `publish` is called with every decision, step and remote opening; it neither blocks nor
        raises. `granted` is called with the facts of every granted decision; it does neither, too.
        """
        self._granted = granted
        self.device, self._signer, self._observer, self._recognition = device, signer, observer, recognition
        self._clock, self._record, self._policy, self._publish = clock, record, policy, publish
        self._next_policy = policy
        self._turns, self._nonces, self._fresh = Turns(), AnsweredNonces(), fresh_s
        self._slow_until = float("-inf")
        self._entries = DecisionEntries(record, repeat_s)
        self._pins, self._passes, self._steps, self._tries = pins, passes, OpenSteps(step_s), Tries()
        self._waiters = threading.BoundedSemaphore(1 + WAITING)

    def decide(
        self, nonce: str, direction: Direction, trigger: Trigger = Trigger.ASKED, since: float | None = None
    ) -> SignedDecision | PendingStep:
        """Whether the person at the camera may pass: granted or denied, recorded and signed; or the step that they have to take
        first. `nonce` is the door's, 16 to 86 characters of base64url, or this device's own. The newest frame is taken at
        `since` (seconds of `time.monotonic`) or later, by default after the call. Raises Fault INF-08 (503) when others wait
        already or a step is pending, the Faults of an engine and its pool, and GalleryError when nothing can be signed: then
        there is no decision, and the nonce can still be used.
        """
        asked = time.monotonic()
        with self._turns.one():
            signer = self._signer()
            if late := self._steps.unanswered():
                self._end(late, self._denied(late, signer))
            self._policy = self._next_policy
            facts, gallery = self._facts(nonce, direction, asked if since is None else since, NOTHING_GIVEN)
            outcome = self._outcome(nonce, trigger, facts, gallery, signer)
            self._nonces.add(nonce)
            self._publish(outcome)
        _log(outcome, time.monotonic() - asked)
        return outcome

    def proceed(self, handle: str, answer: StepAnswer) -> SignedDecision | PendingStep:
        """What the answer to a step leads to: the decision, or a further step. Raises Refusal `no_such_step` (404), and as
        `decide`: then the step is still pending.
        """
        asked = time.monotonic()
        with self._turns.one():
            pending = self._steps.take(handle)
            signer = self._signer()
            if answer.cancel or not self._steps.left(pending):
                outcome: SignedDecision | PendingStep = self._denied(pending, signer)
            elif pending.watch:
                outcome = self._watched(pending, pending.watch, signer)
            else:
                with pending.being_answered():
                    given = self._take_pin(pending, answer)
                    passed = given.pin is PinCheck.RIGHT
                    outcome = self._continued(pending, given, signer, passed=passed, after_s=AFTER_SECONDS)
            self._end(pending, outcome)
        _log(outcome, time.monotonic() - asked)
        return outcome

    def wait(self, handle: str, present: Present = lambda: True) -> SignedDecision | PendingStep:
        """What a step leads to that another client answers, or that of a challenge, which the device watches itself; the denial
        when it has expired, or the person is not `present` any more. Raises as `proceed`.
        """
        pending = self._steps.find(handle)
        if pending.watch:
            return self.proceed(handle, StepAnswer())
        if not self._waiters.acquire(blocking=False):
            raise Fault(ResultCode.NOT_READY, "others wait for this step already", status=503, retry_after=1)
        try:
            while not pending.wait(min(left := self._steps.left(pending), PRESENT_SECONDS)):
                if left <= PRESENT_SECONDS or not present():
                    return self.proceed(handle, StepAnswer(cancel=True))
        except Fault:
            if not pending.wait(0.0):  # else another client was faster
                raise
        finally:
            self._waiters.release()
        if pending.outcome is None:
            raise Fault(ResultCode.NOT_READY, "the device stops", status=503)
        return pending.outcome

    def conclude(
        self, nonce: str, direction: Direction, trigger: Trigger, since: float, present: Present
    ) -> SignedDecision:
        """As `decide`, but at its end: the display at the door answers the steps, while the person is `present`."""
        outcome = self.decide(nonce, direction, trigger, since)
        while isinstance(outcome, PendingStep):
            outcome = self.wait(outcome.handle, present)
        return outcome

    def stop(self) -> None:
        """Ends `wait`: nobody can answer a step any more."""
        self._steps.close()

    def rules(self) -> Rules:
        """Those of the next decision."""
        return self._next_policy.rules

    def follow(self, policy: Policy) -> None:
        """Decides by another policy from the next decision on."""
        self._next_policy = policy

    def open(self, key: str) -> Entry | None:
        """Opens the door for the holder of a key, after recording it; returns the entry. Raises RecordError when it cannot be
        recorded, unless the policy grants without a record: then there is no entry.
        """
        try:
            entry = self._record.append(DOOR, {"event": DoorEventKind.REMOTE_OPEN.value, "key": key})
        except RecordError as error:
            if not self._policy.rules.without_record:
                raise
            log.error("an opening by key %s cannot be recorded: %s", key, error)
            entry = None
        log.info("the door is opened by key %s", key)
        self._publish(DoorEvent(DoorEventKind.REMOTE_OPEN, datetime.now(UTC), key))
        return entry

    def problems(self) -> list[Problem]:
        """A device that is too slow, and what is wrong with the visitor passes, for `/healthz`."""
        text = "A decision took too long after its newest frame: the device is overloaded."
        slow = [Problem("door", "too_slow", text)] if time.monotonic() < self._slow_until else []
        return [*slow, *self._passes.problems()]

    def _end(self, pending: OpenStep, outcome: SignedDecision | PendingStep) -> None:
        pending.end(outcome)
        self._publish(outcome)

    def _outcome(
        self, nonce: str, trigger: Trigger, facts: Facts, gallery: Gallery | None, signer: Signer
    ) -> SignedDecision | PendingStep:
        """The decision, or the step without which there is none."""
        facts = self._unless_stale(facts)
        result = self._policy.judge(facts)
        if result.asks is None:
            return self._signed(nonce, trigger, facts, gallery, signer)
        if result.asks is StepKind.CHALLENGE:
            person = facts.seen.subject.person if facts.seen.subject else None
            watch = self._observer.watch(self._policy.rules.prompts, self._recognition(), person)
            return self._steps.prompt(watch, nonce, trigger, facts)
        shown = {"id": result.reason is Reason.PIN_INSTEAD, "least": SHORTEST, "most": LONGEST}
        return self._steps.open(result.asks, result.text, shown, nonce, trigger, facts)

    def _denied(self, pending: OpenStep, signer: Signer, given: Given | None = None) -> SignedDecision:
        """The decision about a step that was not answered, or not rightly; it has no frames, which are too old by now.
        Everything else is as it was when the step began, so that it cannot be granted.
        """
        before, recordable = pending.facts, self._record.problem() is None
        if pending.watch and before.person:
            self._tries.fail(before.person.reference)
        seen = replace(before.seen, captured=())
        facts = replace(before, seen=seen, given=given or before.given, recordable=recordable)
        return self._signed(pending.nonce, pending.trigger, facts, None, signer)

    def _take_pin(self, pending: OpenStep, answer: StepAnswer) -> Given:
        """What becomes of the PIN in an answer. Duress is kept, whatever follows. Raises GalleryError, and Refusal
        `invalid_body` (400) without an id.
        """
        gallery, facts, typed = self._recognition().gallery, pending.facts, answer.pin or ""
        if facts.person is not None:
            checked = self._pins.of_person(gallery, facts.person, typed)
        elif not answer.id:
            raise Refusal(ResultCode.INVALID_BODY, "invalid_body", "id: required, because the face is not recognised")
        else:
            known, reading = gallery.snapshot.people.get(answer.id), self._clock.read()
            person = known.person if known else None
            if person and self._policy.rules.required(person, reading.now, reading.state) is not Factors.FACE_OR_PIN:
                person = None
            checked = self._pins.of_id(gallery, person, answer.id, typed)
        kept = replace(facts.given, duress=facts.given.duress or checked.duress)
        pending.facts = replace(facts, given=kept)
        return replace(kept, pin=checked.pin, person=checked.person)

    def _watched(self, pending: OpenStep, watch: ChallengeWatch, signer: Signer) -> SignedDecision | PendingStep:
        """What a person's movements lead to: what they are asked next, or how the challenge ended."""
        watch.go_on()
        response = watch.challenge.response
        if response is None:
            return self._steps.prompt(watch, pending.nonce, pending.trigger, pending.facts)
        given = replace(pending.facts.given, challenge=response)
        return self._continued(pending, given, signer, passed=response is Response.PASSED, after_s=0.0)

    def _continued(
        self, pending: OpenStep, given: Given, signer: Signer, *, passed: bool, after_s: float
    ) -> SignedDecision | PendingStep:
        """What follows from what was given: if that has `passed`, another look at the same person, whose newest frame is taken
        `after_s` later. It is repeated for a while, because who types does not look at the camera; after a challenge it is
        not: that ends with a face from the front, and in a longer time another one could come.
        """
        if not passed:
            return self._denied(pending, signer, given)
        before, begun = pending.facts, time.monotonic()
        expected = given.person or before.person
        while True:
            since = max(begun + after_s, time.monotonic())
            facts, gallery = self._facts(pending.nonce, before.direction, since, given, expected)
            rule = self._policy.judge(facts).decided
            over = pending.watch or time.monotonic() - begun > LOOK_SECONDS
            if rule is None or rule.rule not in TRIED_AGAIN or over:
                return self._outcome(pending.nonce, pending.trigger, facts, gallery, signer)

    def _raise_alarm(self, decision: str) -> None:
        """The silent alarm after a PIN for duress, which nothing at the door shows."""
        try:
            self._record.append(DOOR, {"event": DoorEventKind.DURESS.value, "decision": decision})
        except RecordError as error:
            log.error("a door event cannot be recorded: %s", error)
        self._publish(DoorEvent(DoorEventKind.DURESS, datetime.now(UTC), decision))

    def _signed(
        self, nonce: str, trigger: Trigger, facts: Facts, gallery: Gallery | None, signer: Signer
    ) -> SignedDecision:
        noted = self._note_passage(self._unless_stale(facts), gallery)
        facts = self._unless_stale(noted)
        if facts is not noted and self._policy.judge(noted).granted:  # noting it took too long
            self._take_back_passage(noted, gallery)
        result = self._policy.judge(facts)
        decision = self._decision(nonce, trigger, facts, result)
        entry = self._recorded(decision, facts, result)
        before, facts = facts, self._unless_stale(replace(facts, recordable=facts.recordable and entry is not None))
        if facts != before:  # recording failed, or took too long
            granted, result = result.granted, self._policy.judge(facts)
            voided = entry if entry and entry.facts["id"] == decision.id else None  # else that of a denial before
            decision = self._decision(nonce, trigger, facts, result)
            entry = entry and self._recorded(decision, facts, result, voided)
            if granted and not result.granted:
                self._take_back_passage(before, gallery)
        token = write_token(decision, entry.anchor if entry else None, signer)
        shown = facts.person or facts.visitor
        if facts.given.duress:
            self._raise_alarm(decision.id)
        if decision.granted:
            self._granted(facts)
        return SignedDecision(decision, token, result.text, shown.name if shown else None)

    def _facts(
        self, nonce: str, direction: Direction, since: float, given: Given, expected: Person | None = None
    ) -> tuple[Facts, Gallery | None]:
        """The facts, and the gallery unless people cannot be recognised. A repeated nonce is not observed. A person who is
        recognised as another one than `expected`, who has taken the steps before, counts as an exchanged one.
        """
        recognition, obstacle = self._recognisable()
        repeated = expected is None and nonce in self._nonces
        seen = Observation() if recognition is None or repeated else self._observer.observe(since, recognition)
        gallery, subject = recognition.gallery if recognition else None, seen.subject
        recognised = subject.person if subject else None
        if subject and recognised and expected and recognised.reference != expected.reference:
            seen = replace(seen, subject=replace(subject, one_person=False))
        if gallery and given.person:
            known = gallery.named(given.person.reference)  # they may have been changed or erased since
            given = replace(given, person=known.person) if known else replace(given, pin=PinCheck.WRONG, person=None)
        person = given.person or recognised
        last = gallery.last_passage(person.reference) if gallery and person else None
        if given.pin is None and gallery and person and gallery.pin(person.reference) is None:
            given = replace(given, pin=PinCheck.UNSET)
        if given.challenge is None and person and self._tries.used_up(person.reference):
            given = replace(given, challenge=Response.NOT_ASKED)
        reading = self._clock.read()
        facts = Facts(
            now=reading.now,
            clock=reading.state,
            direction=direction,
            repeated=repeated,
            gallery=obstacle,
            recordable=self._record.problem() is None,
            seen=seen,
            last=last,
            given=given,
        )
        return facts, gallery

    def _unless_stale(self, facts: Facts) -> Facts:
        """The facts, without what was seen if that is too old to be signed."""
        if not facts.seen.captured:
            return facts
        age = time.monotonic() - facts.seen.captured[-1]
        if age <= self._fresh:
            self._slow_until = float("-inf")
            return facts
        log.warning("a decision is void: its newest frame is %.1f s old", age)
        self._slow_until = time.monotonic() + SLOW_SECONDS
        return replace(facts, seen=Observation(trouble=f"the newest frame is {age:.1f} s old: the device is too slow"))

    def _recognisable(self) -> tuple[Recognition | None, str | None]:
        """What people are recognised with, or why they are not. Not with a damaged gallery: with the templates that it has lost
        another person might have been ambiguous, and a last passage may be missing.
        """
        try:
            recognition = self._recognition()
        except GalleryError as error:
            return None, str(error)
        problem = recognition.gallery.problem()
        return (None, str(problem)) if isinstance(problem, GalleryDamagedError | NoKeyError) else (recognition, None)

    def _note_passage(self, facts: Facts, gallery: Gallery | None) -> Facts:
        """Notes the passage of a person who is granted, before the answer, where anti-passback needs it. Returns the facts,
        which change when that is impossible, or when another passage has come meanwhile, from another door.
        """
        person, subject = facts.person, facts.seen.subject
        if facts.visitor and self._policy.judge(facts).granted:
            return self._note_use(facts, facts.visitor)
        if not (self._policy.rules.remembers and gallery and person and subject and self._policy.judge(facts).granted):
            return facts
        try:
            before = gallery.note_passage(person.reference, facts.direction.value, facts.now)
        except NoSuchPersonError:  # erased since they were recognised
            unknown = replace(subject, outcome=Outcome.UNKNOWN, person=None)
            given = replace(facts.given, pin=PinCheck.WRONG if facts.given.person else None, person=None)
            return replace(facts, seen=replace(facts.seen, subject=unknown), given=given)
        except GalleryUnavailableError as error:
            return replace(facts, gallery=str(error))
        facts = replace(facts, last=before)
        if not self._policy.judge(facts).granted:
            self._take_back_passage(facts, gallery)
        return facts

    def _note_use(self, facts: Facts, visitor: VisitorPass) -> Facts:
        """Notes the use of a pass before the answer. Returns the facts, which change if it may not be used any more."""
        try:
            before: VisitorPass | None = self._passes.note_use(visitor.id, facts.now)
        except NoSuchPassError:
            before = None
        except GalleryUnavailableError as error:
            return replace(facts, gallery=str(error))
        return facts if before == visitor else replace(facts, seen=replace(facts.seen, visitor=before))

    def _take_back_passage(self, facts: Facts, gallery: Gallery | None) -> None:
        """The person does not pass after all, and can ask again from the same side."""
        person = facts.person
        if facts.visitor:
            try:
                self._passes.note_use(facts.visitor.id, facts.visitor.used)
            except GalleryError as error:
                log.error("pass %s: noted as used, though the door stays shut: %s", facts.visitor.id, error)
        if not (self._policy.rules.remembers and gallery and person):
            return
        try:
            gallery.take_back_passage(person.reference, (facts.direction.value, facts.now), facts.last)
        except GalleryError as error:
            log.error("person %s: noted as passing, though the door stays shut: %s", person.reference, error)

    def _decision(self, nonce: str, trigger: Trigger, facts: Facts, result: PolicyResult) -> Decision:
        now, wall = time.monotonic(), self._clock.read().now.astimezone(UTC)
        frames = tuple(in_milliseconds(wall - timedelta(seconds=now - each)) for each in facts.seen.captured)
        issued = in_milliseconds(wall)
        return Decision(
            id=secrets.token_hex(ID_BYTES),
            device=self.device,
            nonce=nonce,
            direction=facts.direction,
            granted=result.granted,
            reason=result.reason.value,
            person=facts.person.id if facts.person else facts.visitor.person if facts.visitor else None,
            frames=frames,
            issued=issued,
            expires=(frames[-1] if frames else issued) + LIFE,
            trigger=trigger,
        )

    def _recorded(
        self, decision: Decision, facts: Facts, result: PolicyResult, voided: Entry | None = None
    ) -> Entry | None:
        """The entry of a decision, which takes the place of the one in the entry `voided`; None when it cannot be recorded."""
        entry = {
            **decision.facts(),
            "person": facts.person.reference if facts.person else None,
            "relaxed": tuple(step.rule for step in result.relaxed),
            **({"pass": facts.visitor.id} if facts.visitor else {}),
            **({VOIDS: voided.sequence} if voided else {}),
        }
        del entry["device"]  # the record is that of one device
        try:
            return self._entries.add(entry)
        except RecordError as error:
            log.error("a decision cannot be recorded: %s", error)
            return None


def _log(outcome: SignedDecision | PendingStep, seconds: float) -> None:
    if isinstance(outcome, PendingStep):
        log.info("a decision waits for its step: %s", outcome.kind)
        return
    decision = outcome.decision
    log.info("decision %s: %s (%s) after %.0f ms", decision.id, decision.result, decision.reason, seconds * 1e3)
