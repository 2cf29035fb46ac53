"""The receiver in docs/door.md, in front of a webhook of this device."""

import http.server
import re
import threading
from pathlib import Path

import pytest
from client import HOST
from receiver import SECRET
from told import delivered, dropped, running, signed

from appliance.outputs.webhook import Webhook

PAGE = Path(__file__).parents[2] / "docs" / "door.md"


@pytest.fixture
def port(capsys):
    """Port of the receiver in docs/door.md."""
    (code,) = re.findall(
        r"```python\n(import base64, hashlib, hmac, http\.server.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    names = {"__name__": "receiver"}
    exec(code.replace("whsec_…", SECRET), names)
    server = http.server.HTTPServer((HOST, 0), names["Receiver"])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def webhook(port, tmp_path, secret):
    path = tmp_path / "secret"
    path.write_text(secret, "ascii")
    path.chmod(0o600)
    url = f"http://{HOST}:{port}/"
    return Webhook(url, secret_file=path, ca_file=None, timeout_s=2, give_up_s=5, waiting=4, device="50d31c0ffee0")


def test_it_takes_a_decision_once(port, tmp_path, capsys):
    one = signed()
    with running(webhook(port, tmp_path, SECRET)) as output:
        output.notify(one)
        output.notify(one)
        assert delivered(output, 2)
    assert capsys.readouterr().out.count(one.decision.id) == 1


def test_it_takes_nothing_that_others_signed(port, tmp_path, capsys):
    with running(webhook(port, tmp_path, f"whsec_{'A' * 43}=")) as output:
        output.notify(signed())
        assert dropped(output, 1)
    assert capsys.readouterr().out == ""
