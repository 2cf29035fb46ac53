"""The door's wires: gpiozero itself, on its mock pins; what is published, recorded and reported."""

import time
from datetime import UTC, datetime

import pytest
from devices import Child, until
from gpiozero import Device
from gpiozero.pins.mock import MockFactory, MockPin
from told import running, signed

from appliance.access.log import DOOR, Record
from appliance.access.token import Direction, Trigger
from appliance.access.trigger import DoorTrigger
from appliance.camera.source import Ring
from appliance.events import Broadcast, DoorEvent, DoorEventKind, DoorState
from appliance.outputs.hardware import DoorHardware
from appliance.outputs.inputs import Debounce
from appliance.outputs.journal import DoorJournal
from appliance.outputs.queue import Outputs
from appliance.wires import InputsSection, RelaySection

RELAY, CONTACT, EXIT, FIRE, TAMPER = 17, 5, 6, 13, 19
ALL = {
    "contact": {"pin": CONTACT, "normally": "closed"},
    "exit": {"pin": EXIT, "normally": "open"},
    "fire": {"pin": FIRE, "normally": "closed"},
    "tamper": {"pin": TAMPER, "normally": "closed", "pull": "down"},
}


class Wired(MockPin):
    """gpiozero's mock pin with something at its other end: a pull resistor does not move what is driven."""

    wired = None

    def wire(self, *, high):
        self.wired = high
        self._drive()

    def _set_pull(self, value):
        edges, self._edges = self._edges, "none"
        super()._set_pull(value)
        self._edges = edges
        self._drive()

    def _drive(self):
        if self.wired is not None and self._function == "input":
            (self.drive_high if self.wired else self.drive_low)()


@pytest.fixture(autouse=True)
def pins(monkeypatch):
    """The mock pins by number; all quiet: the door and the case are shut, there is no fire."""
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    Device.pin_factory = MockFactory(pin_class=Wired)
    found = {number: Device.pin_factory.pin(number) for number in (RELAY, CONTACT, EXIT, FIRE, TAMPER)}
    for number, high in ((CONTACT, False), (EXIT, True), (FIRE, False), (TAMPER, True)):
        found[number].wire(high=high)
    yield found
    Device.pin_factory.close()
    Device.pin_factory = None


class Told(list):
    """What was published, with the relay's states by themselves."""

    def __call__(self, event):
        self.append(event)

    @property
    def kinds(self):
        return [each.kind.value for each in self if isinstance(each, DoorEvent)]

    @property
    def state(self):
        return next((each for each in reversed(self) if isinstance(each, DoorState)), None)


def hardware(told, inputs=ALL, pin=RELAY, held_s=30, debounce_s=0.05, **relay):
    section = RelaySection(pin=pin, **{"pulse_s": 0.4, **relay})
    return DoorHardware(section.model_dump(), InputsSection(**inputs, debounce_s=debounce_s).model_dump(), held_s, told)


def started(told):
    return until(lambda: told.state is not None)


def test_it_is_quiet_when_all_is_well(pins):
    told = Told()
    with running(hardware(told)) as output:
        assert started(told)
        assert told == [DoorState(open=False, forced=False, held=False, tamper=False, fire=False, relay=False)]
        assert output.problem() is None


def test_a_grant_opens_and_the_door_is_followed(pins):
    told = Told()
    with running(hardware(told)) as output:
        assert started(told)
        output.notify(signed())
        assert until(lambda: pins[RELAY].state)
        pins[CONTACT].wire(high=True)
        assert until(lambda: told.kinds == ["opened"])
        assert until(lambda: not pins[RELAY].state)
        pins[CONTACT].wire(high=False)
        assert until(lambda: told.kinds == ["opened", "closed"])
    assert not told.state.forced


def test_forced_held_and_tamper_are_alarms_in_the_state(pins):
    told = Told()
    with running(hardware(told, held_s=0.3)):
        assert started(told)
        pins[CONTACT].wire(high=True)
        pins[TAMPER].wire(high=False)
        assert until(lambda: told.state.forced and told.state.held and told.state.tamper)
        assert sorted(told.kinds) == ["forced", "held", "opened", "tamper"]
        pins[CONTACT].wire(high=False)
        assert until(lambda: told.state.open is False)
        assert not told.state.forced
        assert told.state.tamper


@pytest.mark.parametrize("press_s", [0.02, 0.3])
def test_a_press_that_is_shorter_than_the_debounce_opens_all_the_same(pins, press_s):
    told = Told()
    with running(hardware(told, debounce_s=0.2)):
        assert started(told)
        pins[EXIT].wire(high=False)
        time.sleep(press_s)
        pins[EXIT].wire(high=True)
        assert until(lambda: pins[RELAY].state)
        assert until(lambda: not pins[RELAY].state)
        time.sleep(0.3)
    assert told.kinds == ["exit"]
    assert [each.state for each in pins[RELAY].states] == [0, 1, 0]


def test_a_contact_that_bounces_opens_once(pins):
    told = Told()
    with running(hardware(told, debounce_s=0.3)) as output:
        assert started(told)
        output.notify(signed())
        assert until(lambda: pins[RELAY].state)
        for _ in range(5):
            pins[CONTACT].wire(high=True)
            pins[CONTACT].wire(high=False)
        pins[CONTACT].wire(high=True)
        assert until(lambda: told.state.open)
        time.sleep(0.4)
    assert told.kinds == ["opened"]


def test_a_fire_holds_the_relay_and_survives_the_stop(pins):
    told = Told()
    with running(hardware(told)):
        assert started(told)
        pins[FIRE].wire(high=True)  # also what a cut wire looks like
        assert until(lambda: pins[RELAY].state)
        time.sleep(0.6)
        assert pins[RELAY].state
    assert (pins[RELAY].function, pins[RELAY].state) == ("output", 1)
    assert told.kinds == ["fire"]


def test_a_device_that_starts_in_a_fire_never_has_the_relay_off(pins):
    pins[FIRE].wire(high=True)
    told = Told()
    with running(hardware(told)):
        assert until(lambda: told.kinds == ["fire"])
        assert told.state.relay
        since = next(i for i, each in enumerate(pins[RELAY].states) if each.state)
        assert all(each.state for each in pins[RELAY].states[since:])
        pins[FIRE].wire(high=False)
        assert until(lambda: not pins[RELAY].state)


@pytest.mark.logs_errors("inputs: contact")
def test_a_fire_opens_though_another_input_is_unavailable(pins):
    told = Told()
    with running(hardware(told, {**ALL, "contact": {"pin": 53, "normally": "closed"}})) as output:
        assert started(told)
        assert output.problem().state == "no_pin"
        assert output.problem().text == "Inputs of the door do not work: contact (GPIO 53); see the log."
        pins[FIRE].wire(high=True)
        assert until(lambda: pins[RELAY].state)


def test_an_input_whose_edges_are_not_heard_is_read_all_the_same(pins):
    """The one thread of lgpio that reports edges ends when any handler raises."""
    told = Told()
    output = hardware(told)
    with running(output):
        assert started(told)
        output._inputs._devices["fire"].when_activated = None
        output._inputs._devices["fire"].when_deactivated = None
        pins[FIRE].wire(high=True)
        assert until(lambda: pins[RELAY].state)
    assert told.kinds == ["fire"]


def test_a_grant_without_an_opening_names_its_decision(pins):
    told, decision = Told(), signed()
    with running(hardware(told, pulse_s=0.1)) as output:
        assert started(told)
        output.notify(decision)
        assert until(lambda: told.kinds == ["not_opened"])
    assert told[-1].by == decision.decision.id


def test_a_button_starts_a_decision_and_its_grant_opens(pins):
    """The wires, the bus and the trigger together; the decision is a stand-in of the real one."""
    bus, asked = Broadcast(), []

    def decide(nonce, direction, trigger, since, present):
        asked.append((direction, trigger))
        bus.publish(granted := signed())
        return granted

    trigger = DoorTrigger("button", 96, (0, 0, 1, 1), 1.0, "in", decide, bus, Ring())
    told = Told()
    bus.subscribe(DoorState, told)
    output = hardware(bus.publish, {**ALL, "button": {"pin": TAMPER + 1, "normally": "open"}})
    Outputs([output]).listen(bus)
    with running(output), running(trigger):
        assert started(told)
        button = Device.pin_factory.pin(TAMPER + 1)
        button.wire(high=False)
        button.wire(high=True)
        assert until(lambda: pins[RELAY].state)
    assert asked == [(Direction.IN, Trigger.BUTTON)]


def test_until_opened_shortens_the_pulse(pins):
    told = Told()
    with running(hardware(told, pulse_s=30, until_opened=True)) as output:
        assert started(told)
        output.notify(signed())
        assert until(lambda: pins[RELAY].state)
        pins[CONTACT].wire(high=True)
        assert until(lambda: not pins[RELAY].state)
    assert told.kinds == ["opened"]


def test_a_request_over_http_opens_and_an_old_one_does_not(pins):
    told = Told()
    with running(hardware(told)) as output:
        assert started(told)
        output.notify(DoorEvent(DoorEventKind.REMOTE_OPEN, datetime.fromtimestamp(time.time() - 5, UTC), "desk"))
        assert until(lambda: output.counts().dropped == 1)
        assert not pins[RELAY].state
        output.notify(DoorEvent(DoorEventKind.REMOTE_OPEN, datetime.now(UTC), "desk"))
        assert until(lambda: pins[RELAY].state)


def test_a_door_that_is_open_for_everyone_keeps_the_relay_on_until_it_is_locked(pins):
    told = Told()
    with running(hardware(told, pulse_s=0.1)) as output:
        assert started(told)
        output.notify(DoorEvent(DoorEventKind.UNLOCKED, datetime.fromtimestamp(0, UTC)))  # however late
        assert until(lambda: pins[RELAY].state)
        output.notify(signed())
        time.sleep(0.3)
        assert pins[RELAY].state
        output.notify(DoorEvent(DoorEventKind.LOCKED, datetime.fromtimestamp(0, UTC)))
        assert until(lambda: not pins[RELAY].state)


def test_a_door_with_inputs_alone_is_followed(pins):
    told = Told()
    with running(hardware(told, pin=None)) as output:
        assert started(told)
        assert (output.name, told.state.relay) == ("inputs", None)
        output.notify(signed())
        assert until(lambda: output.counts().delivered == 1)
        pins[CONTACT].wire(high=True)
        assert until(lambda: told.kinds == ["opened"])


def test_pins_keep_their_pulls_after_the_stop(pins):
    told = Told()
    with running(hardware(told)):
        assert started(told)
    assert [pins[number].pull for number in (CONTACT, EXIT, FIRE, TAMPER, RELAY)] == ["up", "up", "up", "down", "down"]


def test_a_change_counts_at_once_and_the_level_after_it():
    bounce = Debounce(0.2, on=False)
    assert not bounce.changed(1.0, on=False)
    assert bounce.changed(1.1, on=True)
    assert not bounce.changed(1.2, on=False)
    assert bounce.due(1.2) == pytest.approx(1.3)
    assert bounce.changed(1.3, on=False)
    assert bounce.due(1.6) is None


def test_door_events_are_recorded_and_repeated_ones_counted(tmp_path):
    record = Record(tmp_path / "decisions.db")
    journal = DoorJournal(record)
    broadcast = Broadcast()
    Outputs([journal]).listen(broadcast)
    with running(journal):
        for kind, by in (
            (DoorEventKind.FORCED, None),
            (DoorEventKind.FORCED, None),
            (DoorEventKind.NOT_OPENED, "a"),
            (DoorEventKind.NOT_OPENED, "b"),
            (DoorEventKind.REMOTE_OPEN, "desk"),
        ):
            broadcast.publish(DoorEvent(kind, datetime.now(UTC), by))
        assert until(lambda: journal.counts().delivered == 4)
        time.sleep(1.1)
        broadcast.publish(DoorEvent(DoorEventKind.FORCED, datetime.now(UTC)))
        assert until(lambda: journal.counts().delivered == 5)
    assert [dict(entry.facts) for entry in reversed(record.newest(9, DOOR))] == [
        {"event": "forced"},
        {"event": "not_opened", "decision": "a"},
        {"event": "not_opened", "decision": "b"},
        {"event": "forced", "repeats": 1},
    ]
    assert record.verify().sound


@pytest.mark.logs_errors("cannot be recorded")
def test_a_record_that_cannot_be_written_is_a_problem_and_delays_no_relay(tmp_path, pins):
    (tmp_path / "decisions.db").write_bytes(b"not a database" * 100)
    journal, broadcast = DoorJournal(Record(tmp_path / "decisions.db")), Broadcast()
    output = hardware(broadcast.publish)
    Outputs([output, journal]).listen(broadcast)
    with running(output), running(journal):
        assert until(lambda: pins[RELAY].function == "output")
        pins[FIRE].wire(high=True)
        assert until(lambda: pins[RELAY].state)
        assert until(journal.problem)
    assert journal.problem().state == "door_unrecorded"


CONFIG = """
[engine]
engines = 1
[camera]
driver = "none"
[relay]
pin = 17
pulse_s = 30
[inputs]
contact = {pin = 5, normally = "open"}
fire = {pin = 13, normally = "closed"}
[access]
loopback = false
"""


def test_a_device_that_starts_in_a_fire_says_so_everywhere(tmp_path):
    """A fire contact that nothing closes is a cut wire, which is a fire."""
    from appliance import keys
    from appliance.keys import Scope

    (tmp_path / "state").mkdir()
    token, monitor = (
        keys.add(tmp_path / "state" / keys.FILE, *key) for key in (("desk", [Scope.DECIDE]), ("m", [Scope.METRICS]))
    )
    with Child(tmp_path, CONFIG, environment={"GPIOZERO_PIN_FACTORY": "mock"}) as child:
        client = child.ready()
        report = client.get("/healthz", {"X-API-Key": monitor}).document
        assert report["door"] == {
            "open": False,
            "forced": False,
            "held": False,
            "tamper": False,
            "fire": True,
            "relay": True,
        }
        assert ("door", "fire") in {(each["part"], each["state"]) for each in report["reasons"]}
        metrics = client.get("/metrics", {"X-API-Key": monitor}).content
        assert b"appliance_door_fire 1.0" in metrics
        assert b'appliance_door_events_total{event="fire"} 1.0' in metrics
        answer = client.ask("POST", "/access/open", None, {"X-API-Key": token})
        assert answer.status == 200
        assert child.terminate() == 0
    facts = [dict(each.facts) for each in reversed(Record(tmp_path / "state" / "decisions.db").newest(9, DOOR))]
    assert facts == [{"event": "fire"}, {"event": "remote_open", "key": "desk"}]
