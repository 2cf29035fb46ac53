"""The endpoint of the fleet: its devices, and where people are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.access.identify import GalleryHandle
from appliance.api import answers
from appliance.api.access import ADMIN, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.people import listed

SHOWN = 100
"""People on a page unless `limit` says otherwise."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Answers bottle's current request, or raises a Fault or a GalleryError."""

    handle: GalleryHandle
    overview: Callable[[Sequence[str]], dict[str, Any]]
    """Returns the devices of the fleet, and where the people with these ids are known."""

    @route("GET", "/fleet.json", ADMIN, Part.GALLERY)
    def show(self) -> Answer:
        """The devices of the fleet, and which of them do not know a person yet; the people are chosen as in `GET /people`."""
        found, page = listed(self.handle, SHOWN)
        overview = self.overview([known.person.id for known in found])
        places = overview["people"]
        people = [
            {"id": known.person.id, "name": known.person.name, **places[known.person.id]}
            for known in found
            if known.person.id in places
        ]
        return answers.answer({**overview, **page, "people": people}, headers=NO_STORE)
