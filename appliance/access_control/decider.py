"""The decision: one look at who is there, one ruling, one entry in the record, one signature."""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from appliance.access_control import entries, token
from appliance.access_control.chain import Entry
from appliance.access_control.circumstances import Circumstances, Moment, Question
from appliance.access_control.decision import ENTRY, LIFE, Decision, Signed
from appliance.access_control.nonces import Nonces
from appliance.access_control.policy import Policy
from appliance.access_control.recall import RecordError
from appliance.access_control.record import Record
from appliance.access_control.ruling import Ruling
from appliance.access_control.signing import Signer
from appliance.access_control.situation import Direction, Situation
from appliance.access_control.turns import Turns
from appliance.gallery.matching import Outcome
from appliance.gallery.people import GalleryError, GalleryUnavailableError, NoSuchPersonError, Person

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
        tell: Sequence[Callable[[Signed], None]],
    ) -> None:
        """`device` is the id that decisions name; `signer` raises GalleryError when nothing can be signed. Each of `tell` hears
        of every decision; it neither blocks nor raises.
        """
        self.device, self._signer = device, signer
        self._circumstances, self._policy, self._record, self._tell = circumstances, policy, record, tell
        self._turns, self._nonces = Turns(), Nonces()

    def decide(self, nonce: str, direction: Direction) -> Signed:
        """Whether whoever stands before the camera may pass: granted or denied, recorded and signed. `nonce` is the door's, 16
        to 86 characters of base64url. Raises Fault INF-08 (503) when others wait already, the Faults of an engine and its pool,
        and GalleryError when nothing can be signed: then there is no decision, and the door can ask again with this nonce.
        """
        question = Question(nonce, direction, time.monotonic())
        with self._turns.one():
            signed = self._answer(question, self._signer())
            self._nonces.add(nonce)
            for tell in self._tell:
                tell(signed)
        said, milliseconds = signed.decision, (time.monotonic() - question.asked) * 1e3
        log.info("decision %s: %s (%s) after %.0f ms", said.id, said.result, said.reason, milliseconds)
        return signed

    def _answer(self, question: Question, signer: Signer) -> Signed:
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
        return Signed(decision, token.write(decision, entry, signer), ruling.text, person.name if person else None)

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
        issued, person = token.whole(situation.now), _person(situation)
        return Decision(
            id=secrets.token_hex(ID_BYTES),
            device=self.device,
            nonce=question.nonce,
            direction=question.direction,
            granted=ruling.granted,
            reason=ruling.reason.value,
            person=person.id if person else None,
            frames=tuple(map(token.whole, frames)),
            issued=issued,
            expires=issued + LIFE,
        )

    def _recorded(self, decision: Decision, situation: Situation, ruling: Ruling) -> Entry | None:
        """The entry that keeps a decision; None when it cannot be kept."""
        person = _person(situation)
        facts = entries.facts(decision, person.reference if person else None, ruling)
        try:
            return self._record.append(ENTRY, facts)
        except RecordError as error:
            log.error("a decision cannot be recorded: %s", error)
            return None


def _person(situation: Situation) -> Person | None:
    return situation.sighting.person if situation.sighting else None
