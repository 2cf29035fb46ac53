"""Networks that a test makes for itself: namespaces of the kernel, joined by a bridge, and programs inside them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from devices import until
from forked import finished

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="needs root and network namespaces: sudo apt install iproute2, then run the tests as root",
)

HERE = Path(__file__).parent

SERVICE, WEB = "_faceapi._tcp.local.", "_http._tcp.local."


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=20)


class Program:
    """A program that runs until the test is over, its output in a file; the end of its standard input is its end."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log_file = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def logged(self, text: str) -> bool:
        """Whether that is in the log, after a while."""
        return until(lambda: text in self.log)

    def tell(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self) -> float:
        """Ends it and returns how long that took."""
        begun = time.monotonic()
        self.process.stdin.close()
        assert self.process.wait(20) == 0, self.log
        return time.monotonic() - begun


class Listener(Program):
    """All that is announced on a host's network."""

    def records(self, kind: str, name: str = "") -> list[dict[str, Any]]:
        """Records of a kind so far; `name` is the end of theirs."""
        lines = [json.loads(line) for line in self.log.splitlines(keepends=True) if line.endswith("\n")]
        return [each for each in lines if each["kind"] == kind and each["name"].endswith(name)]

    def texts(self) -> list[str]:
        """TXT records of appliances, in the order in which they changed."""
        values = [each["value"] for each in self.records("Text", SERVICE) if each["ttl"]]
        return [value for number, value in enumerate(values) if number == 0 or value != values[number - 1]]


class Host:
    """A namespace with one interface, eth0, plugged into the bridge of another namespace, `switch`."""

    def __init__(self, name: str, folder: Path, switch: str) -> None:
        self.name, self._folder, self._switch = name, folder, switch
        self._programs = 0

    def ip(self, *arguments: str) -> None:
        ip("-n", self.name, *arguments)

    def join_wifi(self, address: str) -> None:
        """Another interface, wlan0, on a LAN where nobody else is."""
        self.ip("link", "add", "wlan0", "type", "veth", "peer", "nobody")
        self.ip("link", "set", "nobody", "up")
        self.ip("address", "add", address, "dev", "wlan0")
        self.ip("link", "set", "wlan0", "up")

    def plug(self, interface: str, address: str | None) -> None:
        """An interface on the LAN."""
        port = f"{self.name[-1]}-{interface}"
        ip("link", "add", interface, "netns", self.name, "type", "veth", "peer", port, "netns", self._switch)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        if address:
            self.ip("address", "add", address, "dev", interface)
        self.ip("link", "set", interface, "up")

    def command(self, *arguments: object) -> list[str]:
        """The command line that runs a program here."""
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Runs a program here to its end."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)

    def appliance(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return finished(arguments, cwd=None, env=os.environ, network=self.name)

    def discover(self, timeout: float = 2) -> list[dict[str, Any]]:
        """What `appliance discover` finds from here."""
        done = self.appliance("discover", "--json", "--timeout", timeout)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: object, kind: type[Program] = Program) -> Program:
        self._programs += 1
        return kind(self.command(*arguments), self._folder / f"{self.name}-{self._programs}.log")

    def announce(
        self, name: str, host: str = "face-appliance-aaaaaa", bound: Sequence[str] = ("0.0.0.0",), port: int = 9297
    ) -> Program:
        """The shipped advertisement, without a server; its state is told line by line."""
        return self.start(sys.executable, HERE / "announcer.py", name, host, port, *bound)

    def listen(self) -> Listener:
        listener = self.start(sys.executable, HERE / "listener.py", kind=Listener)
        assert isinstance(listener, Listener)
        assert until(lambda: "listening" in listener.log), listener.log
        return listener


@contextmanager
def local_network(folder: Path, *addresses: str | None, ipv6: bool = False) -> Iterator[list[Host]]:
    """A bridge with a host for each address, such as 10.97.0.1/24; None: a host without one."""
    names = [f"fa-test-{os.getpid()}-{place}" for place in range(len(addresses) + 1)]
    switch, hosts = names[0], [Host(name, folder, names[0]) for name in names[1:]]
    try:
        for name in names:
            ip("netns", "add", name)
            setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
            ip("netns", "exec", name, "sh", "-c", f"[ ! -e {setting} ] || echo {int(not ipv6)} >{setting}")
        ip("-n", switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in zip(hosts, addresses, strict=True):
            host.ip("link", "set", "lo", "up")
            host.plug("eth0", address)
        yield hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=20)
