"""`appliance passes`: visitor passes, with or without a running service. Each raises GalleryError or OSError."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from appliance import state
from appliance.access.log import RECORD_FILE, Record
from appliance.access.passes import PASSES_FILE, PassBook, VisitorPass
from appliance.cli.gallery import site_key
from appliance.config import Config
from appliance.gallery.people import GalleryError
from appliance.imaging import barcode

BY = "-"
"""In the record, in the place of the name of a key."""


def add_pass(options: argparse.Namespace, settings: Config) -> int:
    """Issues a pass, prints its id, and writes its QR code to a file."""
    begin = (options.begin or datetime.now(UTC)).astimezone(UTC)
    end = options.until.astimezone(UTC) if options.until else begin + timedelta(hours=options.hours)
    with options.code.open("xb") as file:  # with the caller's own rights, and before there is a pass
        try:
            with opened_passes(settings) as book:
                issued = book.issue(options.name, begin, end, single_use=options.single_use, key=BY)
                text = book.code(issued)
        except GalleryError:
            options.code.unlink()
            raise
        file.write(barcode.svg(text) if options.code.suffix.lower() == ".svg" else barcode.png(text))
    print(issued.id)
    return 0


def list_passes(options: argparse.Namespace, settings: Config) -> int:
    """Prints the passes in the order of their end."""
    with opened_passes(settings) as book:
        found = book.all()
    if options.json:
        print(json.dumps({"count": len(found), "passes": [each.document() for each in found]}, ensure_ascii=False))
    else:
        print("\n".join(map(_line, found)) or "no passes")
    return 0


def revoke_pass(options: argparse.Namespace, settings: Config) -> int:
    """Revokes a pass."""
    with opened_passes(settings) as book:
        book.revoke(options.id, BY)
    print(f"{options.id} is revoked", file=sys.stderr)
    return 0


@contextmanager
def opened_passes(settings: Config) -> Iterator[PassBook]:
    """The passes of this device. Inside, root has the rights of the state folder's owner."""
    folder, key = state.folder(settings.state.folder), site_key(settings)
    with state.as_owner(folder):
        yield PassBook(folder / PASSES_FILE, lambda: key, Record(folder / RECORD_FILE))


def _line(found: VisitorPass) -> str:
    begin, end = (each.astimezone().strftime("%Y-%m-%d %H:%M") for each in (found.valid_from, found.valid_until))
    marks = [
        *["single use"] * found.single_use,
        *[f"used {found.used.astimezone():%Y-%m-%d %H:%M}" for _ in [0] if found.used],
        *["revoked"] * bool(found.revoked),
    ]
    return f"{found.id}  {begin} to {end}  {found.name:<24} {', '.join(marks)}".rstrip()
