"""Which devices of a fleet are there now: a question to all of them, which each answers with its record.

Against a key with a time to live, nothing is sent while there is no question (1,000 devices that renew a key every 3 s write 29
million values a day), servers before 2.11 can do it, too, an answer is about this moment, and a server cannot repeat it later.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.faults import Problem
from appliance.fleet.devices import DeviceRecord, records_of
from appliance.fleet.link import Link
from appliance.fleet.sealing import Envelopes, FleetKeys

PATIENCE_SECONDS = 1.0
"""How long a device may take to answer; one that writes many people into its gallery takes half a second."""


@dataclass(frozen=True, slots=True)
class DevicePresence:
    """A device with its newest record, and whether it has just answered."""

    record: DeviceRecord
    online: bool


class Responder:
    """Answers for one device."""

    def __init__(self, device: str, record: Callable[[], DeviceRecord | None]) -> None:
        self._device, self._record = device, record

    def problems(self) -> list[Problem]:
        """None."""
        return []

    async def run(self, link: Link, keys: FleetKeys) -> None:
        """Answers until it is cancelled. Raises LinkError."""
        envelopes, answer = Envelopes(keys), _answers(keys.id) + self._device
        async with link.hearing(_question(keys.id)) as messages:
            while message := await messages.next(None):
                _, question = message
                if record := self._record():
                    await link.send(answer, record.close(envelopes, question.hex()))


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
