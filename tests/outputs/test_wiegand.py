"""Wiegand: the pulses of a card, and what becomes of cards that the pins do not send."""

import threading
import time
from datetime import UTC, datetime

import pytest
from devices import until
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st
from told import running, signed

from appliance.access.log import Record
from appliance.config import ConfigError, load
from appliance.gallery.credential import Credential
from appliance.gallery.people import Person
from appliance.outputs.cards import NOT_DELIVERED
from appliance.outputs.wiegand import LgpioWaves, WavesUnavailableError, WiegandSender, wave

CREDENTIAL = Credential.parse("26:17:4711")
PERSON = Person("x", "X", (), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC), CREDENTIAL)


class Scope:
    """Stands for the two pins: it keeps the pulses. Real pins are those of tests marked `pi`."""

    def __init__(self):
        self.waves, self.broken, self.open_, self.sending = [], False, False, threading.Event()

    def open(self):
        if self.broken:
            raise WavesUnavailableError("no_pins", "GPIO 23 and 24 are unavailable: GPIO busy.")
        self.open_ = True

    def send(self, pulses):
        self.open()
        self.waves.append(pulses)

    def close(self):
        self.open_ = False


def read(pulses):
    """The bits that a panel reads: each falling edge of a line is one."""
    before, bits = 0, ""
    for lines, _ in pulses:
        falling = lines & ~before
        bits += {0: "", 0b01: "0", 0b10: "1"}[falling]
        before = lines
    return bits


@given(st.text("01", min_size=1, max_size=128), st.integers(20, 200), st.integers(150, 20_000))
@PARSER
def test_a_panel_reads_the_bits(bits, pulse_us, gap_us):
    pulses = wave(bits, pulse_us, gap_us)
    assert read(pulses) == bits
    assert {time_us for lines, time_us in pulses if lines} == {pulse_us}
    assert {time_us for lines, time_us in pulses if not lines} == {gap_us}
    assert pulses[-1][0] == 0
    assert sum(time_us for _, time_us in pulses) == len(bits) * (pulse_us + gap_us)


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path / "decisions.db")


def sender(record, scope, person=PERSON):
    return WiegandSender(scope, 50, 1950, lambda _: person, record, retry_s=0.2)


def test_each_grant_sends_its_card_once_with_a_pause_between(record):
    scope = Scope()
    with running(sender(record, scope)) as output:
        begun = time.monotonic()
        for message in (signed(), signed(granted=False), signed()):
            output.notify(message)
        assert until(lambda: output.counts().delivered == 2, 5)
        assert time.monotonic() - begun > 0.25
        assert [read(pulses) for pulses in scope.waves] == [CREDENTIAL.bits] * 2
    assert not scope.open_
    assert record.newest(1, NOT_DELIVERED) == ()


def test_people_without_a_credential_are_not_sent(record):
    scope = Scope()
    for person in (None, Person("x", "X", (), None, None, PERSON.reference, PERSON.created)):
        with running(sender(record, scope, person)) as output:
            output.notify(signed())
            assert output.counts().waiting == 0
    assert scope.waves == []


def test_a_card_that_is_late_is_recorded_instead(record):
    scope, late = Scope(), signed(age=3)
    with running(sender(record, scope)) as output:
        output.notify(late)
        assert until(lambda: output.counts().dropped == 1, 5)
    assert scope.waves == []
    (entry,) = record.newest(5, NOT_DELIVERED)
    assert dict(entry.facts) == {"decision": late.decision.id, "person": PERSON.reference, "reason": "offline"}


@pytest.mark.logs_errors("wiegand: GPIO 23 and 24")
def test_pins_that_are_taken_are_a_problem_and_tried_again(record):
    scope = Scope()
    scope.broken = True
    with running(sender(record, scope)) as output:
        assert until(lambda: output.problem() is not None, 5)
        assert (output.problem().part, output.problem().state) == ("wiegand", "no_pins")
        output.notify(signed())
        assert until(lambda: output.counts().dropped == 1, 5)
        scope.broken = False
        assert until(lambda: output.problem() is None, 5)
        output.notify(signed())
        assert until(lambda: output.counts().delivered == 1, 5)
        scope.broken = True
        output.notify(signed())
        assert until(lambda: output.problem() is not None, 5)
    assert len(record.newest(5, NOT_DELIVERED)) == 2


def test_what_waits_at_the_stop_is_recorded(record):
    output = sender(record, Scope())
    output.notify(signed())
    output.stop()
    output.run()
    assert [entry.facts["reason"] for entry in record.newest(5, NOT_DELIVERED)] == ["stopped"]


def test_without_lgpio_it_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    with pytest.raises(WavesUnavailableError, match="python3-lgpio"):
        LgpioWaves(23, 24, active_high=True).open()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ({"wiegand": {"data0": 23}}, "wiegand: data0 and data1 are needed together"),
        ({"wiegand": {"data0": 23, "data1": 23}}, "GPIO 23 can be one of these only: wiegand.data0, wiegand.data1"),
        ({"wiegand": {"data0": 23, "data1": 24}, "relay": {"pin": 24}}, "GPIO 24 can be one of these only"),
        ({"wiegand": {"data0": 23, "data1": 24}, "osdp": {"port": "/dev/ttyS0"}}, "a door has one reader"),
        ({"wiegand": {"data0": 23, "data1": 24, "pulse_us": 5}}, "wiegand.pulse_us: "),
        ({"osdp": {"port": "/dev/ttyS0", "baud": 1200}}, "osdp.baud: "),
        ({"osdp": {"port": "/dev/ttyS0", "address": 127}}, "osdp.address: "),
    ],
)
def test_settings_that_cannot_be_are_named(tables, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load(None, tables)
