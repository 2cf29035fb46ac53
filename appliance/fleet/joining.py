"""Making a fleet, inviting devices and joining: what the commands do at the servers."""

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping

from appliance.fleet.link import Bucket, Link, OvertakenError
from appliance.fleet.member import devices_bucket, people_bucket
from appliance.fleet.membership import FleetError, Membership, check_urls
from appliance.fleet.passages import passages_bucket
from appliance.fleet.publishing import policy_bucket
from appliance.fleet.stream import decisions_stream
from appliance.gallery.vault import BrokenSealError, Seal, SiteKey

INVITATIONS = "fleet-invitations"
"""The bucket of the invitations of all fleets on a server."""

MOST_MINUTES = 60
"""How long an invitation may be valid; the servers delete it then in any case."""

SECRET_BYTES = 15
"""Of a code: 120 bits, which are 24 characters."""

_CODE = re.compile(r"([^#\s]+)#([A-Za-z2-7-]{24,30})")


async def make_buckets(link: Link, membership: Membership, replicas: int | None, days: float, mib: float) -> list[str]:
    """Makes what a fleet needs and the servers do not have, and returns the names: its buckets, kept by so many servers (None:
    as those that are there), and the stream of its decisions, which keeps them for so many days and drops the oldest beyond so
    many MiB. Raises LinkError.
    """
    people = await link.bucket(people_bucket(membership.keys.id), replicas=replicas or 1)
    replicas = replicas or (await people.state()).replicas
    others = [name(membership.keys.id) for name in (devices_bucket, passages_bucket, policy_bucket)]
    buckets = [people, *[await link.bucket(name, replicas=replicas) for name in others]]
    decisions, most = decisions_stream(membership.keys.id), int(mib * 2**20)
    buckets.append(await link.log(decisions, replicas=replicas, max_age=days * 86400, max_bytes=most))
    buckets.append(await link.bucket(INVITATIONS, replicas=replicas, max_age=MOST_MINUTES * 60))
    return [each.stream for each in buckets if each.made]


async def invite(link: Link, membership: Membership, minutes: float, keys: Mapping[str, str]) -> str:
    """Returns a code with which one device can join within so many minutes. The servers get the membership, and the public keys
    by which this device knows others, sealed with a key that only the code has. Raises LinkError.
    """
    bucket, secret = await link.bucket(INVITATIONS), secrets.token_bytes(SECRET_BYTES)
    content = {"until": time.time() + minutes * 60, "membership": membership.pack().decode(), "keys": keys}
    await bucket.write(_key(secret), Seal(SiteKey(secret)).close(json.dumps(content).encode(), INVITATIONS), 0)
    text = base64.b32encode(secret).decode()
    return f"{','.join(membership.urls)}#{'-'.join(text[at : at + 6] for at in range(0, len(text), 6))}"


def read_code(code: str) -> tuple[tuple[str, ...], bytes]:
    """Returns the URLs and the secret of a code. Raises FleetError."""
    found = _CODE.fullmatch(code.strip())
    letters = found[2].replace("-", "").upper() if found else ""
    if not found or len(letters) != SECRET_BYTES * 8 // 5:
        raise FleetError("this is not a code of `appliance fleet invite`: copy all of it, from nats:// or tls:// on")
    urls = tuple(found[1].split(","))
    check_urls(urls)
    return urls, base64.b32decode(letters)


async def redeem(link: Link, secret: bytes) -> tuple[Membership, dict[str, str]]:
    """Returns what `invite` was called with, and uses the invitation up. Raises FleetError, LinkError."""
    bucket: Bucket = await link.bucket(INVITATIONS)
    found = await bucket.read(_key(secret))
    try:
        content = json.loads(Seal(SiteKey(secret)).open(found.value if found else b"", INVITATIONS))
        membership, keys = Membership.unpack(content["membership"].encode()), dict(content["keys"])
        if content["until"] < time.time():
            raise FleetError("this invitation has expired: make another one with `appliance fleet invite`")
        assert found is not None
        await bucket.write(found.key, b"", found.sequence)
    except (BrokenSealError, OvertakenError, ValueError, KeyError, TypeError) as error:
        raise FleetError(
            "this invitation is used or expired: make another one with `appliance fleet invite`"
        ) from error
    return membership, keys


def _key(secret: bytes) -> str:
    return Seal(SiteKey(secret)).tag(INVITATIONS).hex()
