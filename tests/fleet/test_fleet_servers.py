"""Servers that are not what they should be: without TLS, malformed answers, values that have vanished; and the printed ones."""

import asyncio
import json
import os
import re
import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import nats
import nkeys
import pytest
from certificates import certificate
from devices import until
from replicas import KEYS, PEOPLE, Site, alike, make_buckets, with_bucket
from servers import NatsServer

from appliance.fleet import joining
from appliance.fleet.link import MOST_DEVICES, Address, Link, LinkError
from appliance.fleet.membership import Membership

PAGE = Path(__file__).parent.parent.parent / "docs" / "fleet.md"

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


def test_a_bucket_has_room_for_more_devices_than_servers_admit_by_default(tmp_path):
    async def most(bucket):
        return (await bucket._link.jetstream.stream_info(bucket.stream)).config.max_consumers

    with NatsServer(tmp_path / "nats") as server:
        make_buckets(server.url)
        assert asyncio.run(with_bucket(server.url, most)) == MOST_DEVICES


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


@pytest.mark.nightly
def test_three_servers_with_tls_and_nkeys_as_printed(tmp_path):
    single, cluster, users = re.findall(
        r"```text\n(.*?)```", PAGE.read_text("utf-8").partition("## Servers")[2], re.DOTALL
    )[:3]
    pem, key = certificate(tmp_path)
    addresses, user = [], users.partition("[\n")[2].partition("] }\n")[0]
    people = ""
    for number in (1, 2):
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        printed = user.replace("PUBLIC_KEY", public).replace("FLEET", KEYS.id).replace("DEVICE", f"{number:012x}")
        people += printed if number > 1 else printed.replace('"$JS.FC.>"', '"$JS.FC.>", "$JS.API.STREAM.CREATE.*"')
        (tmp_path / f"{number}.seed").write_bytes(seed)
        addresses.append(Address((), pem, tmp_path / f"{number}.seed"))
    names, routes = ("one", "two", "three"), {}
    for name in names:
        with socket.create_server(("127.0.0.1", 0)) as free:
            routes[name] = free.getsockname()[1]
    with ExitStack() as stack:
        servers = []
        for name in names:
            server = NatsServer(tmp_path / name, "-c", str(tmp_path / f"{name}.conf"), jetstream=False)
            others = (f'"nats://localhost:{routes[other]}"' for other in names if other != name)
            text = f"{single}{cluster}{users.replace(user, people)}"
            for there, here in (
                ('"0.0.0.0:4222"', f'"127.0.0.1:{server.port}"'),
                ('"0.0.0.0:6222"', f'"127.0.0.1:{routes[name]}"'),
                ('"nats://two:6222", "nats://three:6222"', ", ".join(others)),
                ('server_name: "one"', f'server_name: "{name}"'),
                ("/var/lib/nats", str(server.folder)),
                ("/etc/nats/server.pem", str(pem)),
                ("/etc/nats/server-key.pem", str(key)),
                ("/etc/nats/site-ca.pem", str(pem)),
            ):
                assert there in text
                text = text.replace(there, here)
            (tmp_path / f"{name}.conf").write_text(text)
            servers.append(stack.enter_context(server))
        urls = tuple(f"tls://localhost:{server.port}" for server in servers)

        async def make():
            async with Link.to(replace(addresses[0], urls=urls), "first") as link:
                await joining.make_buckets(link, Membership(urls, KEYS), 3, 30, 64)

        def made():
            try:
                asyncio.run(make())
            except LinkError:
                return False
            return True

        assert until(made)
        one, other = sites = [Site(tmp_path, number, urls, files=files) for number, files in enumerate(addresses, 1)]
        one.add("anna", 1)
        with one.running(), other.running():
            assert alike(one, other)
            servers[0].stop(kill=True)
            assert until(lambda: other.member.share("anna"))
            other.rename("anna", "Anna B")
            assert until(lambda: one.name("anna") == "Anna B")
        for site in sites:
            site.gallery.close()


@pytest.mark.nightly
def test_a_flood_of_messages_does_not_fill_the_memory(tmp_path):
    async def flood(url):
        async with Link.to(Address((url,)), "one") as link, link.hearing("question", 3) as messages:
            for number in range(9):
                await link.send("question", b"%d" % number)
            await link._client.flush()
            return [await messages.next(0.1) for _ in range(4)]

    with NatsServer(tmp_path / "nats") as server:
        assert asyncio.run(flood(server.url)) == [("question", b"%d" % number) for number in range(3)] + [None]
