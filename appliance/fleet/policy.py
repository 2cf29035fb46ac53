"""The policy that the devices of a fleet share: the rules of `[door]` that are not about one door, published on purpose."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from appliance import state
from appliance.access.policy import Rules
from appliance.access.token import stamp
from appliance.faults import Problem
from appliance.fleet.devices import Text
from appliance.fleet.membership import fleet_id

log = logging.getLogger(__name__)

FILE = "fleet-policy.json"
"""In the state folder: the newest policy that this device has taken. It is in clear, and holds no person."""

Merge = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Returns what `Rules.of` takes: the rules of this device's configuration, with those of a published policy in their place.
Raises ValueError for a policy that this program does not accept.
"""


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A policy: how many the fleet has had up to it, the id and the name of the device that published it, when, and the
    settings of `[door]` in it.
    """

    revision: int
    device: Text
    name: Text
    time: AwareDatetime
    rules: dict[str, Any]

    @property
    def rank(self) -> tuple[int, datetime, str]:
        """The later policy has the higher one."""
        return self.revision, self.time, self.device

    def __str__(self) -> str:
        return f"revision {self.revision}, published by {self.name} ({self.device}) at {self.time:%Y-%m-%d %H:%M} UTC"


POLICY = TypeAdapter(PublishedPolicy)


class PolicyBook:
    """The rules that are in force on this device. Thread-safe; `changed` is for one thread."""

    def __init__(self, folder: Path, merge: Merge, *, shared: bool) -> None:
        """`folder` is that of the state; `shared` says whether a published policy holds on this device."""
        self._folder, self._merge, self._shared, self._changing = folder, merge, shared, threading.Lock()
        self.kept = _read(folder) if shared else None
        self._refused: str | None = None
        self.rules = self._noticed = self._merged()

    def configure(self, merge: Merge) -> None:
        """Takes what the configuration of this device has now."""
        with self._changing:
            self._merge = merge
            self.rules = self._merged()

    def changed(self) -> Rules | None:
        """The rules in force, if they have changed since the last time."""
        before, self._noticed = self._noticed, self.rules
        return None if self._noticed is before else self._noticed

    def offer(self, policy: PublishedPolicy) -> bool:
        """Takes a policy of the fleet, unless it is an older one than this device has, or is not accepted by this program:
        then it is named, and everything stays. Returns whether the servers have an older one. Raises OSError.
        """
        if not self._shared or policy == self.kept:
            self._refused = None
            return False
        if self.kept and policy.rank < self.kept.rank:
            self.refuse(f"revision {policy.revision} is older than {self.kept.revision}, which this device has")
            return True
        with self._changing:
            try:
                rules = Rules.of(**self._merge(policy.rules))
            except (ValueError, TypeError) as error:
                self.refuse(f"revision {policy.revision} is not accepted by this program: {error}")
                return False
            document = {"fleet": fleet_id(self._folder), "policy": POLICY.dump_python(policy, mode="json")}
            state.write_document(self._folder / FILE, document)
            log.info("the policy of the fleet is in force: %s", policy)
            self.kept, self.rules, self._refused = policy, rules, None
        return False

    def refuse(self, reason: str) -> None:
        """Names why a policy of the servers is not taken, until one is."""
        if reason != self._refused:
            log.warning("a policy of the fleet's servers is refused: %s", reason)
        self._refused = reason

    def problems(self) -> list[Problem]:
        """A refused policy, for `/healthz`."""
        text = f"The fleet's policy is not taken: {self._refused}."
        return [Problem("fleet", "fleet_policy_refused", text)] if self._shared and self._refused else []

    def document(self) -> dict[str, Any]:
        """Whose rules are in force, for `/healthz` and `policy explain`."""
        if self.kept is None:
            return {"of": "device"}
        kept = self.kept
        return {
            "of": "fleet",
            "revision": kept.revision,
            "device": kept.device,
            "name": kept.name,
            "published": stamp(kept.time),
        }

    def _merged(self) -> Rules:
        try:
            return Rules.of(**self._merge(self.kept.rules if self.kept else {}))
        except (ValueError, TypeError) as error:  # it was taken by another version of this program
            self.refuse(f"revision {self.kept.revision if self.kept else 0} is not accepted by this program: {error}")
            self.kept = None
            return Rules.of(**self._merge({}))


def _read(folder: Path) -> PublishedPolicy | None:
    """The policy of the fleet that this device is in."""
    try:
        found = state.read_document(folder / FILE)
        return POLICY.validate_python(found["policy"]) if found["fleet"] == fleet_id(folder) else None
    except FileNotFoundError:
        return None
    except (OSError, state.DamagedError, KeyError, TypeError, ValidationError) as error:
        log.error("%s cannot be read, so the rules of this device hold: %s", folder / FILE, error)
        return None
