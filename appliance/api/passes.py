"""The endpoints of visitor passes: issued, listed, drawn as QR codes, and revoked."""

from dataclasses import dataclass
from typing import Annotated

import bottle
from pydantic import AwareDatetime, Field

from appliance.access.passes import PassBook, VisitorPass
from appliance.api import answers, intake
from appliance.api.access import ADMIN, NAME, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.intake import PostedFields
from appliance.imaging import barcode


class PassFields(PostedFields):
    """A pass to be issued, as access/passes.py takes it. Times are RFC 3339 with their offset."""

    name: str
    valid_from: Annotated[AwareDatetime, Field(strict=False)] | None = None
    valid_until: Annotated[AwareDatetime, Field(strict=False)]
    single_use: bool = False


@dataclass(frozen=True, slots=True)
class Passes:
    """Each method answers bottle's current request, or raises a Fault or a GalleryError."""

    book: PassBook

    @route("GET", "/access/passes", ADMIN, Part.DOOR)
    def all(self) -> Answer:
        """The visitor passes."""
        found = self.book.all()
        return answers.answer({"count": len(found), "passes": [each.document() for each in found]}, headers=NO_STORE)

    @route("POST", "/access/passes", ADMIN, Part.DOOR)
    def issue(self) -> Answer:
        """Issues a visitor pass, with the text of its QR code."""
        fields = intake.read_json(bottle.request.environ["wsgi.input"].read(), PassFields)
        return self._one(self.book.issue(**dict(fields), key=bottle.request.environ[NAME]), status=201)

    @route("GET", "/access/passes/<identity>", ADMIN, Part.DOOR)
    def show(self, identity: str) -> Answer:
        """A visitor pass, with the text of its QR code."""
        return self._one(self.book.one(identity))

    @route("DELETE", "/access/passes/<identity>", ADMIN, Part.DOOR)
    def revoke(self, identity: str) -> Answer:
        """Revokes a visitor pass."""
        return self._one(self.book.revoke(identity, bottle.request.environ[NAME]))

    @route("GET", "/access/passes/<identity>/code.png", ADMIN, Part.DOOR)
    def png(self, identity: str) -> Answer:
        """The QR code of a visitor pass as PNG."""
        return Answer(barcode.png(self._code(identity)), headers={"Content-Type": "image/png", **NO_STORE})

    @route("GET", "/access/passes/<identity>/code.svg", ADMIN, Part.DOOR)
    def svg(self, identity: str) -> Answer:
        """The QR code of a visitor pass as SVG."""
        return Answer(barcode.svg(self._code(identity)), headers={"Content-Type": "image/svg+xml", **NO_STORE})

    def _code(self, identity: str) -> str:
        return self.book.code(self.book.one(identity))

    def _one(self, found: VisitorPass, status: int = 200) -> Answer:
        body = {"pass": found.document(), "code": self.book.code(found)}
        return answers.answer(body, status=status, headers=NO_STORE)
