"""The address of the device's page, as Home Assistant links to it (`configuration_url`)."""

import pytest

from appliance.config import Config
from appliance.outputs.queue import TABLES, page_address

HOST = "face-appliance-eda997.local"


@pytest.mark.parametrize(
    ("server", "lan", "address"),
    [
        ({}, {}, ""),
        ({"host": "::1"}, {}, ""),
        ({"host": "0.0.0.0"}, {"enabled": False}, ""),
        ({"host": "0.0.0.0"}, {}, f"http://{HOST}:9297/"),
        ({"host": "::", "port": 8000, "base_path": "/a/door"}, {}, f"http://{HOST}:8000/a/door/"),
        ({"host": "::", "front_port": 9298, "front_certificate": "c.pem"}, {}, f"https://{HOST}:9443/"),
        ({"host": "::", "front_certificate": "c.pem", "base_path": "/door"}, {}, f"https://{HOST}:9443/door/"),
    ],
)
def test_it_follows_the_settings(server: dict[str, object], lan: dict[str, object], address: str) -> None:
    tables = Config.model_validate({"server": server, "lan": lan}).model_dump(include=TABLES)
    assert page_address(tables, "eda99776160f") == address
