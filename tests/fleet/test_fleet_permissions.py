"""Servers that know each device by its nkey, with the permissions of docs/fleet.md."""

import asyncio
import os
from pathlib import Path

import nkeys
import pytest
from replicas import KEYS, Site, alike, make_buckets
from servers import NatsServer

from appliance.fleet.link import Address, Link, LinkError
from appliance.fleet.member import devices_bucket

PAGE = Path(__file__).parent.parent.parent / "docs" / "fleet.md"


def test_each_device_may_write_only_its_own_record(tmp_path):
    printed = PAGE.read_text("utf-8").partition("authorization { users = [\n")[2].partition("] }\n```")[0]
    assert "PUBLIC_KEY" in printed
    users = ""
    with NatsServer(tmp_path / "nats") as open_server:
        make_buckets(open_server.url)
    for number in (1, 2):
        seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        user = printed.replace("PUBLIC_KEY", public).replace("FLEET", KEYS.id)
        users += user.replace("DEVICE", f"{number:012x}")
        (tmp_path / f"{number}.seed").write_bytes(seed)
    (tmp_path / "nats.conf").write_text(f"authorization {{ users = [\n{users}] }}\n")
    with NatsServer(tmp_path / "nats", "-c", str(tmp_path / "nats.conf")) as server:
        seeds = (Address((), None, tmp_path / f"{number}.seed") for number in (1, 2))
        one, other = sites = [Site(tmp_path, number, server.url, files=files) for number, files in enumerate(seeds, 1)]
        one.add("anna", 1)
        with one.running(), other.running():
            assert alike(one, other)
            assert set(other.content()) == {"anna"}

            async def forge():
                async with Link.to(Address((server.url,), None, tmp_path / "2.seed"), "forger") as link:
                    bucket = await link.bucket(devices_bucket(KEYS.id))
                    await bucket.write(one.device, b"forged", 0)

            async def enter():
                async with Link.to(Address((server.url,)), "stranger"):
                    pass

            with pytest.raises(LinkError):
                asyncio.run(forge())
            with pytest.raises(LinkError, match=r"(?i)authorization"):
                asyncio.run(enter())
        for site in sites:
            site.gallery.close()


@pytest.mark.parametrize("seed", [None, b"", b"UABC\n"])
def test_a_file_without_a_seed_is_named_and_does_not_end_the_device(tmp_path, seed):
    if seed is not None:
        (tmp_path / "seed").write_bytes(seed)

    async def enter():
        async with Link.to(Address(("nats://127.0.0.1:9",), None, tmp_path / "seed"), "one"):
            pass

    with pytest.raises(LinkError, match=r"fleet\.nkey_file" if seed is not None else "No such file"):
        asyncio.run(enter())
