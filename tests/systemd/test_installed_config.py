"""The configuration that is installed is the program's own, but for what differs on purpose."""

from appliance import config
from appliance.cli.device import commented
from appliance.config import Config

ON_PURPOSE = {"server": {"host": "0.0.0.0"}}


def test_it_is_the_default_but_for_what_differs_on_purpose(root):
    assert config.load(root / "systemd" / "appliance.toml", {}) == config.load(None, ON_PURPOSE)


def test_it_is_commented_like_the_printed_one(root):
    text = (root / "systemd" / "appliance.toml").read_text("utf-8")
    head, _, body = text.partition("\n\n")
    assert all(line.startswith("# ") for line in head.splitlines())
    assert body == commented(config.load(None, ON_PURPOSE))


def test_the_default_differs(root):
    assert config.load(root / "systemd" / "appliance.toml", {}) != Config()
