"""Invitations: one-time links by which people enrol themselves with a photograph of their own."""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, TypeAdapter

from appliance.access.sealed_book import SealedBook
from appliance.faults import Fault, Refusal, ResultCode
from appliance.gallery.people import GalleryError, Person
from appliance.gallery.vault import SiteKey

INVITATIONS_FILE = "invitations.sealed"

LIFE = timedelta(hours=24)

TOKEN_BYTES = 32

MOST = 1000
"""Open invitations at most; those that have ended make room."""


class NoSuchInvitationError(GalleryError):
    """The link is unknown, used, withdrawn or too old; which of these is not said."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """For the person with this reference, until `expires`."""

    person: str
    expires: AwareDatetime


class Invitations:
    """The open invitations by the SHA-256 of their token, which is kept nowhere. Thread-safe. Raises GalleryError as
    `SealedBook`.
    """

    def __init__(self, folder: Path, site_key: Callable[[], SiteKey]) -> None:
        """`folder` is that of the state."""
        kind = TypeAdapter(dict[str, Invitation])
        self._book = SealedBook(folder / INVITATIONS_FILE, site_key, kind, "invite the people again")

    def invite(self, person: Person) -> tuple[str, Invitation]:
        """The token of a new invitation, which replaces an earlier one of this person, and the invitation. Raises Refusal
        `too_many_invitations`.
        """
        now, token = datetime.now(UTC).replace(microsecond=0), secrets.token_urlsafe(TOKEN_BYTES)
        made = Invitation(person.reference, now + LIFE)
        with self._book.opened() as book:
            for digest, each in list(book.items()):
                if each.expires <= now or each.person == person.reference:
                    del book[digest]
            if len(book) >= MOST:
                text = f"There are {MOST} open invitations already."
                raise Refusal(ResultCode.REFUSED, "too_many_invitations", text, status=409)
            book[_digest(token)] = made
        return token, made

    def withdraw(self, person: Person) -> None:
        """Ends a person's invitation. Raises NoSuchInvitationError."""
        with self._book.opened() as book:
            found = [digest for digest, each in book.items() if each.person == person.reference]
            if not found:
                raise NoSuchInvitationError("this person is not invited")
            for digest in found:
                del book[digest]

    def find(self, token: str) -> Invitation:
        """The open invitation with this token. Raises NoSuchInvitationError."""
        with self._book.opened(writing=False) as book:
            return _open(book, token)

    def open(self, token: str) -> bool:
        """Whether there is an open invitation with this token; not while the gallery cannot be used."""
        try:
            return bool(self.find(token))
        except (Fault, GalleryError):
            return False

    @contextmanager
    def used(self, token: str) -> Iterator[Invitation]:
        """The same, used up before the block, so that it works once whatever happens; it is open again if the block raises."""
        with self._book.opened() as book:
            found = _open(book, token)
            del book[_digest(token)]
        done = False
        try:
            yield found
            done = True
        finally:
            if not done:
                with self._book.opened() as book:
                    if all(each.person != found.person for each in book.values()):
                        book[_digest(token)] = found


def _open(book: Mapping[str, Invitation], token: str) -> Invitation:
    found = book.get(_digest(token))
    if found is None or found.expires <= datetime.now(UTC):
        raise NoSuchInvitationError("there is no open invitation with this token")
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
