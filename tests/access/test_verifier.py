"""The verifier: a door acts on the answer to its own question, once, at once, and on nothing else."""

from datetime import timedelta
from functools import partial

import pytest
from decisions import DEVICE, GRANTED, NOON, SIGNER, Clocks, token_of
from face_appliance_client.decision import (
    LIFE,
    TOLERANCE,
    AlteredError,
    Direction,
    ExpiredError,
    NotYetValidError,
    OtherDeviceError,
    OtherSignerError,
    ReusedNonceError,
    Signer,
    TokenError,
    WrongDirectionError,
    WrongNonceError,
)
from face_appliance_client.verifier import ANSWER, REMEMBERED, LateError, Verifier


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def verifier(clocks: Clocks) -> Verifier:
    return Verifier(SIGNER.public, DEVICE, clock=clocks.monotonic, now=clocks.now)


def test_an_answer_to_its_question_is_taken(verifier: Verifier):
    nonce = verifier.challenge()
    decision = verifier.verify(token_of(nonce=nonce))
    assert decision.granted
    assert decision.person == GRANTED.person
    assert decision.nonce == nonce


def test_so_is_a_denial(verifier: Verifier):
    denied = partial(token_of, granted=False, reason="nobody", person=None)
    decision = verifier.verify(denied(nonce=verifier.challenge()))
    assert not decision.granted
    assert decision.reason == "nobody"


def test_questions_differ(verifier: Verifier):
    nonces = {verifier.challenge() for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {43}


def test_a_wrong_nonce(verifier: Verifier):
    verifier.challenge()
    with pytest.raises(WrongNonceError):
        verifier.verify(token_of(nonce="B" * 43))


def test_a_nonce_of_another_door(verifier: Verifier):
    other = Verifier(SIGNER.public, DEVICE)
    with pytest.raises(WrongNonceError):
        verifier.verify(token_of(nonce=other.challenge()))


def test_the_same_answer_again(verifier: Verifier):
    token = token_of(nonce=verifier.challenge())
    verifier.verify(token)
    with pytest.raises(ReusedNonceError):
        verifier.verify(token)


def test_another_answer_to_the_same_question(verifier: Verifier):
    nonce = verifier.challenge()
    verifier.verify(token_of(nonce=nonce, granted=False, reason="nobody", person=None))
    with pytest.raises(ReusedNonceError):
        verifier.verify(token_of(nonce=nonce))


def test_an_answer_of_the_right_device_closes_its_question_even_when_it_is_refused(verifier: Verifier):
    nonce = verifier.challenge(Direction.OUT)
    with pytest.raises(WrongDirectionError):
        verifier.verify(token_of(nonce=nonce))
    with pytest.raises(ReusedNonceError):
        verifier.verify(token_of(nonce=nonce, direction=Direction.OUT))


def test_an_empty_answer_closes_nothing(verifier: Verifier):
    nonce = verifier.challenge()
    token = token_of(nonce=nonce)
    with pytest.raises(AlteredError):
        verifier.verify(token[:-2] + ("AA" if not token.endswith("AA") else "BA"))
    with pytest.raises(OtherSignerError):
        verifier.verify(token_of(Signer.of(b"another device, and its 32 bytes"), nonce=nonce))
    with pytest.raises(OtherDeviceError):
        verifier.verify(token_of(nonce=nonce, device="another"))
    assert verifier.verify(token).granted


def test_without_a_device_id_the_key_is_enough():
    verifier = Verifier(SIGNER.public, tolerance=None)
    assert verifier.verify(token_of(nonce=verifier.challenge(), device="another")).granted


def test_every_single_bit(verifier: Verifier):
    token = token_of(nonce=verifier.challenge())
    for place, character in enumerate(token):
        for bit in range(8):
            altered = token[:place] + chr(ord(character) ^ 1 << bit) + token[place + 1 :]
            with pytest.raises(TokenError):
                verifier.verify(altered)
    assert verifier.verify(token).granted


def test_expired(verifier: Verifier, clocks: Clocks):
    token = token_of(nonce=verifier.challenge())
    clocks.pass_by(2.5)
    with pytest.raises(ExpiredError, match=r"2\.5 s ago"):
        verifier.verify(token)


def test_just_not_expired(verifier: Verifier, clocks: Clocks):
    token = token_of(nonce=verifier.challenge())
    clocks.pass_by(2.499)
    assert verifier.verify(token).granted


def test_a_life_that_is_too_long_is_cut(verifier: Verifier, clocks: Clocks):
    token = token_of(nonce=verifier.challenge(), expires=NOON + timedelta(hours=1))
    clocks.pass_by(3)
    with pytest.raises(ExpiredError):
        verifier.verify(token)


def test_a_life_is_that_of_the_newest_frame_and_not_of_the_signature(verifier: Verifier, clocks: Clocks):
    seen = NOON - timedelta(seconds=1.4)
    frames = tuple(seen - timedelta(seconds=0.3 * number) for number in (3, 2, 1, 0))
    for expires in (seen + LIFE, NOON + LIFE):
        assert verifier.verify(token_of(nonce=verifier.challenge(), frames=frames, expires=expires)).granted
    clocks.pass_by(1.1)
    for expires in (seen + LIFE, NOON + LIFE):
        with pytest.raises(ExpiredError, match=r"2\.5 s ago"):
            verifier.verify(token_of(nonce=verifier.challenge(), frames=frames, expires=expires))


def test_a_decision_without_frames_lives_from_its_signature_on(verifier: Verifier, clocks: Clocks):
    clocks.pass_by(2.4)
    denied = partial(token_of, granted=False, reason="camera_blind", person=None, frames=())
    assert not verifier.verify(denied(nonce=verifier.challenge())).granted


def test_not_yet_valid(verifier: Verifier, clocks: Clocks):
    clocks.wall -= timedelta(seconds=0.6)
    with pytest.raises(NotYetValidError, match="clock"):
        verifier.verify(token_of(nonce=verifier.challenge()))


def test_clocks_may_differ_a_little(verifier: Verifier, clocks: Clocks):
    clocks.wall -= TOLERANCE
    assert verifier.verify(token_of(nonce=verifier.challenge())).granted


def test_late_by_the_doors_own_clock_whatever_the_wall_says(verifier: Verifier, clocks: Clocks):
    nonce = verifier.challenge()
    clocks.seconds += (ANSWER + LIFE).total_seconds() + 0.01
    with pytest.raises(LateError, match="5 s"):
        verifier.verify(token_of(nonce=nonce))


def test_a_door_whose_wall_clock_is_not_set(clocks: Clocks):
    verifier = Verifier(SIGNER.public, DEVICE, tolerance=None, clock=clocks.monotonic, now=clocks.now)
    clocks.wall -= timedelta(days=20_000)
    assert verifier.verify(token_of(nonce=verifier.challenge())).granted
    nonce = verifier.challenge()
    clocks.seconds += 5.01
    with pytest.raises(LateError):
        verifier.verify(token_of(nonce=nonce))


def test_the_wrong_direction(verifier: Verifier):
    with pytest.raises(WrongDirectionError, match="in"):
        verifier.verify(token_of(nonce=verifier.challenge(Direction.OUT)))


def test_what_it_remembers_is_bounded(verifier: Verifier):
    first = verifier.challenge()
    tokens = [token_of(nonce=verifier.challenge()) for _ in range(REMEMBERED)]
    with pytest.raises(WrongNonceError):
        verifier.verify(token_of(nonce=first))
    for token in tokens:
        verifier.verify(token)
    last = token_of(nonce=verifier.challenge())
    verifier.verify(last)
    with pytest.raises(WrongNonceError):  # forgotten, and refused all the same
        verifier.verify(tokens[0])
    with pytest.raises(ReusedNonceError):
        verifier.verify(last)


def test_after_a_restart_nothing_is_open(clocks: Clocks, verifier: Verifier):
    token = token_of(nonce=verifier.challenge())
    again = Verifier(SIGNER.public, DEVICE, clock=clocks.monotonic, now=clocks.now)
    with pytest.raises(WrongNonceError):
        again.verify(token)


def test_refusals_are_one_line(verifier: Verifier):
    for token in ("", "a.b.c", token_of(), token_of(device="x"), token_of(Signer.of(b"x" * 32))):
        with pytest.raises(TokenError) as caught:
            verifier.verify(token)
        assert str(caught.value).strip()
        assert "\n" not in str(caught.value)
