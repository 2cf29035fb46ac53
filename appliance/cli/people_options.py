"""What `appliance people` can be told."""

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path

from appliance.gallery.people import GROUP

NEVER = "never"
"""Said instead of a day: that there is none."""

_Adds = Callable[[str, str], argparse.ArgumentParser]
"""Adds an act, given its name and what it does."""


def add_people(add: _Adds) -> None:
    """All acts of `appliance people`."""
    _add_persons(add)
    _add_templates(add)
    _add_archives(add)


def _add_persons(add: _Adds) -> None:
    listing = add("list", "List who is known.")
    listing.add_argument("--json", action="store_true", help="as GET /people answers")
    show = add("show", "Show a person and their templates.")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="as GET /people/ID answers")
    new = add("add", "Make somebody known; enrol their pictures then.")
    new.add_argument("id", metavar="ID", help="theirs in other systems: a staff number, say")
    new.add_argument("--name", required=True, help="for people to read")
    _add_words(new)
    change = add("change", "Change what is said of a person; what is not named stays.")
    change.add_argument("id", metavar="ID")
    change.add_argument("--name", default=argparse.SUPPRESS, help="for people to read")
    _add_words(change)
    erase = add("erase", "Erase people with all their templates, and print the receipts.")
    erase.add_argument("ids", nargs="*", metavar="ID")
    erase.add_argument("--all", action="store_true", help="everybody")
    erase.add_argument("--yes", action="store_true", help="without asking again")


def _add_words(either: argparse.ArgumentParser) -> None:
    either.add_argument(
        "--groups", type=_groups, default=argparse.SUPPRESS, metavar="A,B", help='for schedules; "" for none'
    )
    for option, what in (("--valid-from", "the first day"), ("--valid-until", "the last day")):
        either.add_argument(
            option,
            type=_day,
            default=argparse.SUPPRESS,
            metavar="DAY",
            help=f"{what} on which they may pass, as 2026-12-31; or {NEVER}, which is no limit",
        )


def _add_templates(add: _Adds) -> None:
    enrol = add("enrol", "Enrol a person with photos, on which they are the one who counts.")
    enrol.add_argument("id", metavar="ID")
    enrol.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    enrol.add_argument(
        "--allow-duplicate", action="store_true", help="even when somebody else who is known looks the same"
    )
    enrol.add_argument(
        "--allow-mismatch", action="store_true", help="even when the person's other templates look different"
    )
    forget = add("forget", "Erase a template of a person.")
    forget.add_argument("id", metavar="ID")
    forget.add_argument("number", type=int, metavar="NUMBER", help="as `show` tells it")
    add("rotate", "Turn all templates by a new secret matrix: copies of the old ones are of no use any more.")


def _add_archives(add: _Adds) -> None:
    export = add("export", "Write people into an encrypted archive, for another device.")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("ids", nargs="*", metavar="ID", help="without: everybody")
    merge = add("import", "Take in the people of an archive beside those who are here, all or none.")
    merge.add_argument("file", type=Path, metavar="FILE")
    conflict = merge.add_mutually_exclusive_group()
    conflict.add_argument("--replace", action="store_true", help="whoever is here already is replaced")
    conflict.add_argument("--skip", action="store_true", help="whoever is here already stays as they are")
    backup = add("backup", "Write everybody into an encrypted archive.")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = add("restore", "Put everybody of a backup in the place of everybody here, or change nothing.")
    restore.add_argument("file", type=Path, metavar="FILE")
    for each in (export, merge, backup, restore):
        each.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="its first line is the passphrase; without: it is asked for",
        )


def _groups(text: str) -> tuple[str, ...]:
    groups = tuple(text.split(",")) if text else ()
    if not all(GROUP.fullmatch(group) for group in groups):
        raise argparse.ArgumentTypeError("groups are letters, digits, '.', '_' and '-', separated by commas")
    return groups


def _day(text: str) -> date | None:
    if text == NEVER:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"a day is written like 2026-12-31, or {NEVER}") from error
