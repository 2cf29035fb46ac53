"""The policy in the fleet: published by a command, followed by every device, written again by the device that published it."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from appliance.access.token import Signer
from appliance.faults import Problem
from appliance.fleet.devices import records_of
from appliance.fleet.link import Bucket, Link, LinkError, OvertakenError
from appliance.fleet.member import devices_bucket
from appliance.fleet.membership import FleetError
from appliance.fleet.policy import PolicyBook, PublishedPolicy, SignedPolicy
from appliance.fleet.replica import StoredValue
from appliance.fleet.sealing import Envelopes, FleetKeys, RefusedValueError, UnreadableValueError

log = logging.getLogger(__name__)

KEY = "policy"
"""The only key of its bucket."""

CHECK_SECONDS = 10.0
"""How often the value is read without news: a subscription may be blind (see `link`)."""

RETRY_SECONDS = 1.0
"""From a failure to the next attempt."""

PATIENCE_SECONDS = 10.0
"""How long the policy may not be read, while the servers answer, before that is a problem."""


class PolicyFollower:
    """Takes the policies that are published into the book. `problems` may be called by any thread."""

    def __init__(self, book: PolicyBook, device: str) -> None:
        self._book, self._device = book, device
        self._trouble, self._since = "", 0.0

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        found = self._book.problems()
        if self._trouble and time.monotonic() - self._since > PATIENCE_SECONDS:
            found.append(
                Problem("fleet", "fleet_policy_waiting", f"The fleet's policy cannot be read: {self._trouble}.")
            )
        return found

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Works until it is cancelled, which it is with the connection."""
        try:
            while not link.closed.is_set():
                try:
                    policies, devices = [await link.bucket(name(keys.id)) for name in (policy_bucket, devices_bucket)]
                    await self._follow(policies, devices, Envelopes(keys))
                except (LinkError, OSError) as error:
                    self._failed(str(error))
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._trouble = ""

    async def _follow(self, bucket: Bucket, devices: Bucket, envelopes: Envelopes) -> None:
        async with bucket.following(1) as feed:
            await self._take(bucket, devices, envelopes, await bucket.read(KEY))
            self._trouble = ""
            while True:
                values = await feed.batch(CHECK_SECONDS)
                await self._take(bucket, devices, envelopes, values[-1] if values else await bucket.read(KEY))

    async def _take(self, bucket: Bucket, devices: Bucket, envelopes: Envelopes, found: StoredValue | None) -> None:
        """Takes a value into the book, and replaces it if it is not what this device has published last, or if it is the policy
        in force, sealed with a key that was replaced. Another one that is sealed so may be that of a stolen device.
        """
        lost, outdated = True, False
        if found and found.value:
            try:
                signed, outdated = _opened(found, envelopes), envelopes.outdated(found.value)
                if outdated and signed != self._book.kept:
                    raise RefusedValueError("sealed with a key that was replaced")
                publisher = signed.policy.device
                lost = self._book.offer(signed, self._book.key(publisher) or await _key(devices, envelopes, publisher))
            except RefusedValueError as error:
                self._book.refuse(str(error))
                lost, outdated = not isinstance(error, UnreadableValueError), False
        if (kept := self._book.kept) and (outdated or (lost and kept.policy.device == self._device)):
            # others may write it, too, and not every device has the permission
            with suppress(OvertakenError, LinkError):
                await bucket.write(KEY, _closed(kept, envelopes), found.sequence if found else 0)

    def _failed(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("fleet: the policy is not followed: %s", trouble)
        self._since = self._since if self._trouble else time.monotonic()
        self._trouble = trouble


async def publish(
    link: Link, keys: FleetKeys, device: str, name: str, rules: Mapping[str, Any], revision: int, signer: Signer
) -> SignedPolicy:
    """Publishes these rules, with a revision above `revision` and that of the policy on the servers. Raises LinkError,
    FleetError.
    """
    bucket, envelopes = await link.bucket(policy_bucket(keys.id)), Envelopes(keys)
    try:
        if (found := await bucket.read(KEY)) and found.value:
            revision = max(revision, _opened(found, envelopes).policy.revision)
    except UnreadableValueError as error:
        raise FleetError(f"the policy on the servers is {error}: join again, or update this device") from error
    except RefusedValueError as error:
        log.warning("the policy on the servers is %s: it is replaced", error)
    parts = keys.id, revision + 1, device, name, signer.public.text, datetime.now(UTC), dict(rules)
    signed = SignedPolicy.of(PublishedPolicy(*parts), signer)
    try:
        await bucket.write(KEY, _closed(signed, envelopes), found.sequence if found else 0)
    except OvertakenError as error:
        raise FleetError("another device has published a policy at the same time: look at it, and try again") from error
    return signed


def policy_bucket(fleet: str) -> str:
    """Returns the name of the bucket with the policy of a fleet."""
    return f"fleet-{fleet}-policy"


async def _key(devices: Bucket, envelopes: Envelopes, device: str) -> str | None:
    """The public key in the record of a device, which it alone may write."""
    found = await devices.read(device)
    records = records_of([(found.key, found.value)], envelopes) if found else []
    return records[0].about.key or None if records else None


def _opened(found: StoredValue, envelopes: Envelopes) -> SignedPolicy:
    """Raises RefusedValueError."""
    content = envelopes.open_note(found.value, KEY)
    try:
        return SignedPolicy.read(json.loads(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableValueError("by a later program") from error


def _closed(signed: SignedPolicy, envelopes: Envelopes) -> bytes:
    return envelopes.close_note(json.dumps(signed.document()).encode(), KEY)
