"""A panel on a line to the reader: two pseudo-terminals, what is between them, and the panel's program as a process."""

import json
import os
import pty
import random
import select
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from devices import until

MASTER = "000102030405060708090a0b0c0d0e0f"
"""The panel's master key."""

PROGRAM = Path(__file__).with_name("panel_program.py")

PACKAGES = Path(sys.prefix) / "panel"
"""Where `scripts/environment` installs the panel: libosdp has the same import name."""


class Line:
    """Joins reader and panel; spoils what passes by, as it is told."""

    def __init__(self, seed: int = 0) -> None:
        self._ends = [pty.openpty(), pty.openpty()]
        for _, port in self._ends:
            tty.setraw(port)
        self.reader, self.panel = (Path(os.ttyname(port)) for _, port in self._ends)
        self._random, self.flips, self.swallows, self.cut = random.Random(seed), 0.0, 0.0, False
        self.polls = self.swallow_next = 0
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="line")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join(10)
        for end in self._ends:
            for file in end:
                os.close(file)
        os.close(self._stop)

    def say(self, data: bytes) -> None:
        """Puts something on the line that is not the panel's."""
        os.write(self._ends[0][0], data)

    def _run(self) -> None:
        reader, panel = (end for end, _ in self._ends)
        while True:
            readable, _, _ = select.select([reader, panel, self._stop], [], [])
            if self._stop in readable:
                return
            for file in readable:
                data = self._spoilt(os.read(file, 4096), reply=file == reader)
                self.polls += file == panel
                if data:
                    os.write(panel if file == reader else reader, data)

    def _spoilt(self, data: bytes, *, reply: bool) -> bytes:
        if reply and self.swallow_next:
            self.swallow_next -= 1
            return b""
        if self.cut or (reply and self._random.random() < self.swallows):
            return b""
        if not self.flips:
            return data
        return bytes(each ^ (1 << self._random.randrange(8)) * (self._random.random() < self.flips) for each in data)


class Panel:
    """What the panel's program has printed so far, by kind."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process, self.heard = process, []
        self._thread = threading.Thread(target=self._listen, name="panel")
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.heard.append(json.loads(line))

    def all(self, kind: str, **facts: object) -> list[dict[str, Any]]:
        return [each for each in self.heard if each["kind"] == kind and facts.items() <= each.items()]

    def comes(self, kind: str, count: int = 1, seconds: float = 10, **facts: object) -> bool:
        """Waits until so many of a kind have come."""
        return until(lambda: len(self.all(kind, **facts)) >= count, seconds)

    def order(self, what: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what}) + "\n")
        self._process.stdin.flush()

    def ask(self, what: str) -> list[Any]:
        count = len(self.all(what))
        self.order(what)
        assert self.comes(what, count + 1)
        return self.all(what)[-1]["found"]

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)
        self._thread.join(10)


@contextmanager
def panel(line: Line, *, secure: bool = True, key: str = MASTER, pace: float = 0.02) -> Iterator[Panel]:
    """The panel at work; `pace`: seconds between its polls."""
    if not PACKAGES.is_dir():
        pytest.fail("no panel here: scripts/environment makes it")
    mode = "secure" if secure else "clear"
    command = [sys.executable, str(PROGRAM), str(line.panel), mode, key, str(pace)]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        found = Panel(process)
        try:
            yield found
        finally:
            found.end()
