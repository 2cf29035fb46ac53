"""The program of docs/api.md for the client library does what the page says."""

import re
from pathlib import Path

import pytest
from devices import Device, pool, shipped_engine

from appliance import keys
from appliance.vision.loading import Choice

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_program_of_the_page(
    choice: Choice,
    portrait: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (program,) = re.findall(r"```python\n([^`]*face_appliance_client.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(portrait)
    token = keys.add(tmp_path / keys.FILE, "program", list(keys.Scope))
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice, keys=tmp_path / keys.FILE) as device:
        for text, ours in (
            ("discover()", "discover(0.1)"),
            ('"https://192.0.2.10:9443"', f'"http://127.0.0.1:{device.client.port}"'),
            (', fingerprint="AB:CD:…"', ""),
            ("    print(event)", "    print(event)\n    device.close()"),
            ("fa_…", token),
        ):
            assert text in program
            program = program.replace(text, ours)
        exec(compile(program, "api.md", "exec"), {})
    shown = capsys.readouterr().out
    assert "Box(x=" in shown
    assert "no_such_person No person has this id." in shown
    assert "Connected()" in shown
