"""What `/metrics` says besides requests and camera: its format, the program, the board, decisions by their reason."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from decisions import GRANTED
from devices import Child, Device, pool
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from appliance import __version__
from appliance.access.token import SignedDecision
from appliance.api.monitoring import board_gauges

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends."""

DOOR = """
[camera]
driver = "demonstration"
[relay]
pin = 17
[inputs]
contact = {pin = 5, normally = "closed"}
fire = {pin = 6, normally = "closed"}
tamper = {pin = 13, normally = "closed"}
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with Device(pool(), gallery=tmp_path) as running:
        yield running


@pytest.mark.parametrize("accept", [None, "*/*", "text/plain", "text/plain;version=1.0.0;escaping=allow-utf-8"])
def test_the_text_format_that_every_scraper_reads(device: Device, accept: str | None) -> None:
    answer = device.client.get("/metrics", {"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = [sample for family in plain(answer.content.decode()) for sample in family.samples]
    assert not [sample.name for sample in samples if sample.name.endswith("_created")]
    (build,) = (sample for sample in samples if sample.name == "appliance_build_info")
    assert (build.value, build.labels["version"], set(build.labels)) == (1, __version__, {"version", "python", "board"})


def test_openmetrics_for_prometheus(device: Device) -> None:
    answer = device.client.get("/metrics", {"Accept": PROMETHEUS})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    samples = [sample.name for family in openmetrics(answer.content.decode()) for sample in family.samples]
    assert "appliance_build_info" in samples
    assert not [name for name in samples if name.endswith("_created")]


def test_decisions_are_counted_by_result_and_reason(device: Device) -> None:
    for decision in (GRANTED, GRANTED, replace(GRANTED, granted=False, reason="not_live")):
        device.broadcast.publish(SignedDecision(decision, "a.b.c", "", None))
    text = device.client.get("/metrics").content.decode()
    assert 'appliance_decisions_total{reason="granted",result="granted",trigger="asked"} 2.0' in text
    assert 'appliance_decisions_total{reason="not_live",result="denied",trigger="asked"} 1.0' in text


def test_the_disk_of_the_state_folder(device: Device, tmp_path: Path) -> None:
    values = {
        sample.name: sample.value
        for family in plain(device.client.get("/metrics").content.decode())
        for sample in family.samples
    }
    assert 0 < values["appliance_disk_free_bytes"] <= values["appliance_disk_size_bytes"]
    assert board_gauges(tmp_path / "none", tmp_path / "none") == {}


def test_the_hottest_sensor_counts_and_those_without_a_number_do_not(tmp_path: Path) -> None:
    for number, text in enumerate(["48312\n", "61000\n", "", "hot\n"]):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    (tmp_path / "thermal_zone9").mkdir()
    text, value = board_gauges(None, tmp_path)["board_temperature_celsius"]
    assert (text, value) == ("The hottest sensor of the board.", 61.0)


def texts(value: Any, key: str) -> Iterator[str]:
    """The strings of this key, however deep."""
    if isinstance(value, list):
        for each in value:
            yield from texts(each, key)
    elif isinstance(value, dict):
        yield from (text for name, text in value.items() if name == key)
        for each in value.values():
            yield from texts(each, key)


@pytest.mark.logs_errors("relay|inputs|door")
def test_the_dashboard_shows_metrics_that_there_are(tmp_path: Path) -> None:
    dashboard = json.loads((Path(__file__).parents[2] / "examples" / "grafana.json").read_text("utf-8"))
    asked = set(re.findall(r"\b(?:appliance|process)_\w+", " ".join(texts(dashboard, "expr"))))
    with Child(tmp_path, DOOR, environment={"GPIOZERO_PIN_FACTORY": "mock"}) as child:
        text = child.ready().get("/metrics").content.decode()
        assert child.terminate() == 0
    there = set()
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        there |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    sensors = {"appliance_board_temperature_celsius"}  # not every machine has one
    assert len(asked) > 25
    assert asked - there - sensors == set()
