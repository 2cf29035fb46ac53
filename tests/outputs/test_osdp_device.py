"""A whole device as the reader of a real panel: it pairs, says what the panel shows, and goes on after a restart."""

import http.client
import json

import pytest
from devices import Child, until
from panels import Line, panel

from appliance.cli.main import main

CONFIG = '[engine]\nengines = 1\n[camera]\ndriver = "none"\n[osdp]\nport = "{port}"\nbaud = 115200\naddress = 1\n'


@pytest.fixture
def line():
    with Line() as found:
        yield found


def states(client):
    return [each["state"] for each in client.get("/healthz").document["reasons"] if each["part"] == "osdp"]


def heard(port, panel_):
    """The first event of the panel at a listener, which orders it when it listens."""
    listener = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        listener.request("GET", "/events")
        answer = listener.getresponse()
        assert answer.readline().startswith(b"event: health")
        panel_.order("text")
        while answer.readline() != b"event: panel\n":
            pass
        return json.loads(answer.readline().removeprefix(b"data: "))
    finally:
        listener.close()


def test_a_device_pairs_once_and_keeps_the_key(tmp_path, line, capsys):
    config = CONFIG.format(port=line.reader)
    with Child(tmp_path, config) as child:
        client = child.ready()
        child.logged(r"osdp: reader 1 at")
        settings = tmp_path / "pair.toml"
        settings.write_text(f'{config}[state]\nfolder = "{child.state}"\n', "utf-8")
        assert main(["osdp", "pair", "--config", str(settings)]) == 0
        assert "for 5 minutes" in capsys.readouterr().err
        assert until(lambda: states(client) == ["pairing"], 10)
        with panel(line) as panel_:
            child.logged("osdp: the panel has set a key")
            assert until(lambda: states(client) == [], 10)
            assert heard(client.port, panel_) == {"kind": "text", "text": "Welcome", "seconds": 5.0}
            assert panel_.ask("inputs") == [False, False]
        assert b'appliance_output_delivered_total{output="osdp"} 0.0' in client.get("/metrics").content
        assert child.terminate() == 0
    with Child(tmp_path, config) as child, panel(line) as panel_:
        client = child.ready()
        assert panel_.comes("reply", 5, type="Ack", seconds=20)
        assert until(lambda: states(client) == [], 10)
        assert child.terminate() == 0
