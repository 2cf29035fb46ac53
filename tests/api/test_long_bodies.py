"""Bodies that are far too long are refused before they are read."""

import time
from pathlib import Path

import pytest
from devices import Device, pool, shipped_engine
from people import assert_refused

from appliance.vision.loading import Choice


@pytest.mark.parametrize("content", [b'{"groups":[' + b"1," * 2**20 + b"1]}", b'{"' + b"x" * 2**20 + b'":1}'])
def test_a_million_mistakes_are_reported_as_one(choice: Choice, tmp_path: Path, content: bytes) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        begun = time.monotonic()

        text = assert_refused(device.client.ask("POST", "/people", content), 400, "INF-01", "invalid_body")

        assert "more than 16384 bytes" in text
        assert time.monotonic() - begun < 5
