"""The endpoints of invitations: a link is made for a person, who enrols with it, without a key."""

import hashlib
from dataclasses import dataclass

import bottle

from appliance.access.enrol import DuplicateError, Enrolled, NotThisPersonError, capture_from_photograph
from appliance.access.invitations import Invitation, Invitations, NoSuchInvitationError
from appliance.access.log import CONSENT, RecordError
from appliance.access.token import stamp
from appliance.api import answers
from appliance.api.access import ADMIN, ANYONE, NAME, Part, route
from appliance.api.answers import NO_STORE, Answer
from appliance.api.pages import catalogues, language_of
from appliance.api.people import People
from appliance.faults import Refusal, ResultCode
from appliance.gallery.people import Known, Source
from appliance.imaging import barcode
from appliance.state import audit_log as audit


@dataclass(frozen=True, slots=True)
class SelfEnrolment:
    """Each method answers bottle's current request, or raises a Fault or a GalleryError."""

    people: People
    invitations: Invitations
    consent: str
    """What a person agrees to; "": the pages' own text, in the language of the request."""

    @route("POST", "/people/<identity>/invitation", ADMIN, Part.GALLERY)
    def invite(self, identity: str) -> Answer:
        """A one-time link for a person's phone, and its QR code (SVG)."""
        person = self.people.handle.gallery().person(identity).person
        token, made = self.invitations.invite(person)
        audit.info("person %s: invited by key %s", person.reference, bottle.request.environ[NAME])
        at, base = bottle.request.urlparts, bottle.request.environ.get("SCRIPT_NAME", "").rstrip("/")
        link = f"{at.scheme}://{at.netloc}{base}/enrol/{token}"
        body = {"url": link, "expires": stamp(made.expires, "seconds"), "code": barcode.svg(link).decode()}
        return answers.answer({"invitation": body}, status=201, headers=NO_STORE)

    @route("DELETE", "/people/<identity>/invitation", ADMIN, Part.GALLERY)
    def withdraw(self, identity: str) -> Answer:
        """Ends the link of a person."""
        person = self.people.handle.gallery().person(identity).person
        self.invitations.withdraw(person)
        audit.info("person %s: invitation withdrawn by key %s", person.reference, bottle.request.environ[NAME])
        return answers.answer({}, headers=NO_STORE)

    @route("GET", "/enrol/<token>/invitation", ANYONE, Part.GALLERY)
    def show(self, token: str) -> Answer:
        """Who is invited, until when, and what they agree to."""
        found = self.invitations.find(token)
        body = {"name": self._known(found).person.name, "expires": stamp(found.expires, "seconds")}
        return answers.answer({"invitation": {**body, "consent": self._agreed()}}, headers=NO_STORE)

    @route("POST", "/enrol/<token>", ANYONE, Part.GALLERY)
    def enrol(self, token: str) -> Answer:
        """Enrols a photograph of the person who is invited, with `consent=1`; after that the link is not valid any more. Nor is
        it after a photo that matches another person: without a key, a link must not tell who is enrolled.
        """
        self._known(self.invitations.find(token))
        if bottle.request.query.get("consent") != "1":
            raise Refusal(ResultCode.INVALID_QUERY, "consent_required", "Without your consent nothing is stored.")
        with self.people.subjects.leased() as (engine, picture):
            portrait = capture_from_photograph(engine, picture, self.people.min_quality)
        recognition = self.people.handle.recognition()
        with self.invitations.used(token) as found:
            person = self._known(found).person
            self._note_consent(person.reference)
            enrolled: Enrolled | DuplicateError | NotThisPersonError
            try:
                enrolled = self.people.enrolment.enrol(recognition, person, portrait, Source.PHOTO)
            except (DuplicateError, NotThisPersonError) as error:
                enrolled = error
        if isinstance(enrolled, Refusal):
            other = f"like person {enrolled.person.reference}" if isinstance(enrolled, DuplicateError) else "different"
            audit.warning("person %s: invitation used up by a photo of a person who looks %s", person.reference, other)
            text = "This photo cannot be enrolled, and the link is used up: ask for another one."
            raise Refusal(ResultCode.REFUSED, "photo_refused", text, status=409) from enrolled
        self.people.changed(person, f"template {enrolled.template.number} enrolled (invitation)")
        return answers.answer({"quality": answers.quality(portrait.quality)}, status=201, headers=NO_STORE)

    def _known(self, found: Invitation) -> Known:
        """Raises NoSuchInvitationError for a person who has been erased."""
        known = self.people.handle.gallery().named(found.person)
        if known is None:
            raise NoSuchInvitationError("this person was erased")
        return known

    def _agreed(self) -> str:
        texts = catalogues()
        return self.consent or str(texts[language_of(bottle.request.environ, texts)]["invitation.consent"])

    def _note_consent(self, reference: str) -> None:
        digest = hashlib.sha256(self._agreed().encode()).hexdigest()
        try:
            self.people.record.append(CONSENT, {"person": reference, "text": digest})
        except RecordError as error:
            text = "Your consent cannot be recorded at the moment, so nothing is stored. Try again later."
            raise Refusal(ResultCode.NOT_READY, "record_unavailable", text, status=503) from error
