"""Which devices of a fleet are there now: a question to all of them, which each answers with its record.

Against a key with a time to live, nothing is sent while there is no question (1,000 devices that renew a key every 3 s write 29
million values a day), servers before 2.11 can do it, too, an answer is about this moment, and a server cannot repeat it later.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from appliance.faults import Problem
from appliance.fleet.devices import DeviceRecord, records_of
from appliance.fleet.link import Link, LinkError
from appliance.fleet.sealing import Envelopes, FleetKeys

PATIENCE_SECONDS = 1.0
"""How long a device may take to answer; one that writes many people into its gallery takes half a second."""

ASK_SECONDS = 10.0
"""How long those who look at a device's page share the answers to one question."""

MOST_ANSWERS = 32
"""Questions that a device answers within ASK_SECONDS: as many devices may have viewers. It ignores those beyond."""


@dataclass(frozen=True, slots=True)
class DevicePresence:
    """A device with its newest record, and whether it has just answered."""

    record: DeviceRecord
    online: bool


class Presence:
    """Answers for one device, and knows which others are there. Of one thread."""

    def __init__(self, device: str, record: Callable[[], DeviceRecord | None]) -> None:
        self._device, self._record = device, record
        self._answered: deque[float] = deque([float("-inf")] * MOST_ANSWERS, MOST_ANSWERS)
        self._asked = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._connection: tuple[Link, FleetKeys] | None = None
        self._online: frozenset[str] | None = None

    def problems(self) -> list[Problem]:
        """None."""
        return []

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Answers until it is cancelled. Raises LinkError."""
        envelopes, answer, now = Envelopes(keys), _answers(keys.id) + self._device, asyncio.get_running_loop().time
        self._connection, self._asked = (link, keys), float("-inf")
        try:
            async with link.hearing(_question(keys.id)) as messages:
                while message := await messages.next(None):
                    _, question = message
                    if now() - self._answered[0] > ASK_SECONDS and (record := self._record()):
                        self._answered.append(now())
                        await link.send(answer, record.close(envelopes, question.hex()))
        finally:
            self._connection = self._online = None
            if self._asking:
                self._asking.cancel()

    def online(self, known: Sequence[DeviceRecord]) -> frozenset[str] | None:
        """Returns which devices have answered the newest question, None as long as there is no answer. Asks the `known` devices
        again every ASK_SECONDS at most, as long as this is called, without waiting for them.
        """
        now = asyncio.get_running_loop().time()
        if self._connection and now - self._asked > ASK_SECONDS:
            if now - self._asked > 2 * ASK_SECONDS:  # what was known then is about another time
                self._online = None
            self._asked, self._asking = now, asyncio.ensure_future(self._ask(*self._connection, known))
        return self._online

    async def _ask(self, link: Link, keys: FleetKeys, known: Sequence[DeviceRecord]) -> None:
        with suppress(LinkError):
            found = await survey(link, keys, known)
            self._online = frozenset(each.record.device for each in found if each.online)


async def survey(link: Link, keys: FleetKeys, known: Iterable[DeviceRecord]) -> list[DevicePresence]:
    """Returns the `known` devices and those that answer, by id; waits PATIENCE_SECONDS at most. Raises LinkError."""
    question, envelopes, begin = secrets.token_bytes(16), Envelopes(keys), _answers(keys.id)
    found = {record.device: DevicePresence(record, online=False) for record in known}
    async with link.hearing(f"{begin}*") as messages:
        await link.send(_question(keys.id), question)
        end = (now := asyncio.get_running_loop().time)() + PATIENCE_SECONDS
        while not all(each.online for each in found.values()) or not found:
            if (message := await messages.next(max(0.0, end - now()))) is None:
                break
            subject, value = message
            for record in records_of([(subject.removeprefix(begin), value)], envelopes, question.hex()):
                found[record.device] = DevicePresence(record, online=True)
    return [found[device] for device in sorted(found)]


def _question(fleet: str) -> str:
    return f"fleet-{fleet}-question"


def _answers(fleet: str) -> str:
    return f"fleet-{fleet}-answers."
