"""`appliance osdp pair`: the request is in the state folder, from where the running device takes it."""

import pytest

from appliance.cli.main import main
from appliance.gallery.vault import SiteKey
from appliance.outputs.osdp_key import REQUEST_FILE, PanelKey


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "appliance.toml"
    path.write_text(f'[osdp]\nport = "/dev/ttyS9"\n[state]\nfolder = "{tmp_path}"\n', "utf-8")
    return path


def test_a_request_is_left_for_the_running_device(config, capsys):
    assert main(["osdp", "pair", "--minutes", "5", "--config", str(config)]) == 0
    assert "for 5 minutes" in capsys.readouterr().err
    key = PanelKey(config.parent, lambda: SiteKey(bytes(32)))
    assert 290 < key.requested() <= 300
    assert key.requested() is None
    assert not (config.parent / REQUEST_FILE).exists()


def test_without_a_port_there_is_nothing_to_pair_with(config, capsys):
    config.write_text("", "utf-8")
    assert main(["osdp", "pair", "--config", str(config)]) == 1
    assert capsys.readouterr().err == "osdp.port is not set: there is no panel\n"
