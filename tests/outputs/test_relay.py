"""The relay: gpiozero itself, on its mock pins."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from devices import Child, until
from gpiozero import Device
from told import delivered, dropped, running, signed

from appliance.events import DeliveryCounts
from appliance.outputs.hardware import DoorHardware
from appliance.wires import InputsSection, RelaySection

PIN = 17


@pytest.fixture(autouse=True)
def _mock_pins(monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    yield
    if Device.pin_factory is not None:
        Device.pin_factory.close()
        Device.pin_factory = None


def relay(pin=PIN, **changed):
    section = RelaySection(**{"pin": pin, "pulse_s": 0.3, **changed})
    return DoorHardware(section.model_dump(), InputsSection().model_dump(), 30, lambda _: None)


def pin():
    """The mock pin, as soon as it is an output."""
    until(lambda: Device.pin_factory is not None and Device.pin_factory.pin(PIN).function == "output")
    return Device.pin_factory.pin(PIN)


def test_it_is_off_until_a_grant_and_then_on_for_a_moment():
    with running(relay()) as output:
        assert (pin().function, pin().state) == ("output", 0)
        output.notify(signed())
        assert until(lambda: pin().state)
        assert until(lambda: not pin().state)
        assert pin().states[-1].timestamp >= 0.29  # how long it was in the state before
        assert output.counts() == DeliveryCounts(1, 0, 0)
        assert output.problem() is None


def test_a_denial_does_nothing():
    with running(relay()) as output:
        assert pin().state == 0
        output.notify(signed(granted=False))
        time.sleep(0.2)
        assert [state.state for state in pin().states] == [0]
        assert output.counts() == DeliveryCounts(0, 0, 0)


def test_a_decision_that_holds_no_more_does_nothing():
    with running(relay()) as output:
        assert pin().state == 0
        output.notify(signed(age=2.1))
        assert dropped(output, 1)
        assert [state.state for state in pin().states] == [0]


def test_pulses_do_not_pile_up():
    with running(relay(pulse_s=0.4)) as output:
        assert pin().state == 0
        begun = time.monotonic()
        for _ in range(5):
            output.notify(signed())
            time.sleep(0.1)
        assert delivered(output, 5)
        assert until(lambda: not pin().state)
        lasted = time.monotonic() - begun
        assert [state.state for state in pin().states] == [0, 1, 0]  # one pulse, prolonged
        assert 0.8 <= lasted < 1.6  # five in a row would take 2 s


def test_a_relay_that_is_on_when_the_pin_is_low():
    with running(relay(active_high=False)) as output:
        assert pin().state == 1
        output.notify(signed())
        assert until(lambda: pin().state == 0)
        assert until(lambda: pin().state == 1)


def test_it_is_off_when_it_is_stopped_in_the_middle():
    with running(relay(pulse_s=30)) as output:
        there = pin()
        output.notify(signed())
        assert until(lambda: there.state)
    assert (there.function, there.states[-1].state) == ("input", 0)


@pytest.mark.parametrize(("active_high", "pull"), [(True, "down"), (False, "up")])
def test_a_pull_resistor_keeps_it_off_after_the_stop(active_high, pull):
    with running(relay(active_high=active_high)):
        there = pin()
    assert (there.function, there.pull) == ("input", pull)


@pytest.mark.logs_errors("relay: GPIO")
def test_a_pin_that_is_none_is_a_problem_and_grants_are_dropped(caplog):
    output = relay(53)
    with running(output):
        assert until(output.problem)
        assert output.problem().state == "no_pin"
        assert output.problem().text == "The relay does not work. GPIO 53 is unavailable: see the log."
        output.notify(signed())
        assert dropped(output, 1)
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1


@pytest.mark.logs_errors("relay: GPIO")
def test_a_pin_that_another_device_has_is_taken_when_it_is_free():
    from gpiozero import LED

    with LED(PIN), running(relay()) as output:
        assert until(output.problem)
    assert output.problem().state == "no_pin"


@pytest.mark.logs_errors("relay: GPIO")
def test_without_a_pin_library_that_is_the_problem(monkeypatch):
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY")
    here = Path.cwd()
    with running(relay()) as output:
        assert until(output.problem)
        assert output.problem().state in {"no_pin_library", "no_pin"}  # the latter where lgpio is, but no pin
    assert Path.cwd() == here


@pytest.mark.logs_errors("relay: GPIO")
def test_a_device_says_so_and_works_all_the_same(tmp_path):
    config = f"[engine]\nengines = 1\n[relay]\npin = {PIN}\n"
    environment = {key: value for key, value in os.environ.items() if key != "GPIOZERO_PIN_FACTORY"}
    environment["GPIOZERO_PIN_FACTORY"] = "lgpio"
    with Child(tmp_path, config, environment=environment) as child:
        client = child.ready()
        report = client.get("/healthz").document
        (reason,) = [each for each in report["reasons"] if each["part"] == "relay"]
        assert reason["state"] in {"no_pin_library", "no_pin"}
        assert client.get("/version").code == "INF-00"
        assert child.terminate() == 0


def test_a_device_with_pins_has_nothing_to_say(tmp_path):
    config = f'[engine]\nengines = 1\n[camera]\ndriver = "none"\n[relay]\npin = {PIN}\n'
    with Child(tmp_path, config, environment={"GPIOZERO_PIN_FACTORY": "mock"}) as child:
        client = child.ready()
        child.logged(rf"relay: GPIO {PIN}, off")
        assert client.get("/healthz").status == 200
        assert b'appliance_output_delivered_total{output="relay"} 0.0' in client.get("/metrics").content
        assert child.terminate() == 0


AT_WORK = """
import os, sys, threading
sys.path[:0] = sys.argv[1:]
from gpiozero import Device
from appliance.wires import InputsSection, RelaySection
from appliance.outputs.hardware import DoorHardware
from appliance.supervision import Supervisor
from told import signed

supervisor = Supervisor()
section = RelaySection(pin=17, pulse_s=30)
relay = DoorHardware(section.model_dump(), InputsSection().model_dump(), 30, lambda _: None)
thread = supervisor.start("relay", relay.run)

def tick():
    pin = Device.pin_factory and Device.pin_factory.pin(17)
    print(pin and f"{pin.function} {pin.state:d}", flush=True)
    if pin and pin.function == "output" and not relay.counts().delivered:
        relay.notify(signed())

status = supervisor.wait(tick, 0.05)
relay.stop()
thread.join()
pin = Device.pin_factory.pin(17)
print(f"end {pin.function} {pin.states[-1].state:d}", flush=True)
sys.exit(status)
"""


def test_a_process_that_is_ended_in_a_pulse_leaves_it_off(root):
    paths = [str(root), str(root / "tests"), str(root / "tests" / "outputs")]
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK, *paths], stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        while "output 1" not in (line := process.stdout.readline()):
            assert line, "it ended"
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "end input 0"


LGPIO = '''
"""What gpiozero uses of lgpio, for a machine without a GPIO chip: prints what is done to the pin."""

SET_PULL_NONE = SET_PULL_UP = SET_PULL_DOWN = BOTH_EDGES = RISING_EDGE = FALLING_EDGE = 0
out = False
error = type("error", (Exception,), {})

def gpiochip_open(chip):
    return 0

def gpiochip_close(handle):
    pass

def gpio_claim_input(handle, gpio, flags=0):
    global out
    out = False
    print("input", flush=True)

def gpio_claim_output(handle, gpio, level=0, flags=0):
    global out
    out = True
    print("output", level, flush=True)

def gpio_get_mode(handle, gpio):
    return 2 if out else 0

def gpio_read(handle, gpio):
    return 0

def gpio_write(handle, gpio, level):
    print("level", int(level), flush=True)
'''

ON_LGPIO = """
import sys
import gpiozero
from gpiozero.pins.lgpio import LGPIOFactory
from appliance.outputs.relay import Relay, pin_library

class Pi4(LGPIOFactory):
    def _get_revision(self):
        return 0xC03114

relay = Relay(17, pin_library(), active_high=sys.argv[1] == "high")
gpiozero.Device.pin_factory = Pi4()
relay.open(on=False)
relay._device.close()
"""


@pytest.mark.parametrize(("active", "level"), [("high", 0), ("low", 1)])
def test_the_pin_becomes_an_output_that_is_off_in_one_step(root, tmp_path, active, level):
    """gpiozero's own way on lgpio is an output that is low, and then its level: a pulse where low is on."""
    (tmp_path / "lgpio.py").write_text(LGPIO)
    environment = {key: value for key, value in os.environ.items() if key != "GPIOZERO_PIN_FACTORY"}
    environment["PYTHONPATH"] = f"{tmp_path}:{root}"
    run = subprocess.run(
        [sys.executable, "-c", ON_LGPIO, active], env=environment, capture_output=True, text=True, check=True, cwd=root
    )
    done = run.stdout.splitlines()
    assert done[: done.index(f"output {level}") + 1] == ["input", f"output {level}"]
    assert [step for step in done if step.startswith("level")] == []
