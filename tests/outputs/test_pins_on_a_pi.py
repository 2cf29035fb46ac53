"""Relay, inputs and Wiegand on real pins: `scripts/test -m pi` on a Raspberry Pi with python3-lgpio and three jumpers,
GPIO 17 to 5, 23 to 12 and 24 to 16, and nothing else on these pins; the device's own service is stopped.
"""

import time
from collections.abc import Iterator

import pytest
from devices import until
from gpiozero import Device
from told import running, signed

from appliance.events import DoorEvent, DoorState
from appliance.gallery.credential import Credential
from appliance.outputs.hardware import DoorHardware
from appliance.outputs.wiegand import LgpioWaves, wave
from appliance.wires import InputsSection, RelaySection

pytestmark = pytest.mark.pi

RELAY, CONTACT, DATA, READ = 17, 5, (23, 24), (12, 16)


@pytest.fixture(autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> Iterator[None]:
    if "pi" not in request.config.option.markexpr.split():
        pytest.skip("needs a Raspberry Pi with jumpers between its pins: scripts/test -m pi")
    yield
    if Device.pin_factory is not None:
        Device.pin_factory.close()
        Device.pin_factory = None


def test_the_relay_is_what_the_input_reads() -> None:
    published: list[object] = []
    relay = RelaySection(pin=RELAY, pulse_s=0.5).model_dump()
    inputs = InputsSection(contact={"pin": CONTACT, "normally": "closed", "pull": "up"}).model_dump()
    with running(DoorHardware(relay, inputs, 30, published.append)) as output:
        assert until(lambda: output.problem() is None and published)
        output.notify(signed())
        assert until(
            lambda: [each.kind.value for each in published if isinstance(each, DoorEvent)] == ["opened", "closed"]
        )
        states = [each for each in published if isinstance(each, DoorState)]
        assert {(each.open, each.relay) for each in states} >= {(False, False), (True, True)}


@pytest.mark.parametrize("active_high", [True, False])
def test_a_panel_reads_the_bits_of_a_card(active_high: bool) -> None:  # noqa: FBT001
    import lgpio

    bits = Credential.parse("26:17:4711").bits
    waves = LgpioWaves(*DATA, active_high=active_high)
    waves.open()
    chip = Device.pin_factory._handle
    edge = lgpio.RISING_EDGE if active_high else lgpio.FALLING_EDGE
    heard: list[tuple[int, str]] = []
    for bit, pin in enumerate(READ):
        lgpio.gpio_claim_alert(chip, pin, edge)
        lgpio.callback(chip, pin, edge, lambda _chip, _pin, _level, at, bit=bit: heard.append((at, str(bit))))
    waves.send(wave(bits, 50, 2000))
    assert until(lambda: len(heard) >= len(bits))
    time.sleep(0.1)
    waves.close()
    assert "".join(bit for _, bit in sorted(heard)) == bits
