"""The fleet of the running device, whether it is in one or not: the client of the servers is loaded only if it is."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import state
from appliance.access.identify import GalleryHandle, Recognition
from appliance.access.log import RECORD_FILE, Record
from appliance.access.policy import Rules
from appliance.access.token import SignedDecision, stamp
from appliance.events import Broadcast
from appliance.faults import Problem
from appliance.fleet.devices import About, DeviceRecord, Overview
from appliance.fleet.membership import FleetError, Membership, fleet_id, read_membership
from appliance.fleet.policy import Merge, PolicyBook, policy_signer, read_keys
from appliance.gallery.people import GalleryUnavailableError

if TYPE_CHECKING:
    from appliance.fleet.member import Member
    from appliance.fleet.passages import PassageSharing

log = logging.getLogger(__name__)

SILENCE_FILE = "fleet-silence.json"
"""How long this device had not heard from its fleet when it was written."""

WRITTEN_SECONDS = 600.0
"""How often the silence is written while it lasts: what a restart can shorten it by."""


class FleetHandle:
    """Thread-safe."""

    def __init__(
        self,
        folder: Path,
        device: str,
        gallery: GalleryHandle,
        about: Callable[[], tuple[str, str, Mapping[str, Any], Record]],
        *,
        enabled: bool,
        ca_file: Path | None,
        nkey_file: Path | None,
        policy: bool,
        policy_from: Sequence[str],
        stale_hours: float | None,
        merge: Merge,
    ) -> None:
        """`folder` is that of the state; `about` returns what `About.of` takes after the key. With `stale_hours`, nobody is
        recognised once the fleet has been silent for so long. With `policy`, the policy that the fleet publishes holds, if a
        device of `policy_from` has published it; `merge` is as `PolicyBook` takes it.
        """
        self._folder, self._device, self._gallery, self._stale_hours = folder, device, gallery, stale_hours
        self._about = about
        self._book = PolicyBook(folder, merge, shared=enabled and policy, publishers=policy_from)
        self._member: Member | None = None
        self._passages: PassageSharing | None = None
        self._silent_before, self._written = 0.0, time.monotonic()
        self.id = fleet_id(folder) if enabled else None
        """That of the fleet; None for a device without one."""
        if enabled:
            try:
                from appliance.fleet import link, member, passages, publishing, stream
            except ModuleNotFoundError as missing:
                raise FleetError(
                    f"{missing.name} is not installed: in a clone, scripts/environment .venv fleet"
                ) from missing
            files, parts = link.Address((), ca_file, nkey_file), (gallery.gallery, gallery.refresh)
            self._passages = passages.PassageSharing(gallery.gallery, device, lambda: self._book.rules.remembers)
            forwarder = stream.Forwarder(Record(folder / RECORD_FILE), device, folder / stream.PLACE_FILE)
            companions = (self._passages, publishing.PolicyFollower(self._book, device), forwarder)
            self._member = member.Member(
                self._membership, files, device, *parts, self._described, companions=companions
            )
            self._silent_before = self._read_silence()

    def start(self, start: Callable[[str, Callable[[], None]], threading.Thread], broadcast: Broadcast) -> None:
        """Starts the thread if this device is in a fleet; `start` is that of the supervisor. Passages of people who are granted
        are shared.
        """
        if self._member:
            broadcast.subscribe(SignedDecision, self._decided)
            start("fleet", self._member.run)

    def stop(self) -> None:
        if self._member:
            self._write_silence()
            self._member.stop()

    def rules(self) -> Rules:
        """The rules in force."""
        return self._book.rules

    def configure(self, merge: Merge) -> None:
        """As `PolicyBook.configure`."""
        self._book.configure(merge)

    def changed_rules(self) -> Rules | None:
        """As `PolicyBook.changed`."""
        return self._book.changed()

    def policy(self) -> dict[str, Any] | None:
        """Whose rules are in force, for `/healthz`; None without a fleet."""
        return self._book.document() if self._member else None

    def share(self, identity: str) -> bool | None:
        """As `Member.share`; None for a device without a fleet."""
        return self._member.share(identity) if self._member else None

    def overview(self, identities: Sequence[str]) -> dict[str, Any]:
        """Returns the fleet, its devices and where these people are known, for `/fleet.json`; `people` is by id."""
        found = self._member.overview(identities) if self._member else Overview()
        return {
            "fleet": found.fleet,
            "device": self._device,
            "reached": found.reached,
            "devices": [_listed(record, lag, found.online) for record, lag in found.devices],
            "people": {identity: asdict(place) for identity, place in found.people.items()},
        }

    def invite(self, minutes: float) -> str | None:
        """Returns a code with which a device can join within so many minutes; None for a device without a fleet. Raises
        ReportedError.
        """
        if self._member is None:
            return None
        from appliance.fleet.joining import invite

        keys = read_keys(self._folder) | {self._device: policy_signer(self._gallery.site_key()).public.text}
        return self._member.ask(lambda link, membership: invite(link, membership, minutes, keys))

    def problems(self) -> list[Problem]:
        """What is wrong, for `/healthz`."""
        if self._member is None:
            return []
        self.silent_s()  # which is written now and then, also at a door where nobody passes
        return self._member.problems()

    def recognition(self) -> Recognition:
        """What people are recognised with, as `GalleryHandle.current`. Raises GalleryUnavailableError, too, if the fleet has
        been silent for more than `stale_hours`.
        """
        if self._member and self._stale_hours is not None and (silent := self.silent_s()) > self._stale_hours * 3600:
            raise GalleryUnavailableError(f"the fleet has been silent for {silent / 3600:.1f} h (door.stale_hours)")
        return self._gallery.current()

    def silent_s(self) -> float:
        """Returns the seconds since the fleet's servers confirmed that this device has everything, also before its start."""
        assert self._member is not None
        silent = self._member.silent_s() + (0.0 if self._member.heard else self._silent_before)
        if time.monotonic() - self._written > WRITTEN_SECONDS:
            self._write_silence()
        return silent

    def _decided(self, signed: SignedDecision) -> None:
        decision = signed.decision
        if self._passages and decision.granted and decision.person and (known := self._gallery.person(decision.person)):
            self._passages.passed(known.reference)

    def _described(self) -> About:
        return About.of(policy_signer(self._gallery.site_key()).public.text, *self._about())

    def _membership(self) -> Membership:
        return read_membership(self._folder, self._gallery.site_key())

    def _read_silence(self) -> float:
        """The silence at the last end, with the time since then as far as the clock knows it: it may be late."""
        try:
            found = state.read_document(self._folder / SILENCE_FILE)
            return float(found["silent"]) + max(0.0, time.time() - float(found["time"]))
        except (OSError, state.DamagedError, KeyError, TypeError, ValueError):
            return 0.0

    def _write_silence(self) -> None:
        self._written = time.monotonic()
        try:
            state.write_document(self._folder / SILENCE_FILE, {"silent": self.silent_s(), "time": time.time()})
        except OSError as error:
            log.warning("the fleet's silence is not written: %s", error)


def _listed(record: DeviceRecord, lag: int, online: frozenset[str] | None) -> dict[str, Any]:
    about, decided = record.about, record.about.decision
    return {
        "device": record.device,
        "name": about.name,
        "version": about.version,
        "status": about.status,
        "online": None if online is None else record.device in online,
        "seen_s": round(record.age_s, 1),
        "picture_age_ms": about.picture_age_ms,
        "decision": decided and {**asdict(decided), "time": stamp(decided.time)},
        "policy": about.policy,
        "people": record.people,
        "differing": record.held,
        "unshared": record.pending,
        "behind": lag,
    }
