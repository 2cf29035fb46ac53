"""`appliance people export`, `import`, `backup` and `restore`: each succeeds completely or changes nothing."""

import argparse
import getpass
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from appliance import __version__, state
from appliance.access.identify import Likeness
from appliance.cli import batch
from appliance.cli.gallery import opened, replace_unusable
from appliance.cli.people import recognition_of
from appliance.config import Config
from appliance.gallery import backup
from appliance.gallery.backup import ArchiveError, Count, Label, Opened
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import GalleryDamagedError, NoKeyError, OnConflict, PersonExport
from appliance.vision import loading
from appliance.vision.manifest import ModelStore

PRIVATE = 0o600

CREDENTIAL = "archive-passphrase"
"""Its name among systemd's credentials."""


def export(options: argparse.Namespace, settings: Config) -> int:
    """Writes people by id, or all, to an archive or a table. If some cannot be read, an existing archive is not replaced.
    Raises GalleryError, OSError.
    """
    if options.csv:
        return batch.export_table(options, settings)
    file = options.file
    state.require_folder(file)
    secret = new_passphrase(options.passphrase_file)
    with state.replacing(file, PRIVATE) as written, opened(settings) as gallery:
        counter = _Counter(gallery, options.ids)
        label = Label(options.action == "backup", datetime.now(UTC), __version__, gallery.embedder())
        for piece in backup.sealed(backup.packed(label, counter.exports()), secret):
            written.write(piece)
        problem = gallery.problem()
        lost = problem if isinstance(problem, GalleryDamagedError) else None
        if counter.lost and lost is None:
            lost = GalleryDamagedError(f"{counter.lost} templates are lost, or were erased meanwhile")
        if lost is not None and file.exists():
            raise GalleryDamagedError(f"{file} is unchanged: {lost}. Name a new file for what can still be read")
    if lost is not None:
        raise GalleryDamagedError(f"{file} holds what can still be read: {counter.count}; {lost}")
    print(f"{file}: {counter.count}; it cannot be read without the passphrase", file=sys.stderr)
    return 0


def import_people(options: argparse.Namespace, settings: Config) -> int:
    """Adds the people of a table with photos, or of an archive, and then warns of those who look like others. Raises
    GalleryError, OSError, ModelError.
    """
    on_conflict = OnConflict.REPLACE if options.replace else OnConflict.SKIP if options.skip else OnConflict.REFUSE
    if options.csv:
        return batch.import_table(options, settings, on_conflict)
    if options.file is None or options.dry_run or options.partial:
        print("import: FILE, or --csv TABLE with --dry-run and --partial", file=sys.stderr)
        return 2
    with options.file.open("rb") as file:
        if file.read(len(backup.MAGIC)) != backup.MAGIC:
            raise ArchiveError(
                f"{options.file} is not an archive of an appliance; a table with photos needs --csv TABLE"
            )
    secret = passphrase(options.passphrase_file)
    with _read(options.file, secret) as (archive, _, _), opened(settings, create=True) as gallery:
        merged = gallery.merge(_people(archive), on_conflict)
        warnings = _likenesses(gallery, settings, {*merged.added, *merged.replaced})
    for warning in warnings:
        print(warning, file=sys.stderr)
    for what, ids in (("added", merged.added), ("replaced", merged.replaced), ("unchanged", merged.skipped)):
        if ids:
            print(f"{what}: {' '.join(ids)}")
    return 0


def restore(options: argparse.Namespace, settings: Config) -> int:
    """Replaces all people by those of a backup, even if the gallery is damaged or has no key. Raises GalleryError, OSError."""
    with _read(options.file, passphrase(options.passphrase_file)) as (archive, label, count):
        if not label.whole:
            raise ArchiveError(
                f"this is an export of {count}, not a backup: `appliance people import` adds them to this device"
            )
        try:
            with opened(settings, create=True) as gallery:
                gallery.replace(_people(archive))
        except (GalleryDamagedError, NoKeyError):
            key = replace_unusable(settings, _people(archive))
            print(
                f"the gallery on this device was unusable; there is a new one, sealed with {key}: restart the device",
                file=sys.stderr,
            )
    print(
        f"{count} of {label.made.astimezone():%Y-%m-%d %H:%M} have replaced all people on this device", file=sys.stderr
    )
    return 0


def new_passphrase(file: Path | None) -> str:
    """The passphrase of a new archive; asked for twice. Raises ArchiveError if it is too short, OSError."""
    found = _kept_passphrase(file)
    if found is None:
        found = _ask("Passphrase of the new archive: ")
        if _ask("Repeat the passphrase: ") != found:
            raise ArchiveError("the two passphrases differ")
    backup.check_passphrase(found)
    return found


def passphrase(file: Path | None) -> str:
    """The passphrase of an existing archive. Raises ArchiveError, OSError."""
    found = _kept_passphrase(file)
    return _ask("Passphrase of the archive: ") if found is None else found


@contextmanager
def _read(file: Path, secret: str) -> Iterator[tuple[Opened, Label, Count]]:
    """An archive that was read to its end, so that every error in it has been found. Raises ArchiveError, OSError."""
    with file.open("rb") as source:
        archive = Opened(source, secret)
        label, people = backup.unpacked(archive.content())
        yield archive, label, backup.counted(people)


def _likenesses(gallery: Gallery, settings: Config, imported: Collection[str]) -> list[str]:
    """A line for each imported person who looks like another, by the rules of enrolment."""
    model = gallery.embedder()
    ways = loading.listed_comparators(ModelStore.open(settings.engine.folder), settings.engine.recognition)
    if ways.fast.model != model:
        return (
            ["duplicates were not looked for: the embedder that made these templates is not installed"] if model else []
        )
    identifier = recognition_of(gallery, settings, ways).identifier
    found: dict[tuple[str, str], str] = {}
    for export in (each for each in gallery.export() if each.person.id in imported):
        for template in export.templates:
            for person, kind in identifier.alike(template.embedding, but=export.person):
                pair = (export.person.id, person.id)
                if kind is Likeness.DUPLICATE or pair not in found:
                    found[pair] = kind
    return [
        f"{one}: {kind} of {other}" for (one, other), kind in found.items() if (other, one) not in found or one < other
    ]


def _people(archive: Opened) -> Iterable[PersonExport]:
    return backup.unpacked(archive.content())[1]


class _Counter:
    """Counts people while they are written; `lost` are templates of the gallery that could not be read."""

    def __init__(self, gallery: Gallery, people: Sequence[str]) -> None:
        self._gallery = gallery
        self._known = {known.person.id: len(known.templates) for known in gallery.people()}
        self._wanted = {gallery.person(each).person.id for each in people} or self._known.keys()
        self.count, self.lost = Count(0, 0), 0

    def exports(self) -> Iterator[PersonExport]:
        for each in self._gallery.export():
            if each.person.id in self._wanted:
                templates = len(each.templates)
                self.count = Count(self.count.people + 1, self.count.templates + templates)
                self.lost += self._known[each.person.id] - templates
                yield each


def _kept_passphrase(file: Path | None) -> str | None:
    """The first line of the file, or of systemd's credential; None without either."""
    file = file or state.credential(CREDENTIAL)
    if file is None:
        return None
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{file} is not UTF-8 text") from error
    return lines[0] if lines else ""


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise ArchiveError(
            f"standard input is no terminal to ask for the passphrase: --passphrase-file FILE, or the credential {CREDENTIAL}"
        )
    try:
        return getpass.getpass(question)
    except EOFError as error:
        raise ArchiveError("no passphrase was entered") from error
