"""The endpoints of the fleet: its devices, where people are known, and codes with which devices join."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import bottle

from appliance.access.identify import GalleryHandle
from appliance.access.token import stamp
from appliance.api import answers
from appliance.api.access import ADMIN, NAME, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.people import listed
from appliance.faults import Refusal, ReportedError, ResultCode
from appliance.imaging import barcode
from appliance.state import audit_log as audit

SHOWN = 100
"""People on a page unless `limit` says otherwise."""

INVITED_MINUTES = 15
"""How long a code is valid."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Answers bottle's current request, or raises a Fault or a GalleryError."""

    handle: GalleryHandle
    overview: Callable[[Sequence[str]], dict[str, Any]]
    """Returns the devices of the fleet, and where the people with these ids are known."""
    code: Callable[[float], str | None]
    """Returns a code with which a device can join within so many minutes; None without a fleet. Raises ReportedError."""

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

    @route("POST", "/fleet/invitation", ADMIN, Part.GALLERY)
    def invite(self) -> Answer:
        """A code with which one device can join, once, and its QR code (SVG). It contains the keys of the fleet."""
        expires = datetime.now(UTC) + timedelta(minutes=INVITED_MINUTES)
        try:
            text = self.code(INVITED_MINUTES)
        except ReportedError as error:
            text = f"No code was made: {error}."
            raise Refusal(
                ResultCode.NOT_READY, "fleet_unreachable", text, status=503
            ) from None  # no fault of this program
        if text is None:
            raise Refusal(ResultCode.REFUSED, "no_fleet", "This device is not in a fleet.", status=409)
        audit.info("fleet: a device invited by key %s", bottle.request.environ[NAME])
        body = {"text": text, "expires": stamp(expires, "seconds"), "minutes": INVITED_MINUTES}
        return answers.answer(
            {"invitation": {**body, "code": barcode.svg(text).decode()}}, status=201, headers=NO_STORE
        )
