"""People and decisions as CSV tables: `appliance people import --csv`, `people export --csv`, `decisions export`."""

import argparse
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields, replace
from pathlib import Path

from appliance import state
from appliance.access.batch import Batch, PhotoReader, RowResult, RowState, refused, settled
from appliance.access.enrol import capture_from_photograph
from appliance.cli.gallery import opened
from appliance.cli.people import advice, recognition_of
from appliance.cli.photos import chosen_engine, progress
from appliance.config import Config
from appliance.faults import Refusal
from appliance.gallery.people import OnConflict, TemplateExport, matching
from appliance.gallery.table import InvalidRow, PersonRow, TableError, people_table, read_people, table
from appliance.imaging.archive import Photos
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.embedder import Comparators
from appliance.vision.engine import Portrait

PRIVATE = 0o600

LARGEST_PHOTO = 64 * 2**20
"""Bytes of a photo in a zip, inflated."""

Rows = Sequence[PersonRow | InvalidRow]


def import_table(options: argparse.Namespace, settings: Config, on_conflict: OnConflict) -> int:
    """Imports the people of a table with their photos, after a dry run in which no row was refused, and prints what became of
    each row as CSV; the exit status: 1 if one is refused. Raises TableError, GalleryError, OSError, Fault.
    """
    if zipfile.is_zipfile(options.csv):
        raise TableError(f"--csv {options.csv} is a zip: import {options.csv} --csv TABLE")
    try:
        rows = read_people(options.csv.read_bytes())
    except TableError as error:
        raise TableError(f"{options.csv}: {error}") from error
    with _photos(options.file) as photos:
        with opened(settings, create=True) as gallery:
            early = {row.number: settled(gallery, row, on_conflict) for row in rows}
        waiting = [row for row in rows if isinstance(row, PersonRow) and early[row.number] is None]
        known = {number: result for number, result in early.items() if result}
        if not waiting:
            return _reported([known[row.number] for row in rows])
        ways, reader = _reader(settings, photos)
        templates: dict[int, tuple[TemplateExport, ...]] = {}
        for row in progress(waiting, "reading photos"):  # with the caller's own rights
            try:
                strong = ways.strong_model
                templates[row.number] = reader.templates(
                    row, ways.fast.model, strong, pictures=settings.gallery.pictures
                )
            except Refusal as refusal:
                known[row.number] = _refused(row, refusal)
    with opened(settings) as gallery:
        recognition = recognition_of(gallery, settings, ways)
        tried = list(_concluded(Batch(recognition, on_conflict, dry_run=True), rows, known, templates))
        if options.dry_run or (not options.partial and any(each.result is RowState.REFUSED for each in tried)):
            status = _reported(tried, tense="would be ")
            print("nothing was imported" if options.dry_run else NOTHING, file=sys.stderr)
            return status
        return _reported(_concluded(Batch(recognition, on_conflict, dry_run=False), rows, known, templates))


NOTHING = "nothing was imported, because rows are refused: --partial imports the others"


def _concluded(
    batch: Batch, rows: Rows, known: Mapping[int, RowResult], templates: Mapping[int, tuple[TemplateExport, ...]]
) -> Iterator[RowResult]:
    for row in rows:
        if isinstance(row, PersonRow) and row.number in templates:
            yield batch.conclude(row, templates[row.number])
        else:
            yield known[row.number]


def _refused(row: PersonRow, refusal: Refusal) -> RowResult:
    result = refused(row, refusal)
    if "faces" not in refusal.facts:
        return result
    return replace(result, text=f"{advice(refusal)} of appliance people enrol {row.person.id}; or cut the others off")


def _reported(results: Iterable[RowResult], tense: str = "") -> int:
    """Prints results as they come; the exit status. `tense` is put before what changes the gallery."""
    counts: Counter[str] = Counter()

    def rows() -> Iterator[Sequence[object]]:
        for each in results:
            result = f"{tense}{each.result}" if each.changed else str(each.result)
            counts[result] += 1
            row, identity, _, *others = astuple(each)
            yield row, identity, result, *others

    _print(table([field.name for field in fields(RowResult)], rows(), piece=1))
    print(", ".join(f"{count} {result}" for result, count in counts.items()) or "no rows", file=sys.stderr)
    return 1 if counts[RowState.REFUSED] else 0


def export_table(options: argparse.Namespace, settings: Config) -> int:
    """Writes people to a table, by id or all. Raises GalleryError, OSError."""
    with opened(settings) as gallery:
        people = [gallery.person(each) for each in options.ids] or gallery.people()
        content = list(people_table(matching(people, options.query)))
    return write(options.file, content)


def write(file: Path, content: Iterable[bytes]) -> int:
    """Writes a table to a file, which it replaces, or to standard output, which is called "-". Raises OSError."""
    if str(file) == "-":
        _print(content)
        return 0
    with state.replacing(file, PRIVATE) as written:
        for piece in content:
            written.write(piece)
    return 0


def _print(content: Iterable[bytes]) -> None:
    for piece in content:
        print(piece.decode("utf-8-sig"), end="", flush=True)


@contextmanager
def _photos(source: Path | None) -> Iterator[Photos]:
    if source is None:
        yield Photos()
    elif source.is_dir():
        yield Photos.in_folder(source)
    else:
        if not zipfile.is_zipfile(source) and source.exists():
            raise TableError(f"{source} is neither a zip nor a folder of photos")
        with source.open("rb") as file:
            yield Photos.zipped(file, LARGEST_PHOTO)


def _reader(settings: Config, photos: Photos) -> tuple[Comparators, PhotoReader]:
    choice, engine = chosen_engine(settings)
    max_pixels, least = int(settings.server.max_megapixels * 1e6), settings.gallery.min_quality

    def portray(content: bytes) -> Portrait:
        return capture_from_photograph(engine, EncodedPicture(content, max_pixels), least)

    return loading.comparators(choice), PhotoReader(photos, portray)
