"""`appliance fleet`: the people whom all devices of a site share. Each command raises FleetError, GalleryError or OSError."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from appliance import __version__, identity, state
from appliance.cli.gallery import opened, site_key
from appliance.config import Config
from appliance.fleet.devices import COMMAND, About, DeviceRecord, records_of
from appliance.fleet.membership import (
    FILE,
    FleetError,
    Membership,
    NoFleetError,
    check_urls,
    read_membership,
    write_membership,
)
from appliance.fleet.policy import PolicyBook, policy_signer, read_keys, write_keys
from appliance.fleet.sealing import Envelopes, RefusedValueError
from appliance.gallery.gallery import Gallery
from appliance.imaging import barcode

try:
    from appliance.fleet.joining import invite as make_invitation
    from appliance.fleet.joining import make_buckets, read_code, redeem
    from appliance.fleet.link import Address, Bucket, BucketState, Link, LinkError
    from appliance.fleet.member import Member, devices_bucket, people_bucket
    from appliance.fleet.presence import DevicePresence, survey
    from appliance.fleet.publishing import publish
    from appliance.fleet.replica import Replica
    from appliance.fleet.stream import RETRY_SECONDS, DecisionReader, decisions_stream
except ModuleNotFoundError as missing:
    raise FleetError(f"{missing.name} is not installed: in a clone, scripts/environment .venv fleet") from missing

T = TypeVar("T")


def create(options: argparse.Namespace, settings: Config) -> int:
    """Makes a fleet on servers, with the people of this device."""
    membership = Membership.new(tuple(options.servers.split(",")))
    _check_none(settings)
    limits = options.replicas, options.decisions_days, options.decisions_mib
    _with_link(settings, membership.urls, lambda link: make_buckets(link, membership, *limits))
    _keep(settings, membership)
    with opened(settings, create=True) as gallery:
        _synchronise(settings, gallery, membership)
    return _done(f"the fleet {membership.keys.id} is made: set fleet.enabled = true, and restart the device")


def upgrade(options: argparse.Namespace, settings: Config) -> int:
    """Makes what this version needs on the servers and they do not have."""
    membership = _membership(settings)
    limits = options.replicas, options.decisions_days, options.decisions_mib
    made = _with_link(settings, membership.urls, lambda link: make_buckets(link, membership, *limits))
    return _done(f"made: {', '.join(made)}" if made else "the servers have everything that this version needs")


def invite(options: argparse.Namespace, settings: Config) -> int:
    """Prints a code with which one device can join."""
    membership, keys = _membership(settings), read_keys(state.folder(settings.state.folder))
    parts = membership, options.minutes, keys | {_device(settings): policy_signer(site_key(settings)).public.text}
    code = _with_link(settings, membership.urls, lambda link: make_invitation(link, *parts))
    if options.code is not None:
        with options.code.open("xb") as file:
            file.write(barcode.svg(code) if options.code.suffix.lower() == ".svg" else barcode.png(code))
    print(code)
    return 0


def join(options: argparse.Namespace, settings: Config) -> int:
    """Makes this device a member, and merges its people with those of the fleet; the exit status: 1 if some of them differ."""
    urls, secret = read_code(options.invitation)
    kept = _kept(settings)
    membership, keys = _with_link(settings, urls, lambda link: redeem(link, secret))
    if kept and kept.keys.id != membership.keys.id:
        raise FleetError(f"this device is in the fleet {kept.keys.id}: `appliance fleet leave` first")
    _keep(settings, membership)
    with opened(settings, create=True) as gallery:
        write_keys(state.folder(settings.state.folder), keys)
        held = _synchronise(settings, gallery, membership).held()
        _done(
            f"joined the fleet {membership.keys.id}: {len(gallery.people())} people; set fleet.enabled = true, and restart"
        )
        return _name_held(held)


def leave(_options: argparse.Namespace, settings: Config) -> int:
    """Ends the membership; the people of this device stay."""
    membership, device = _membership(settings), _device(settings)

    async def unwrite(link: Link) -> None:
        devices = await link.bucket(devices_bucket(membership.keys.id))
        if found := await devices.read(device):
            await devices.write(device, b"", found.sequence)

    with opened(settings) as gallery:
        (state.folder(settings.state.folder) / FILE).unlink()  # first: a running device sees it before it sees the rest
        with gallery.writing() as transaction:
            for key, share in gallery.snapshot.shares.items():
                transaction.write_share(key, share.restored())
    try:
        _with_link(settings, membership.urls, unwrite)
    except LinkError as error:
        _done(f"this device stays in the list of the fleet: {error}")
    return _done("the fleet is left: set fleet.enabled = false, and restart the device")


def status(options: argparse.Namespace, settings: Config) -> int:
    """Prints the devices of the fleet, and which people of this device differ from it; the exit status: 1 if some do."""
    membership = _membership(settings)
    with opened(settings) as gallery:
        envelopes = Envelopes(membership.keys)
        ids = {envelopes.key(known.person.id): known.person.id for known in gallery.people()}
        held = {ids.get(key, key): share.held for key, share in gallery.snapshot.shares.items() if share.held}

    async def ask(link: Link) -> tuple[Any, list[DevicePresence]]:
        people = await link.bucket(people_bucket(membership.keys.id))
        devices = await survey(link, membership.keys, await _devices(link, membership))
        return await people.state(), devices

    bucket, devices = _with_link(settings, membership.urls, ask)
    if options.json:
        listed = [
            {
                "device": each.record.device,
                "name": each.record.about.name,
                "version": each.record.about.version,
                "status": each.record.about.status,
                "online": each.online,
                "seen_s": round(each.record.age_s),
                "people": each.record.people,
                "differing": each.record.held,
                "unshared": each.record.pending,
                "behind": each.record.lag(bucket.created, bucket.last),
            }
            for each in devices
        ]
        print(json.dumps({"fleet": membership.keys.id, "devices": listed, "differing": held}, ensure_ascii=False))
        return 1 if held else 0
    print(f"fleet {membership.keys.id} at {', '.join(membership.urls)}")
    for presence in devices:
        each, about = presence.record, presence.record.about
        seen = "online" if presence.online else f"offline, seen {each.age_s:.0f} s ago"
        lag = each.lag(bucket.created, bucket.last)
        step = f"{lag} changes behind" if lag else "in step"
        more = f", {each.held} differ" * bool(each.held) + f", {each.pending} not shared yet" * bool(each.pending)
        print(f"{each.device}  {about.name:<24} {about.version:<8} {about.status:<8} {seen}, {step}{more}")
    return _name_held(held)


def decisions(options: argparse.Namespace, settings: Config) -> int:
    """Prints the records of all devices as JSON lines; the exit status: 1 if an entry cannot be read."""
    membership = _membership(settings)
    reader, refused, trouble = DecisionReader(Envelopes(membership.keys), options.begin), 0, ""

    async def show(link: Link) -> None:
        nonlocal refused, trouble
        stream, trouble = await link.log(decisions_stream(membership.keys.id)), ""
        async for entry in reader.entries(stream, follow=options.follow):
            if isinstance(entry, RefusedValueError):
                refused += 1
                print(entry, file=sys.stderr)
            else:
                print(json.dumps(entry), flush=options.follow)

    if not options.follow:
        _with_link(settings, membership.urls, show)
    while options.follow:
        try:
            _with_link(settings, membership.urls, show)
        except LinkError as error:
            if str(error) != trouble:
                print(error, file=sys.stderr)
            trouble = str(error)
            time.sleep(RETRY_SECONDS)
    return 1 if refused else 0


def receipt(options: argparse.Namespace, settings: Config) -> int:
    """Prints which devices have confirmed an erasure, and which have not yet; the exit status: 1 if some have not."""
    membership = _membership(settings)
    with opened(settings) as gallery:
        keys = [key for key, share in gallery.snapshot.shares.items() if options.reference in share.erased]
    if not keys:
        raise FleetError(
            "this fleet has erased nobody with this reference: it is that of the receipt of `people erase`"
        )

    async def ask(link: Link) -> tuple[list[str], list[str]]:
        people: Bucket = await link.bucket(people_bucket(membership.keys.id))
        found, bucket = await people.read(keys[0]), await people.state()
        arrival = Envelopes(membership.keys).open(keys[0], found.value) if found else None
        shared = arrival is not None and options.reference in arrival.share.erased
        sequence = found.sequence if found and shared else bucket.last + 1
        devices = await _devices(link, membership)
        done = [each.device for each in devices if each.has(bucket.created, sequence)]
        return done, [each.device for each in devices if each.device not in done]

    confirmed, waiting = _with_link(settings, membership.urls, ask)
    print(json.dumps({"reference": options.reference, "confirmed": confirmed, "waiting": waiting}))
    return 1 if waiting else 0


def resolve(options: argparse.Namespace, settings: Config) -> int:
    """Ends the difference of a person: this device's stays, for the whole fleet, or the fleet's comes."""
    membership = _membership(settings)
    with opened(settings) as gallery:
        gallery.person(options.id)
        key = Envelopes(membership.keys).key(options.id)
        share = gallery.snapshot.shares.get(key)
        if share is None or not share.held:
            raise FleetError(f"{options.id} does not differ from the fleet's")
        with gallery.writing() as transaction:
            transaction.write_share(key, replace(share, held=""))
            if options.take == "fleet":
                transaction.erase_person(options.id)
        gallery.empty_log()
        _synchronise(settings, gallery, membership)
    return _done(f"{options.id} is that of the {options.take} now")


def publish_policy(_options: argparse.Namespace, settings: Config) -> int:
    """Publishes the rules of this device that are not about one door, as the policy of all devices."""
    membership, device, signer = _membership(settings), _device(settings), policy_signer(site_key(settings))
    folder, publishers = state.folder(settings.state.folder), settings.fleet.policy_from
    if publishers and device not in publishers:
        raise FleetError(
            f"this device ({device}) is not in fleet.policy_from: publish from one that is, or add it on all"
        )
    kept = PolicyBook(folder, settings.door.merged_rules, shared=True).kept
    rules, revision = settings.door.shared_rules, kept.policy.revision if kept else 0
    parts = membership.keys, device, settings.lan.name or device, rules, revision, signer
    signed = _with_link(settings, membership.urls, lambda link: publish(link, *parts))
    with state.as_owner(folder):
        PolicyBook(folder, settings.door.merged_rules, shared=True).offer(signed, signer.public.text)
    return _done(f"{signed.policy}: it holds on each device of the fleet, unless that has other settings in [fleet]")


def rotate_key(_options: argparse.Namespace, settings: Config) -> int:
    """Makes a new key, and seals the people with it; every other device has to join again."""
    before = _membership(settings)

    async def ask(link: Link) -> BucketState:
        return await (await link.log(decisions_stream(before.keys.id))).state()

    with opened(settings) as gallery:
        _synchronise(settings, gallery, before)  # what the others write with the old key from now on is refused
        stream, secret = _with_link(settings, before.urls, ask), Membership.new(before.urls).keys.secrets[0]
        _keep(settings, after := Membership(before.urls, before.keys.rotated(secret, stream.created, stream.last)))
        _synchronise(settings, gallery, after, reseal=True)
    return _done("the people are sealed with a new key: join with each other device: appliance fleet invite")


def _synchronise(settings: Config, gallery: Gallery, membership: Membership, *, reseal: bool = False) -> Replica:
    device = _device(settings)
    key = policy_signer(site_key(settings)).public.text
    about = About(settings.lan.name or device, __version__, COMMAND, key=key)
    member = Member(lambda: membership, _files(settings), device, lambda: gallery, gallery.refresh, lambda: about)
    return asyncio.run(member.synchronise(reseal=reseal))


async def _devices(link: Link, membership: Membership) -> list[DeviceRecord]:
    values = await (await link.bucket(devices_bucket(membership.keys.id))).values()
    return records_of(((each.key, each.value) for each in values), Envelopes(membership.keys))


def _with_link(settings: Config, urls: tuple[str, ...], work: Callable[[Link], Coroutine[Any, Any, T]]) -> T:
    """The result of `work` with a connection to the servers."""
    check_urls(urls)

    async def connected() -> T:
        async with Link.to(replace(_files(settings), urls=urls), COMMAND) as link:
            return await work(link)

    with state.as_owner(state.folder(settings.state.folder)):
        return asyncio.run(connected())


def _membership(settings: Config) -> Membership:
    return read_membership(state.folder(settings.state.folder), site_key(settings))


def _kept(settings: Config) -> Membership | None:
    try:
        return _membership(settings)
    except NoFleetError:
        return None


def _check_none(settings: Config) -> None:
    if kept := _kept(settings):
        raise FleetError(f"this device is in the fleet {kept.keys.id}: `appliance fleet leave` first")


def _keep(settings: Config, membership: Membership) -> None:
    write_membership(state.folder(settings.state.folder), site_key(settings), membership)


def _files(settings: Config) -> Address:
    return Address((), settings.fleet.ca_file, settings.fleet.nkey_file)


def _device(settings: Config) -> str:
    return identity.device_id(state.folder(settings.state.folder))


def _name_held(held: dict[str, str]) -> int:
    for person, reason in held.items():
        print(f"{person}: {reason}; `appliance fleet resolve {person} --take fleet` or `device`", file=sys.stderr)
    return 1 if held else 0


def _done(line: str) -> int:
    print(line, file=sys.stderr)
    return 0
