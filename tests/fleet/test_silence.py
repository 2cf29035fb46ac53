"""How long a device has not heard from its fleet, over restarts and with a clock that jumps."""

import json
import time
from types import SimpleNamespace

import pytest

from appliance.fleet.handle import SILENCE_FILE, WRITTEN_SECONDS, FleetHandle
from appliance.gallery.people import GalleryUnavailableError
from appliance.sections import DoorSection

HOUR = 3600.0


def handle(folder):
    """That of a device which has just started, and has not heard from its fleet yet."""
    gallery = SimpleNamespace(gallery=None, refresh=None, current=lambda: "recognised")
    alone = {
        "ca_file": None,
        "nkey_file": None,
        "policy": False,
        "policy_from": (),
        "merge": DoorSection().merged_rules,
    }
    return FleetHandle(folder, "0" * 12, gallery, lambda: (), enabled=True, stale_hours=1.0, **alone)


@pytest.mark.parametrize(
    ("silent", "ago", "stale"),
    [
        (0.0, 0.0, False),
        (0.0, 2 * HOUR, True),  # it was off
        (2 * HOUR, 0.0, True),
        (2 * HOUR, -100 * HOUR, True),  # the clock is late after the start
        (0.0, -100 * HOUR, False),
    ],
)
def test_the_silence_counts_over_a_restart(tmp_path, silent, ago, stale):
    (tmp_path / SILENCE_FILE).write_text(json.dumps({"silent": silent, "time": time.time() - ago}))
    device = handle(tmp_path)
    if stale:
        with pytest.raises(GalleryUnavailableError, match="stale_hours"):
            device.recognition()
    else:
        assert device.recognition() == "recognised"


def test_the_silence_is_written_at_a_door_where_nobody_passes(tmp_path):
    device = handle(tmp_path)
    assert device.problems() == []
    assert not (tmp_path / SILENCE_FILE).exists()
    device._written -= WRITTEN_SECONDS + 1
    device.problems()
    assert json.loads((tmp_path / SILENCE_FILE).read_text())["silent"] < HOUR
