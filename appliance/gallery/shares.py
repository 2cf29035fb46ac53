"""What the devices of a site know of a person together, and by what two devices see that they have the same person."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import TypeAdapter

from appliance.gallery import records
from appliance.gallery.people import Person, Template
from appliance.gallery.pin import StoredPin


@dataclass(frozen=True, slots=True)
class Share:
    """A version of a person in the fleet: `revision` counts their changes (0: never shared), `digest` is the fingerprint of
    their content and `reference` theirs; both are empty once they are erased. `erased` are the references of people who were
    erased under this id, which are never accepted again. `held` says why this device keeps another person than the fleet,
    `unshared` that the fleet does not have this version yet, and `sent` is the reference of a person who was sent to the
    servers, which may have stored them.
    """

    revision: int = 0
    digest: str = ""
    reference: str = ""
    erased: tuple[str, ...] = ()
    held: str = field(default="", compare=False)
    unshared: bool = field(default=False, compare=False)
    sent: str = field(default="", compare=False)

    def buried(self, reference: str) -> Self:
        """Returns the version in which the person with this reference is erased."""
        erased = tuple(sorted({*self.erased, reference}))
        return replace(self, revision=self.revision + 1, digest="", reference="", erased=erased, held="", unshared=True)

    def restored(self) -> Self:
        """Returns what is still certain after all people were replaced by those of a backup: who is erased."""
        return replace(self, revision=0, digest="", reference="", held="") if self.reference else self


SHARE = TypeAdapter(Share)
"""The row of a share."""


def fingerprint(person: Person, templates: Iterable[Template], pin: StoredPin | None) -> str:
    """Returns the SHA-256, in hexadecimal, of a person's description, templates and PIN: the same on each device that has
    them, whatever their reference, the numbers of their templates and the kept pictures. Fields without a value do not count,
    so that a later program with more of them finds the same.
    """
    described = records.PERSON.dump_json(person, exclude={"reference", "created"}, exclude_none=True)
    parts = (described, *sorted(map(identifying, templates)), pin.pack() if pin else b"")
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


def identifying(template: Template) -> bytes:
    """Returns what tells a template from others on any device: its embedders, quality, source and time."""
    return records.template_head(template) + bytes.fromhex(template.strong or "")
