"""What a device sees by its record on the servers: another device with its id, and a clock that is wrong."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from devices import until
from replicas import KEYS, Site, with_bucket

from appliance.fleet.devices import COMMAND, About, DeviceRecord
from appliance.fleet.member import devices_bucket
from appliance.fleet.own_record import OwnRecord
from appliance.fleet.sealing import Envelopes

DEVICE = f"{1:012x}"


def states(site):
    return [each.state for each in site.member.problems()]


def test_a_copy_of_a_device_is_named_on_both(tmp_path, server):
    folders = [tmp_path / name for name in ("one", "copy")]
    for folder in folders:
        folder.mkdir()
    one, copy = (Site(folder, 1, server.url) for folder in folders)
    with one.running():
        one.add("anna")
        assert until(lambda: one.member._own._stored)
        with copy.running():
            for number in range(8):  # each change of the number of people is in a new record
                one.add(f"person-{number}")
                copy.add(f"other-{number}")
                if until(lambda: states(one) == states(copy) == ["fleet_device_twice"], 3):
                    break
            assert states(one) == states(copy) == ["fleet_device_twice"]
        one.member._own._twin -= 91
        assert states(one) == []
    for site in (one, copy):
        site.gallery.close()


def reported(server, begin=0.0, between=None):
    """The problems after two reports, the records of which have the time of a clock that is so many seconds wrong; another
    record is written between them.
    """
    ticks = [0.0]
    own = OwnRecord(DEVICE, lambda: ticks[-1], lambda: time.time() + begin)

    def record(instance=own.instance, status="ok", later=0.0):
        about, moment = About("Door", "1.0", status), datetime.now(UTC)
        return DeviceRecord(DEVICE, about, 0, 0, 0, moment, 0, time.time() + begin + later, instance)

    async def act(bucket):
        await own.report(bucket, Envelopes(KEYS), record)
        ticks.append(60.0)
        if between:
            instance, status, later = between
            other = record(instance, status, later)
            await bucket.write(DEVICE, other.close(Envelopes(KEYS)), (await bucket.read(DEVICE)).sequence)
        await own.report(bucket, Envelopes(KEYS), record)

    asyncio.run(with_bucket(server.url, act, devices_bucket(KEYS.id)))
    return [(each.state, each.text) for each in own.problems()]


@pytest.mark.parametrize(
    ("between", "named"),
    [
        (("another", "ok", 0.0), ["fleet_device_twice"]),
        (("another", COMMAND, 0.0), []),  # a command on this device
        (("another", "ok", -10.0), []),  # what this device wrote before its last start
    ],
)
def test_only_a_newer_record_of_another_process_is_another_device(server, between, named):
    assert [state for state, _ in reported(server, between=between)] == named


@pytest.mark.parametrize(("begin", "text"), [(5.0, "5 s ahead of"), (-5.0, "5 s behind"), (1.0, None), (0.0, None)])
def test_a_clock_that_is_not_that_of_the_servers_is_named(server, begin, text):
    found = reported(server, begin)
    assert [state for state, _ in found] == (["fleet_clock"] if text else [])
    assert text is None or text in found[0][1]
