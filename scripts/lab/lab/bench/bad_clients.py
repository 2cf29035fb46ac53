"""Misbehaving clients on raw sockets: they leave in the middle, drip, open and drop connections, and guess keys. Each returns
what it did, and raises WrongAnswerError for an answer that it should not get, OSError or HTTPException without one.
"""

import random
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Self
from urllib.parse import urlsplit

from lab.bench.load import Swarm
from lab.bench.material import Material
from lab.device import HOST, TIMEOUT

DRIPPING = 100  # connections that drip at once (the required bound)
DRIP_SECONDS = 1.0  # between two bytes of each
STRANGERS = [f"198.51.100.{number}" for number in range(1, 255)]  # guess keys; documentation addresses (RFC 5737)
STREAMS = ("/events", "/camera/stream.mjpg")
KEY_HEADERS = (("Authorization", "Bearer "), ("X-API-Key", ""), ("X-RapidAPI-Key", ""))


class WrongAnswerError(Exception):
    """A bad client had an answer that it should not get; the text is the answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """The device: its port, that for a TLS front, a valid key, and requests as bytes."""

    port: int
    front_port: int
    key: str
    requests: tuple[bytes, ...]

    @classmethod
    def of(cls, swarm: Swarm, material: Material) -> Self:
        """That of a swarm."""
        requests = (
            _request("POST", path, {"Content-Type": kind, "Content-Length": str(len(body))}) + body
            for path, body, kind in material.questions().values()
        )
        return cls(urlsplit(swarm.url).port or 80, swarm.front_port, swarm.key, tuple(requests))


Client = Callable[[Target, random.Random], str]


def leave(target: Target, chance: random.Random) -> str:
    """Sends a part of a request, or all of it, and leaves: by a close or with a reset, sooner or later."""
    request = chance.choice(target.requests)
    with _connected(target.port) as client:
        client.sendall(request[: chance.choice((len(request), chance.randrange(len(request))))])
        time.sleep(chance.uniform(0, 0.05))
        _reset_on_close(client, chance.random() < 0.5)
    return "left in the middle"


def leave_stream(target: Target, chance: random.Random) -> str:
    """Reads the beginning of a stream and leaves."""
    with _connected(target.port) as client:
        client.sendall(_request("GET", chance.choice(STREAMS)))
        client.recv(chance.randrange(1, 100_000))
        _reset_on_close(client, True)
    return "left a stream"


def knock(target: Target, chance: random.Random) -> str:
    """Opens a connection and drops it."""
    with _connected(chance.choice((target.port, target.front_port))) as client:
        _reset_on_close(client, chance.random() < 0.5)
    return "opened and dropped"


def guess(target: Target, chance: random.Random) -> str:
    """Tries a wrong key, or none, from a random address; only 401 is right."""
    headers = {"X-API-Key": "fa_" + "".join(chance.choices("abcdefgh", k=43))} if chance.random() < 0.8 else {}
    return _answered(target, chance.choice(STRANGERS), headers, 401, "refused without a valid key")


def use_key(target: Target, chance: random.Random) -> str:
    """Asks from another address with the valid key, in one header or another; only 200 is right."""
    name, prefix = chance.choice(KEY_HEADERS)
    return _answered(target, "192.0.2.7", {name: prefix + target.key}, 200, "answered with a key")


CLIENTS: Mapping[str, Client] = {each.__name__: each for each in (leave, leave_stream, knock, guess, use_key)}


class Drip:
    """A connection that sends a request byte by byte; opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def send(self) -> None:
        """The next byte."""
        try:
            self._connection.sendall(bytes([next(self._rest)]))
        except (OSError, StopIteration):
            self._connection.close()
            self._open()

    def _open(self) -> None:
        self._connection = _connected(self._port)
        self._rest = iter(_request("POST", "/faces", {"Content-Length": "1000"}) + bytes(1000))


def _answered(target: Target, address: str, headers: dict[str, str], right: int, act: str) -> str:
    """The act, if a client for whom the TLS front gives this address is answered with the right status."""
    with _connected(target.front_port) as client:
        client.sendall(f"PROXY TCP4 {address} {HOST} 40000 {target.front_port}\r\n".encode())
        client.sendall(_request("GET", "/version", {**headers, "Connection": "close"}))
        answer = HTTPResponse(client)
        answer.begin()
        answer.read()
    if answer.status != right:
        raise WrongAnswerError(f"{'key' if right == 200 else 'stranger'} answered {answer.status}")
    return act


def _request(method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": HOST, **(headers or {})}.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def _connected(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=TIMEOUT)


def _reset_on_close(client: socket.socket, wanted: bool) -> None:  # noqa: FBT001
    """Makes the close an abort (socket(7), SO_LINGER), as when a process dies or a network fails."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", wanted, 0))
