"""People into an archive, and out of one: all of it, or nothing."""

import getpass
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance import __version__, state
from appliance.cli import gallery as place
from appliance.config import Config
from appliance.gallery import backup
from appliance.gallery.backup import ArchiveError, Count, Label, Opened
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryDamagedError, ImportResult, NoKeyError, OnConflict, PersonExport

PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Restored:
    """Who is here now; `key` is that of a gallery which had to begin anew, for the one before was of no use."""

    label: Label
    count: Count
    key: Path | None


def write(settings: Config, file: Path, passphrase: str, people: Sequence[str] | None, *, whole: bool) -> Count:
    """Puts people, by their ids, or everybody (None) into a new archive; `whole` is the label of a backup. Raises GalleryError,
    OSError. When something cannot be read, or nobody is there, an archive that is there already stays as it is.
    """
    if not file.parent.is_dir():
        raise ArchiveError(f"{file.parent}: there is no such folder")
    with state.replacing(file, PRIVATE) as written, place.opened(settings, make=False) as gallery:
        tally = _Tally(gallery, people)
        label = Label(whole, datetime.now(UTC), __version__, gallery.embedder())
        for piece in backup.sealed(backup.packed(label, tally.exports()), passphrase):
            written.write(piece)
        problem = gallery.problem()
        lost = problem if isinstance(problem, GalleryDamagedError) else None
        if tally.lost and lost is None:
            lost = GalleryDamagedError(f"{tally.lost} templates are lost, or were erased meanwhile")
        if lost is not None and file.exists():
            raise GalleryDamagedError(f"{file} is left as it was: {lost}. What can still be read goes into a new file")
    if lost is not None:
        raise GalleryDamagedError(f"{file} holds what can still be read: {tally.count}; {lost}")
    return tally.count


def restore(settings: Config, file: Path, passphrase: str) -> Restored:
    """Puts the people of a backup in the place of all who are here, be it that their gallery is damaged or its key is lost.
    Raises GalleryError, OSError; nothing is different then.
    """
    with _read(file, passphrase) as (opened, label, count):
        if not label.whole:
            raise ArchiveError(
                f"this is an export of {count}, not a backup: `appliance people import` takes them in beside those who are here"
            )
        try:
            with place.opened(settings) as gallery:
                gallery.replace(_people(opened))
        except (GalleryDamagedError, NoKeyError):
            return Restored(label, count, place.begun_anew(settings, _people(opened)))
    return Restored(label, count, None)


def merge(settings: Config, file: Path, passphrase: str, on_conflict: OnConflict) -> ImportResult:
    """Takes the people of an archive in beside those who are here. Raises GalleryError, OSError."""
    with _read(file, passphrase) as (opened, _, _), place.opened(settings) as gallery:
        return gallery.merge(_people(opened), on_conflict)


@contextmanager
def _read(file: Path, passphrase: str) -> Iterator[tuple[Opened, Label, Count]]:
    """An archive that was read to its end, so that nothing about it is a surprise any more."""
    with file.open("rb") as source:
        opened = Opened(source, passphrase)
        label, people = backup.unpacked(opened.content())
        yield opened, label, backup.counted(people)


def _people(opened: Opened) -> Iterable[PersonExport]:
    return backup.unpacked(opened.content())[1]


class _Tally:
    """People on their way out, counted; `lost` are templates that were there and could not be read."""

    def __init__(self, gallery: Gallery, people: Sequence[str] | None) -> None:
        self._gallery = gallery
        self._known = {known.person.id: len(known.templates) for known in gallery.people()}
        self._wanted = None if people is None else {gallery.person(each).person.id for each in people}
        self.count, self.lost = Count(0, 0), 0

    def exports(self) -> Iterator[PersonExport]:
        for export in self._gallery.export():
            if self._wanted is None or export.person.id in self._wanted:
                templates = len(export.templates)
                self.count = Count(self.count.people + 1, self.count.templates + templates)
                self.lost += self._known[export.person.id] - templates
                yield export


CREDENTIAL = "archive-passphrase"
"""Its name among systemd's credentials (systemd.exec(5), LoadCredential=)."""


def of_new(file: Path | None) -> str:
    """That of an archive which is to be made; asked for twice. Raises ArchiveError when it is too short, OSError."""
    passphrase = _kept(file)
    if passphrase is None:
        passphrase = _asked("Passphrase of the new archive: ")
        if _asked("The same again: ") != passphrase:
            raise ArchiveError("the two are not the same")
    backup.check_passphrase(passphrase)
    return passphrase


def of_old(file: Path | None) -> str:
    """That of an archive which is there. Raises ArchiveError, OSError."""
    passphrase = _kept(file)
    return _asked("Passphrase of the archive: ") if passphrase is None else passphrase


def _kept(file: Path | None) -> str | None:
    """The first line of the file, else of systemd's credential; None without either."""
    if file is None and (folder := os.environ.get("CREDENTIALS_DIRECTORY")):
        credential = Path(folder) / CREDENTIAL
        file = credential if credential.exists() else None
    if file is None:
        return None
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{file}: a passphrase is text in UTF-8") from error
    return lines[0] if lines else ""


def _asked(question: str) -> str:
    if not sys.stdin.isatty():
        raise ArchiveError(
            f"there is nobody to ask for the passphrase: --passphrase-file FILE, or the credential {CREDENTIAL}"
        )
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise ArchiveError("no passphrase was given") from error
