"""Clients as nobody wants them, on raw sockets: they leave in the middle, drip, knock and go, and guess keys."""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from appliance.benchmark.tally import Tally
from appliance.evaluation.own_device import HOST

TIMEOUT = 30.0

DRIPPING = 100
"""Connections that drip at once (the bound that is wanted)."""

DRIP_SECONDS = 1.0
"""Between two bytes of each."""

PAUSE_SECONDS = 0.1
"""At least, between two acts of one client: the nuisance is bounded."""

STRANGERS = [f"198.51.100.{number}" for number in range(1, 255)]
"""Addresses that nobody has (RFC 5737), from which keys are guessed."""

STREAMS = ("/events", "/camera/stream.mjpg")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the device is: its port, that for the TLS front, a good key, and requests as bytes."""

    port: int
    front_port: int
    key: str
    requests: tuple[bytes, ...]


Client = Callable[[Target, random.Random, Tally], None]


def leave(target: Target, chance: random.Random, tally: Tally) -> None:
    """Sends a part of a request, or all of it, and goes: politely or with a reset, sooner or later."""
    request = chance.choice(target.requests)
    with _connected(target.port) as client:
        client.sendall(request[: chance.choice((len(request), chance.randrange(len(request))))])
        time.sleep(chance.uniform(0, 0.05))
        if chance.random() < 0.5:
            _reset_on_close(client)
    tally.add("left in the middle")


def leave_a_stream(target: Target, chance: random.Random, tally: Tally) -> None:
    """Begins to look, and is gone."""
    with _connected(target.port) as client:
        client.sendall(_request("GET", chance.choice(STREAMS)))
        client.recv(chance.randrange(1, 100_000))
        _reset_on_close(client)
    tally.add("left a stream")


def knock(target: Target, chance: random.Random, tally: Tally) -> None:
    """Opens connections and drops them."""
    for _ in range(10):
        with _connected(chance.choice((target.port, target.front_port))) as client:
            if chance.random() < 0.5:
                _reset_on_close(client)
    tally.add("opened and dropped", 10)


def guess(target: Target, chance: random.Random, tally: Tally) -> None:
    """Tries a wrong key from somewhere, or none; only 401 is right."""
    headers = {"X-API-Key": "fa_" + "".join(chance.choices("abcdefgh", k=43))} if chance.random() < 0.8 else {}
    status = _asked_from(chance.choice(STRANGERS), target, headers)
    tally.add("refused without a good key" if status == 401 else f"stranger answered {status}", wrong=status != 401)


def use_the_key(target: Target, chance: random.Random, tally: Tally) -> None:
    """Asks from elsewhere with the good key, in one header or another; only 200 is right."""
    name, prefix = chance.choice((("Authorization", "Bearer "), ("X-API-Key", ""), ("X-RapidAPI-Key", "")))
    status = _asked_from("192.0.2.7", target, {name: prefix + target.key})
    tally.add("answered with a key" if status == 200 else f"key answered {status}", wrong=status != 200)


@contextmanager
def dripping(port: int, count: int = DRIPPING) -> Iterator[None]:
    """So many connections that send a byte of a request every second, for as long as it lasts; those that the server closes
    are opened again.
    """
    over = threading.Event()
    thread = threading.Thread(target=_drip, args=(port, count, over), name="dripping")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _drip(port: int, count: int, over: threading.Event) -> None:
    drop = _request("POST", "/faces", {"Content-Length": "1000"}) + bytes(1000)
    with ExitStack() as stack:
        clients = [(stack.enter_context(_connected(port)), iter(drop)) for _ in range(count)]
        while not over.is_set():
            for number, (client, rest) in enumerate(clients):
                if over.wait(DRIP_SECONDS / count):
                    return
                try:
                    client.sendall(bytes([next(rest)]))
                except (OSError, StopIteration):
                    client.close()
                    clients[number] = (stack.enter_context(_connected(port)), iter(drop))


def _asked_from(address: str, target: Target, headers: dict[str, str]) -> int:
    """The status of an answer to a client whose address the TLS front would give as this one."""
    with _connected(target.front_port) as client:
        client.sendall(f"PROXY TCP4 {address} {HOST} 40000 {target.front_port}\r\n".encode())
        client.sendall(_request("GET", "/version", {**headers, "Connection": "close"}))
        answer = HTTPResponse(client)
        answer.begin()
        answer.read()
        return answer.status


def acting(client: Client, target: Target, seed: int, tally: Tally, over: threading.Event) -> None:
    """One client again and again until it is over. No answer where there should be one is an error."""
    chance = random.Random(seed)
    while not over.wait(PAUSE_SECONDS * chance.uniform(1, 2)):
        try:
            client(target, chance, tally)
        except (OSError, HTTPException) as error:
            tally.add(f"{client.__name__}: {type(error).__name__}", wrong=True)


def _request(method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": HOST, **(headers or {})}.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    client = socket.create_connection((HOST, port), timeout=TIMEOUT)
    try:
        yield client
    finally:
        with suppress(OSError):
            client.close()


def _reset_on_close(client: socket.socket) -> None:
    """Makes the close an abort (socket(7), SO_LINGER), as when a process dies or a network fails."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
