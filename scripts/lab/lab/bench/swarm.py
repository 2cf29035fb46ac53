"""`python -m lab.bench.swarm SWARM`: the clients of a load.Swarm, given as JSON.

Prints an empty line when all clients are up and begin; at the end of its standard input, or of their requests if they have a
number of these, a load.Load as JSON.
"""

import json
import random
import sys
import time
from http.client import HTTPException
from itertools import cycle
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.fileobject import FileObject
from locust import FastHttpUser, User, between, constant, task
from locust.env import Environment
from locust.exception import StopUser

from lab.bench import bad_clients
from lab.bench.bad_clients import Target, WrongAnswerError
from lab.bench.load import MIXED, Load, Swarm
from lab.bench.material import MIX, Material, as_expected
from lab.device import TIMEOUT, Answer

PAUSE_SECONDS = 0.1  # at least, between two acts of a client in a swarm without end: the load is bounded
FASTEST = 100  # clients that are started within a second; locust warns of more
LIVE_PATHS = ("/faces", "/alignedfaces", "/camera/frame.jpg", "/healthz", "/metrics", "/version")

WANTED = Swarm(**json.loads(sys.argv[1]))
MATERIAL = Material.read(Path(WANTED.folder))
TARGET = Target.of(WANTED, MATERIAL)
LOAD, STARTED = Load(), Event()


class Posting(FastHttpUser):
    """A client that posts valid requests; in a swarm without end it pauses, and asks about the camera in between."""

    fixed_count = WANTED.clients.get("posting", 0)
    network_timeout = connection_timeout = TIMEOUT
    wait_time = constant(0) if WANTED.requests else between(0, PAUSE_SECONDS)

    def on_start(self) -> None:
        self._questions = MATERIAL.questions()
        self._kinds = cycle(MIX if WANTED.kind == MIXED else (WANTED.kind,))
        self._left = WANTED.requests
        STARTED.wait()

    @task
    def post(self) -> None:
        kind = next(self._kinds)
        path, body, content_type = self._questions[kind]
        answer = self._answer("POST", path, data=body, headers={"Content-Type": content_type})
        if answer is not None and as_expected(kind, answer):
            LOAD.acts["posted requests"] += 1
        elif answer is not None:
            LOAD.errors[f"{kind}: {answer.code}"] += 1
        self._left -= 1
        if self._left == 0:
            raise StopUser
        if not WANTED.requests:
            looked = random.choice(LIVE_PATHS)
            answer = self._answer("GET", looked)
            if answer is not None and answer.status == 200:
                LOAD.acts["questions about the camera"] += 1
            elif answer is not None:
                LOAD.errors[f"{looked}: {answer.status}"] += 1

    def _answer(self, method: str, path: str, **body: Any) -> Answer | None:
        """The answer, None without one, which is an error."""
        with self.client.request(method, path, catch_response=True, **body) as response:
            response.success()
            if not response.status_code:
                LOAD.errors[f"no answer: {type(response.error).__name__}"] += 1
                return None
            if method == "POST":
                LOAD.seen.append(float(response.request_meta["response_time"]))
            return Answer(response.status_code, response.headers, response.content or b"")


class Dripping(User):
    """A connection that sends a byte of a request every second, and is opened again when the server closes it."""

    fixed_count = WANTED.clients.get("dripping", 0)
    wait_time = constant(bad_clients.DRIP_SECONDS)

    def on_start(self) -> None:
        self._drip = bad_clients.Drip(TARGET.port)

    @task
    def drip(self) -> None:
        self._drip.send()


def acting(name: str) -> type[User]:
    """A bad client, again and again."""
    act = bad_clients.CLIENTS[name]
    pause = PAUSE_SECONDS / (10 if act is bad_clients.knock else 1)

    class Acting(User):
        fixed_count = WANTED.clients[name]
        wait_time = between(pause, 2 * pause)

        def on_start(self) -> None:
            STARTED.wait()

        @task
        def again(self) -> None:
            try:
                LOAD.acts[act(TARGET, random.Random(random.random()))] += 1
            except WrongAnswerError as error:
                LOAD.errors[str(error)] += 1
            except (OSError, HTTPException) as error:
                LOAD.errors[f"{name}: {type(error).__name__}"] += 1

    Acting.__name__ = name  # locust tells them apart by it
    return Acting


def main() -> None:
    """Spawns the clients, lets them run, prints the results."""
    classes: list[type[User]] = [each for each in (Posting, Dripping) if each.fixed_count]
    classes += [acting(name) for name in WANTED.clients if name in bad_clients.CLIENTS]
    environment = Environment(user_classes=classes, host=WANTED.url, stop_timeout=TIMEOUT, catch_exceptions=False)
    runner, count = environment.create_local_runner(), sum(WANTED.clients.values())
    runner.start(count, spawn_rate=min(count, FASTEST))
    while runner.user_count < count:
        gevent.sleep(0.01)
    print(flush=True)
    begun = time.monotonic()
    STARTED.set()
    if WANTED.requests:
        while runner.user_count:
            gevent.sleep(0.001)
    else:
        FileObject(sys.stdin.fileno(), "r").read()
        runner.quit()
    LOAD.seconds = time.monotonic() - begun
    print(json.dumps({name: getattr(LOAD, name) for name in Load.__slots__}))


if __name__ == "__main__":
    main()
