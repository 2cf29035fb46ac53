"""The connection to the servers of a fleet (NATS JetStream). It ends when it is lost: nothing is buffered and sent later.

Facts about nats-py 2.16 with the servers 2.9.10 and 2.15.1 that this answers for: a put that timed out is sent after the
reconnect, a watcher of a closed connection hangs, and one is blind for 14 s after the loss of the node that holds its consumer.
A tls:// URL does not keep the client from speaking in clear with a server that does not offer TLS, and an answer that is none
raises whatever reading it raises.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import nats
import nkeys  # type: ignore[import-untyped]
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from appliance.faults import ReportedError
from appliance.fleet.replica import StoredValue

PATIENCE_SECONDS = 2.0
"""How long an answer may take: a cluster that elects a leader answers within this, or the next attempt finds it."""

MOST_DEVICES = 10_000
"""That follow a bucket; nats-server 2.15 admits 1,000 by default."""

BATCH = 256
"""Values handed over at once: one transaction of the gallery each."""

MOST_WAITING = 4096
"""Messages that wait to be read, 1 KiB each on average; those beyond are dropped. 1,000 devices answer a question at once."""

_MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What the client raises for an answer that a server of NATS does not give."""

_WRONG_SEQUENCE = {10071, 10164}
"""JetStream's error codes of a write whose expected last sequence is not the last one; a cluster has one of its own."""


class LinkError(ReportedError):
    """The servers cannot be reached, or did not answer in time; the text says why."""


class OvertakenError(Exception):
    """Another device has written this value meanwhile."""


@dataclass(frozen=True, slots=True)
class Address:
    """The URLs of the servers (nats://host:port or tls://host:port), the certificate authority of their TLS and the file with
    the nkey seed of this device, both None where they are not used.
    """

    urls: tuple[str, ...]
    authority: Path | None = None
    seed_file: Path | None = None


@dataclass(frozen=True, slots=True)
class BucketState:
    """When the bucket was made, the sequence number of its last value, the number of values, and of the servers that keep
    each.
    """

    created: datetime
    last: int
    values: int
    replicas: int


@contextmanager
def _translated(reasons: Sequence[Exception] = ()) -> Iterator[None]:
    """Raises OvertakenError or LinkError for the errors of the client, with the last of `reasons` if there are any."""
    try:
        yield
    except APIError as error:
        if error.err_code in _WRONG_SEQUENCE:
            raise OvertakenError from error
        raise LinkError(f"the fleet's servers refuse: {error.description}") from error
    except nkeys.NkeysError as error:
        raise LinkError(f"fleet.nkey_file is not the seed of an nkey: {error}") from error
    except (nats.errors.Error, OSError) as error:
        reason = reasons[-1] if reasons else error
        raise LinkError(f"the fleet's servers cannot be reached: {str(reason) or type(reason).__name__}") from error
    except _MALFORMED as error:
        raise LinkError(f"the fleet's servers give a malformed answer: {type(error).__name__}: {error}") from error


def _check_readable(key: str, path: Path | None) -> None:
    """Raises LinkError that names the key of the configuration and the file."""
    try:
        if path is not None:
            path.read_bytes()
            if key == "fleet.ca_file":
                ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise LinkError(f"{key}: {path} has no certificate in PEM") from error
    except OSError as error:
        raise LinkError(f"{key}: {path}: {error.strerror}") from error


class _Client(Client):
    """The client, which sends nothing in clear, and proves nothing, to a server of a tls:// URL."""

    def _connect_command(self) -> bytes:
        server = self._current_server
        if server and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server does not offer TLS")
        return super()._connect_command()


class Link:
    """An open connection."""

    def __init__(self, client: Client, closed: asyncio.Event) -> None:
        self._client, self.closed = client, closed
        self.jetstream: JetStreamContext = client.jetstream(timeout=PATIENCE_SECONDS)

    @classmethod
    @asynccontextmanager
    async def to(cls, address: Address, name: str) -> AsyncIterator[Self]:
        """A connection under this name, to one of the servers. Raises LinkError."""
        closed = asyncio.Event()

        async def end() -> None:
            closed.set()

        async def note(error: Exception) -> None:
            """Keeps why a server cannot be reached; everything else is raised by the call that it concerns."""
            reasons[:] = [error]

        tls, reasons, client = None, list[Exception](), _Client()
        for key, path in (("fleet.ca_file", address.authority), ("fleet.nkey_file", address.seed_file)):
            _check_readable(key, path)
        try:
            with _translated(reasons):
                if address.authority or any(url.startswith("tls:") for url in address.urls):
                    tls = ssl.create_default_context(cafile=address.authority)
                await client.connect(
                    list(address.urls),
                    name=name,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # without reconnects, too, it tries each server so often again
                    reconnect_time_wait=0,
                    connect_timeout=int(PATIENCE_SECONDS),
                    error_cb=note,
                    closed_cb=end,
                    tls=tls,
                    nkeys_seed=str(address.seed_file) if address.seed_file else None,
                )
            yield cls(client, closed)
        finally:  # also after a failed attempt, whose socket it would leave open
            with suppress(nats.errors.Error, OSError, AssertionError):  # asserted: it has begun to connect
                await asyncio.wait_for(client.close(), PATIENCE_SECONDS)

    async def send(self, subject: str, content: bytes) -> None:
        """Sends a message to those who are there now. Raises LinkError."""
        with _translated():
            await self._client.publish(subject, content)

    @asynccontextmanager
    async def hearing(self, subject: str, most: int = MOST_WAITING) -> AsyncIterator["Messages"]:
        """The messages of a subject from now on, `most` of which wait. Raises LinkError."""
        with _translated():
            found = await self._client.subscribe(subject, pending_msgs_limit=most, pending_bytes_limit=most * 1024)
        try:
            yield Messages(found)
        finally:
            with suppress(nats.errors.Error, OSError):
                await found.unsubscribe()

    async def bucket(self, name: str, *, replicas: int | None = None, max_age: float | None = None) -> "Bucket":
        """Returns a key-value bucket, made if `replicas` are given and it is not there; its values are kept for `max_age`
        seconds. An existing one stays as it is: servers refuse the arguments with which their predecessors made it.
        """
        bucket = Bucket(self, f"KV_{name}", f"$KV.{name}.")
        limits = {"max_age": max_age, "max_msgs_per_subject": 1, "discard": DiscardPolicy.NEW}
        await self._find(bucket, replicas, **limits)
        return bucket

    async def log(
        self, name: str, *, replicas: int | None = None, max_age: float | None = None, max_bytes: int | None = None
    ) -> "Bucket":
        """Returns a stream that keeps each value for `max_age` seconds, and drops the oldest beyond `max_bytes`; made as a
        bucket is.
        """
        log = Bucket(self, name, f"{name}.")
        await self._find(log, replicas, max_age=max_age, max_bytes=max_bytes)
        return log

    async def _find(self, stream: "Bucket", replicas: int | None, **limits: Any) -> None:
        with _translated():
            try:
                await self.jetstream.stream_info(stream.stream)
            except NotFoundError as error:
                if replicas is None:
                    text = f"the fleet's servers have no {stream.stream}"
                    raise LinkError(f"{text}: `appliance fleet upgrade` on a device of the fleet makes it") from error
                stream.made = True
                await self.jetstream.add_stream(
                    StreamConfig(
                        name=stream.stream,
                        subjects=[f"{stream.prefix}>"],
                        retention=RetentionPolicy.LIMITS,
                        storage=StorageType.FILE,
                        num_replicas=replicas,
                        max_consumers=MOST_DEVICES,
                        deny_delete=True,
                        deny_purge=True,
                        **limits,
                    )
                )


class Messages:
    """Messages as they come."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def next(self, patience: float | None) -> tuple[str, bytes] | None:
        """Returns subject and content of the next one; waits `patience` seconds (None: no limit), then returns none. Raises
        LinkError.
        """
        with _translated():
            try:
                message = await self._subscription.next_msg(patience)
            except nats.errors.TimeoutError:
                return None
        return message.subject, message.data


class Bucket:
    """A stream with a subject for each key: a key-value bucket keeps the last value of each, a log all of them. Each method
    raises LinkError.
    """

    def __init__(self, link: Link, stream: str, prefix: str) -> None:
        self._link, self.stream, self.prefix = link, stream, prefix
        self.made = False
        """Whether it was not there before."""

    async def write(self, key: str, value: bytes, last: int, name: str | None = None) -> int:
        """Adds a value after the one with the sequence number `last` (0: none) and returns its own, once the servers have
        stored it; a value with the same `name` is stored once within their window for duplicates. Raises OvertakenError.
        """
        headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(last)}
        headers |= {Header.MSG_ID.value: name} if name else {}
        with _translated():
            subject = self.prefix + key
            stored = await self._link.jetstream.publish(subject, value, PATIENCE_SECONDS, self.stream, headers)
            return stored.seq

    async def read(self, key: str, start: int | None = None) -> StoredValue | None:
        """Returns the last value of a key as the leader has it, or the first from a sequence number on; None without one."""
        with _translated():
            try:
                found = await self._link.jetstream.get_msg(
                    self.stream, start, self.prefix + key, next=start is not None
                )
            except NotFoundError:
                return None
        return StoredValue(key, found.data or b"", found.seq or 0, found.time)

    async def state(self) -> BucketState:
        with _translated():
            found = await self._link.jetstream.stream_info(self.stream)
            assert found.created is not None
            replicas = found.config.num_replicas or 1
            return BucketState(found.created, found.state.last_seq, found.state.messages, replicas)

    async def values(self) -> list[StoredValue]:
        """Returns all values."""
        found: dict[str, StoredValue] = {}
        last = (await self.state()).last
        async with self.following(1) as feed:
            while last > max((each.sequence for each in found.values()), default=0):
                if not (values := await feed.batch(PATIENCE_SECONDS)):
                    break
                found |= {each.key: each for each in values}
        return list(found.values())

    @asynccontextmanager
    async def following(self, start: int) -> AsyncIterator["Feed"]:
        """The values from the sequence number `start` on, as they come."""
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(1, start))
        with _translated():
            found = await self._link.jetstream.subscribe(
                f"{self.prefix}>", stream=self.stream, ordered_consumer=True, config=config
            )
        try:
            yield Feed(found, len(self.prefix))
        finally:
            with suppress(nats.errors.Error, OSError):
                await found.unsubscribe()


class Feed:
    """The values of a bucket as they come."""

    def __init__(self, subscription: JetStreamContext.PushSubscription, prefix: int) -> None:
        self._subscription, self._prefix = subscription, prefix

    async def batch(self, patience: float) -> list[StoredValue]:
        """Returns the values that have come, BATCH at most; waits `patience` seconds for the first one, then returns none."""
        values: list[StoredValue] = []
        with _translated():
            while len(values) < BATCH:
                try:
                    message = await self._subscription.next_msg(0.01 if values else patience)
                except nats.errors.TimeoutError:
                    break
                values.append(
                    StoredValue(message.subject[self._prefix :], message.data, message.metadata.sequence.stream)
                )
        return values
