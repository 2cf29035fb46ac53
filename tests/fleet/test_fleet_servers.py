"""Servers that are not what they should be: without TLS, malformed answers, values that have vanished; and the printed ones."""

import asyncio
import json
import socket
import threading
from contextlib import contextmanager

import nats
import pytest
from certificates import certificate
from devices import until
from replicas import PEOPLE, Site, alike, make_buckets, with_bucket
from servers import NatsServer

from appliance.fleet.link import Address, Link, LinkError

INFO = {"server_id": "x", "version": "2.9.10", "proto": 1, "headers": True, "max_payload": 1 << 20}


@contextmanager
def impostor(line):
    """A server that begins with this line and listens; yields its port and what it has got."""
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(line + b"\r\n")
                while part := connection.recv(4096):
                    got.extend(part)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], got
        thread.join(10)
        assert not thread.is_alive()


async def enter(url, authority=None):
    async with Link.to(Address((url,), authority), "one") as link:
        return await (await link.bucket(PEOPLE)).state()


def test_a_server_that_does_not_offer_tls_learns_nothing_from_a_device_that_wants_it(tmp_path):
    authority, _ = certificate(tmp_path)
    greeting = b"INFO " + json.dumps({**INFO, "nonce": "abc"}).encode()
    with impostor(greeting) as (port, got), pytest.raises(LinkError, match="does not offer TLS"):
        asyncio.run(enter(f"tls://localhost:{port}", authority))
    assert not got


@pytest.mark.parametrize("line", [b"INFO []", b"INFO 1", b'INFO {"connect_urls": 5}', b"HTTP/1.1 400", b"INFO \xff"])
def test_a_malformed_greeting_is_an_error_of_the_link(line):
    with impostor(line) as (port, _), pytest.raises(LinkError):
        asyncio.run(enter(f"nats://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b'{"config": 1}',
        b'{"error": 1}',
        b'{"error": {"code": "x"}}',
        b'{"created": "yesterday"}',
    ],
)
def test_a_malformed_answer_is_an_error_of_the_link(tmp_path, answer):
    async def ask(url):
        client = await nats.connect(url)

        async def reply(message):
            await message.respond(answer)

        try:
            await client.subscribe("$JS.API.>", cb=reply)
            await client.flush()
            with pytest.raises(LinkError):
                await enter(url)
        finally:
            await client.close()

    with NatsServer(tmp_path / "nats", jetstream=False) as server:
        asyncio.run(ask(server.url))


def test_values_that_have_vanished_from_the_servers_are_written_again(tmp_path):
    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)

        async def remake(bucket):  # as earlier programs made it, and as a disk that loses something behaves
            jetstream = bucket._link.jetstream
            await jetstream.delete_stream(bucket.stream)
            await jetstream.add_stream(name=bucket.stream, subjects=[f"{bucket.prefix}>"], max_msgs_per_subject=1)

        asyncio.run(with_bucket(server.url, remake))
        one, other = sites = [Site(tmp_path, number, server.url) for number in (1, 2)]
        for number in range(5):
            one.add(f"p{number}", number)
        with one.running():

            async def purge(bucket):
                await bucket._link.jetstream.purge_stream(bucket.stream)

            async def count(bucket):
                return (await bucket.state()).values

            assert until(lambda: asyncio.run(with_bucket(server.url, count)) == 5)
            asyncio.run(with_bucket(server.url, purge))
            assert asyncio.run(with_bucket(server.url, count)) == 0
            assert until(lambda: asyncio.run(with_bucket(server.url, count)) == 5)
            with other.running():
                assert alike(one, other)
                assert other.content()
                assert one.member.problems() == other.member.problems() == []
        for site in sites:
            site.gallery.close()
