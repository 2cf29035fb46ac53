"""A line that is cut for long: the reader is a process of its own, whose clocks go on by the time of the cut."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from devices import until
from panels import Line, panel

from appliance.access.log import Record
from appliance.outputs.cards import NOT_DELIVERED
from appliance.outputs.osdp_key import request_pairing

TESTS = Path(__file__).parents[1]


class ReaderProcess:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def end(self) -> dict[str, Any]:
        """What it has left open."""
        left, _ = self._process.communicate(timeout=20)
        assert self._process.returncode == 0
        return dict(json.loads(left))


@contextmanager
def reader_process(folder: Path, port: Path, off: Path) -> Iterator[ReaderProcess]:
    library = folder / "clock.so"
    source = TESTS / "system" / "clock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    off.write_text("0")
    clocks = {"LD_PRELOAD": str(library), "CLOCK_OFF": str(off), "UPTIME_OFF": str(off)}
    environment = {**os.environ, **clocks, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("reader_program.py")), str(folder), str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield ReaderProcess(process)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: sudo apt install gcc libc6-dev")
@pytest.mark.parametrize("seconds", [10, 3600])
def test_no_card_of_a_long_cut_comes_afterwards_and_each_is_recorded(tmp_path: Path, seconds: int) -> None:
    off = tmp_path / "off"
    with Line() as line, reader_process(tmp_path, line.reader, off) as reader:
        request_pairing(tmp_path, 1)
        assert until(lambda: reader.ask()["problem"] == "pairing", 20)
        with panel(line) as panel_:
            assert until(lambda: reader.ask()["secured"], 20)
            taken = [reader.ask(grant=1)["data"]]
            assert panel_.comes("card")
            assert until(lambda: reader.ask()["delivered"] == 1, 10)  # before that it might be lost

            line.cut = True
            lost = [reader.ask(grant=number)["decision"] for number in range(2, 7)]
            off.write_text(str(seconds))
            lost += [reader.ask(grant=7)["decision"]]
            assert until(lambda: reader.ask()["dropped"] == 6, 10)
            line.cut = False

            assert panel_.comes("nak", code=6)  # the reader's channel has ended, and this panel goes on in it
            assert until(lambda: reader.ask()["problem"] == "lapsed", 10)
            panel_.order("anew")
            assert until(lambda: reader.ask()["secured"], 20)
            assert until(lambda: reader.ask()["problem"] is None, 10)
            taken += [reader.ask(grant=8)["data"]]
            assert panel_.comes("card", 2)
            assert until(lambda: reader.ask()["delivered"] == 2, 10)
            assert [card["data"] for card in panel_.all("card")] == taken
        assert reader.end() == {"threads": 0, "files": 0}
    recorded = [dict(entry.facts) for entry in reversed(Record(tmp_path / "decisions.db").newest(99, NOT_DELIVERED))]
    assert [each["decision"] for each in recorded] == lost
    assert {each["reason"] for each in recorded} == {"offline"}
