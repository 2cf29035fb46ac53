"""PINs as they are typed at the door: compared within the bounds on guesses, which are counted before they are compared."""

import logging
from pathlib import Path

from appliance import state
from appliance.access.factors import Given, PinCheck
from appliance.access.guesses import Guesses
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import Person
from appliance.gallery.pin import NO_PIN, PinMatch, StoredPin

log = logging.getLogger(__name__)

GUESSES_FILE = "pin-guesses.json"


class PinChecker:
    """Compares typed PINs. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        """`path`: the file that keeps the counts of guesses."""
        self._path = path
        self._guesses: Guesses | None = None

    def of_person(self, gallery: Gallery, person: Person, typed: str) -> Given:
        """What becomes of a PIN that a recognised person has typed."""
        stored = gallery.pin(person.reference)
        if stored is None:
            return Given(PinCheck.UNSET)
        check, duress = self._checked(gallery, stored, _key(gallery, stored), typed, recognised=True)
        return Given(check, duress=duress)

    def of_id(self, gallery: Gallery, person: Person | None, identity: str, typed: str) -> Given:
        """What becomes of an id and a PIN; `person` has this id, and may do without the face. It is the same, and takes as
        long, whether the person does not exist (None), has no PIN, or has another one.
        """
        stored = None if person is None else gallery.pin(person.reference)
        key = gallery.tag("id of no PIN", identity) if stored is None else _key(gallery, stored)
        check, duress = self._checked(gallery, stored or NO_PIN, key, typed, recognised=False)
        return Given(check, person if check is PinCheck.RIGHT else None, duress)

    def _checked(
        self, gallery: Gallery, stored: StoredPin, key: str, typed: str, *, recognised: bool
    ) -> tuple[PinCheck, bool]:
        """The result, and whether the PIN is the one for duress."""
        guesses = self._guesses = self._guesses or self._kept(gallery)
        if guesses.wait(key, recognised=recognised):
            return PinCheck.SLOWED, False
        guesses.begin(key, recognised=recognised)
        if not self._keep(guesses):
            return PinCheck.UNCOUNTED, False
        match = stored.match(typed)
        if match is PinMatch.NONE:
            return PinCheck.WRONG, False
        guesses.succeed(key, recognised=recognised)
        self._keep(guesses)
        return PinCheck.RIGHT, match is PinMatch.DURESS

    def _kept(self, gallery: Gallery) -> Guesses:
        """The counts of the last run, of the PINs that are still set."""
        guesses = Guesses()
        try:
            document = state.read_document(self._path)
            guesses.load(document, {_key(gallery, pin) for pin in gallery.snapshot.pins.values()})
        except FileNotFoundError:
            pass
        except (OSError, state.DamagedError, ValueError, TypeError, KeyError) as error:
            log.error("%s: the counts of wrong PINs begin anew: %s", self._path, error)
        return guesses

    def _keep(self, guesses: Guesses) -> bool:
        try:
            state.write_document(self._path, guesses.document())
        except OSError as error:
            log.error("%s: wrong PINs cannot be counted, so no PIN is compared: %s", self._path, error.strerror)
            return False
        return True


def _key(gallery: Gallery, pin: StoredPin) -> str:
    """What stands for a PIN in the counts, which begin anew with another one."""
    return gallery.tag("PIN", pin.salt.hex())
