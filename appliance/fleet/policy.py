"""The policy that the devices of a fleet share: the rules of `[door]` that are not about one door, published on purpose and
signed by the device that published them.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import AwareDatetime, TypeAdapter

from appliance import state
from appliance.access.policy import Rules
from appliance.access.token import PublicKey, Signer, decoded, encoded, stamp
from appliance.faults import Problem
from appliance.fleet.devices import Text
from appliance.fleet.membership import fleet_id
from appliance.fleet.sealing import RefusedValueError, UnreadableValueError
from appliance.gallery.vault import SiteKey

log = logging.getLogger(__name__)

FILE = "fleet-policy.json"
"""In the state folder: the newest policy that this device has taken. It is in clear, and holds no person."""

KEYS_FILE = "fleet-publishers.json"
"""In the state folder: the public keys of the devices whose policies this device has taken, by their ids."""

DOMAIN = b"face-appliance fleet policy 1\0"
"""Stands before what is signed, so that nothing else with such a key is ever a policy."""

Merge = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Returns what `Rules.of` takes: the rules of this device's configuration, with those of a published policy in their place.
Raises ValueError for a policy that this program does not accept.
"""


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A policy: the id of its fleet, its number among the policies of that fleet, the id, the name and the public key of the
    device that published it, when that was, and its settings of `[door]`.
    """

    fleet: Text
    revision: int
    device: Text
    name: Text
    key: Text
    time: AwareDatetime
    rules: dict[str, Any]

    @property
    def rank(self) -> tuple[int, datetime, str]:
        """The later policy has the higher one."""
        return self.revision, self.time, self.device

    @property
    def public(self) -> PublicKey:
        """Raises ValueError."""
        return PublicKey(decoded(self.key))

    def __str__(self) -> str:
        published = f"published by {self.name} ({self.device}) at {self.time:%Y-%m-%d %H:%M} UTC"
        return f"revision {self.revision}, {published}, signed with its key {self.public.id}"


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A policy, its JSON exactly as it was signed, and the signature (base64url)."""

    policy: PublishedPolicy
    text: str
    signature: str

    @classmethod
    def of(cls, policy: PublishedPolicy, signer: Signer) -> Self:
        """Signs a policy."""
        text = _POLICY.dump_json(policy).decode()
        return cls(policy, text, encoded(signer.sign(DOMAIN + text.encode())))

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From what `document` returns. Raises RefusedValueError unless the policy is signed with the key that it names."""
        if "signature" not in document:
            raise RefusedValueError("without a signature")
        try:
            text, signature = str(document["policy"]), str(document["signature"])
            policy = _POLICY.validate_json(text)
        except (ValueError, KeyError) as error:
            raise UnreadableValueError("malformed, or by a later program") from error
        try:
            signed = policy.public.signed(DOMAIN + text.encode(), decoded(signature))
        except ValueError:
            signed = False
        if not signed:
            raise RefusedValueError("altered: its signature does not fit")
        return cls(policy, text, signature)

    def document(self) -> dict[str, Any]:
        """Returns it as `read` takes it."""
        return {"policy": self.text, "signature": self.signature}


class PolicyBook:
    """The rules that are in force on this device. Thread-safe; `changed` is for one thread."""

    def __init__(self, folder: Path, merge: Merge, *, shared: bool, publishers: Collection[str] = ()) -> None:
        """`folder` is that of the state; `shared` says whether a published policy holds on this device, and `publishers` which
        devices may publish one for it, by their ids: without any, each device of the fleet.
        """
        self._folder, self._merge, self._shared, self._changing = folder, merge, shared, threading.Lock()
        self._publishers = publishers
        self._refused: str | None = None
        self.kept = self._read() if shared else None
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

    def key(self, device: str) -> str | None:
        """The public key of a device whose policy was taken before, by this device or by the one that invited it."""
        return read_keys(self._folder).get(device)

    def offer(self, signed: SignedPolicy, key: str | None) -> bool:
        """Takes a policy of the fleet, and from then on only policies with this key from its device. `key` is the one by which
        this device knows the other. A policy that is signed with another key, is older than the one in force, is not for this
        device, or is not accepted by this program, is named, and everything stays. Returns whether the servers should have
        another one. Raises OSError.
        """
        policy = signed.policy
        if not self._shared or signed == self.kept:
            self._refused = None
            return False
        try:
            self._check(policy, key)
            with self._changing:
                rules = Rules.of(**self._merge(policy.rules))
                write_keys(self._folder, {policy.device: policy.key})
                document = {"fleet": policy.fleet, **signed.document()}
                state.write_document(self._folder / FILE, document)
                self.kept, self.rules, self._refused = signed, rules, None
        except RefusedValueError as error:
            self.refuse(f"revision {policy.revision} {error}")
            return not isinstance(error, UnreadableValueError)
        except (ValueError, TypeError) as error:
            self.refuse(f"revision {policy.revision} is not accepted by this program: {error}")
            return False
        log.info("the policy of the fleet is in force: %s", policy)
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
        kept = self.kept.policy
        return {
            "of": "fleet",
            "revision": kept.revision,
            "device": kept.device,
            "name": kept.name,
            "key": kept.public.id,
            "published": stamp(kept.time),
        }

    def _check(self, policy: PublishedPolicy, key: str | None) -> None:
        """Raises RefusedValueError; UnreadableValueError where an honest device may have published it."""
        by = f"is by {policy.name} ({policy.device})"
        if policy.fleet != fleet_id(self._folder):
            raise RefusedValueError("is of another fleet")
        if not self._may_publish(policy.device):
            raise UnreadableValueError(f"{by}, which is not in fleet.policy_from")
        if key is None:
            raise UnreadableValueError(f"{by}, which is not in the fleet: publish one from a device that is")
        if key != policy.key:
            raise UnreadableValueError(f"{by}, but not signed with the key that this device knows it by")
        if self.kept and policy.rank < self.kept.policy.rank:
            raise RefusedValueError(f"is older than {self.kept.policy.revision}, which this device has")

    def _merged(self) -> Rules:
        try:
            return Rules.of(**self._merge(self.kept.policy.rules if self.kept else {}))
        except (ValueError, TypeError) as error:  # it was taken by another version of this program
            revision = self.kept.policy.revision if self.kept else 0
            self.refuse(f"revision {revision} is not accepted by this program: {error}")
            self.kept = None
            return Rules.of(**self._merge({}))

    def _read(self) -> SignedPolicy | None:
        """The policy that was in force, of the fleet that this device is in and of a device that may publish one."""
        try:
            document = state.read_document(self._folder / FILE)
            signed = SignedPolicy.read(document) if document["fleet"] == fleet_id(self._folder) else None
        except FileNotFoundError:
            return None
        except (OSError, state.DamagedError, KeyError, RefusedValueError) as error:
            log.error("%s cannot be read, so the rules of this device hold: %s", self._folder / FILE, error)
            return None
        return signed if signed and self._may_publish(signed.policy.device) else None

    def _may_publish(self, device: str) -> bool:
        return not self._publishers or device in self._publishers


def policy_signer(site_key: SiteKey) -> Signer:
    """What a device signs policies with: not its key for decisions, which is another one during a demonstration."""
    return Signer.of(site_key.derive("fleet: signing policies"))


def read_keys(folder: Path) -> dict[str, str]:
    """Returns the public keys of devices that are kept in the state folder, by their ids; none of another fleet."""
    try:
        found = state.read_document(folder / KEYS_FILE)
        return dict(found["keys"]) if found["fleet"] == fleet_id(folder) else {}
    except FileNotFoundError:
        return {}
    except (OSError, state.DamagedError, KeyError, TypeError, ValueError) as error:
        log.error("%s cannot be read: %s", folder / KEYS_FILE, error)
        return {}


def write_keys(folder: Path, keys: Mapping[str, str]) -> None:
    """Adds public keys of devices to those in the state folder, or puts them in their place. Raises OSError."""
    before = read_keys(folder)
    if (after := before | dict(keys)) != before:
        state.write_document(folder / KEYS_FILE, {"fleet": fleet_id(folder), "keys": after})


_POLICY = TypeAdapter(PublishedPolicy)
