"""The commands and their options. No command is imported here, so that help and wrong usage are answered at once."""

import argparse
import os
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.keys import Scope

Run = str | Callable[[argparse.Namespace, Any], int]
"""What a command runs with its options and the configuration: a function, or "module:function" below appliance.cli."""

Add = Callable[[str, Run, str], argparse.ArgumentParser]
"""Adds a command by its name, what it runs and a summary."""

COMMANDS = "appliance.commands"
"""Entry points by which other distributions add commands: functions that take an Add."""

LAB = ("evaluate", "bench")
"""Commands of scripts/lab, which is not part of a device."""

LAB_MISSING = (
    "evaluate and bench are in the lab, which is not installed: pip install ./scripts/lab (in a clone of the project)"
)

CONFIG_VARIABLE = "APPLIANCE_CONFIG"
"""Names the configuration file where --config does not; an installed device sets it for its commands."""

DIRECTIONS, CLOCKS = ("in", "out"), ("synchronised", "plausible", "unset")
OUTCOMES = ("identified", "unknown", "ambiguous")
"""The values of Direction, ClockState and Outcome, whose modules need numpy."""

OFF = "off"
"""The liveness of a device that does not check it."""

NEVER, NONE = "never", "none"
"""No day, or no passage; no credential."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; the parsed options have `command` and `run`."""
    added = entry_points(group=COMMANDS)
    missing = None if added.names.issuperset(LAB) else LAB_MISSING
    top = argparse.ArgumentParser("appliance", description="Face recognition on this device.", epilog=missing)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = _adder(commands)
    _add_device(add)
    _add_keys(_group(commands, "keys", "Create, list and revoke API keys; a running device notices the change."))
    _add_photos(add)
    _add_calibrate(
        _group(commands, "calibrate", "Find this device's own operating points; a running device notices the change.")
    )
    people = _group(commands, "people", "Manage the enrolled people; a running device notices the change.")
    _add_persons(people)
    _add_templates(people)
    _add_archives(people)
    _add_door(commands, add)
    for entry in added:
        entry.load()(add)
    return top


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options in these arguments; exits with status 2 after wrong usage."""
    top = parser()
    if top.epilog and arguments and arguments[0] in LAB:
        top.exit(2, f"{LAB_MISSING}\n")
    return top.parse_args(arguments)


def _adder(commands: Any) -> Add:
    def add(name: str, run: Run, summary: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary)
        added.add_argument(
            "--config",
            type=Path,
            default=os.environ.get(CONFIG_VARIABLE),
            metavar="FILE",
            help=f"TOML file (default: ${CONFIG_VARIABLE}, otherwise the built-in settings)",
        )
        added.set_defaults(run=run)
        assert isinstance(added, argparse.ArgumentParser)
        return added

    return add


def _group(commands: Any, name: str, summary: str) -> Add:
    """A command with actions of its own."""
    group = commands.add_parser(name, help=summary, description=summary)
    return _adder(group.add_subparsers(dest="action", required=True, metavar="ACTION"))


def _add_device(add: Add) -> None:
    serve = add("serve", "device:serve", "Answer the HTTP API.")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="TCP port to listen on; 0 takes a free one")
    serve.add_argument(
        "--demonstration", action="store_true", help="show the bundled pictures when no camera is configured or found"
    )
    serve.add_argument("--print-config", action="store_true", help="print the effective configuration and exit")
    discover = add("discover", "device:discover", "List the appliances on the LAN.")
    discover.add_argument("--json", action="store_true", help="print everything that they announce, as JSON")
    discover.add_argument(
        "--timeout",
        type=_number("seconds", 60),
        default=3.0,
        metavar="SECONDS",
        help="how long to listen (default 3)",
    )


def _add_keys(add: Add) -> None:
    new = add("add", "device:add_key", "Create a key and print it; it cannot be shown again.")
    new.add_argument("name", metavar="NAME", help="name of the key in the list and in the log")
    new.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        type=Scope,
        choices=list(Scope),
        help="what the key opens; can be repeated (default: recognise and live)",
    )
    listing = add("list", "device:list_keys", "List the keys.")
    listing.add_argument("--json", action="store_true", help="print JSON")
    revoke = add("revoke", "device:revoke_key", "Revoke a key: it is not accepted any more.")
    revoke.add_argument("name", metavar="NAME")


def _add_photos(add: Add) -> None:
    detect = add("detect", "photos:detect", "Find the faces in photos.")
    detect.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    detect.add_argument("--minsize", type=positive, default=48, metavar="PX", help="smallest face (default 48)")
    detect.add_argument("--maxsize", type=positive, metavar="PX", help="largest face")
    detect.add_argument(
        "--detectcount", type=positive, default=10, metavar="N", help="most faces per photo (default 10)"
    )
    detect.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per photo, as POST /faces answers, with the score of each face",
    )
    detect.add_argument("--picture", type=Path, metavar="OUT.png", help="draw boxes, points and pose axes (one photo)")
    compare = add("compare", "photos:compare", "Compare the largest faces of two photos.")
    compare.add_argument("photos", nargs=2, type=Path, metavar="PHOTO")
    liveness = add("liveness", "photos:liveness", "Check four frames for liveness: a zip or folder of pictures 1 to 4.")
    liveness.add_argument("source", type=Path, metavar="ZIP_OR_FOLDER")
    selftest = add("selftest", "photos:run_selftest", "Check that the models give the recorded answers on this device.")
    selftest.add_argument("--record", action="store_true", help=argparse.SUPPRESS)


def _add_calibrate(add: Add) -> None:
    similarity = add("similarity", "calibrate:similarity", "The cosine from which two faces are the same person.")
    similarity.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTOS",
        help="folders with a folder of photos per person, or with files named PERSON_NUMBER (default: bundled statistics)",
    )
    similarity.add_argument(
        "--fmr",
        type=_number("rate", 0.1),
        default=1e-3,
        metavar="RATE",
        help="wanted false match rate (default 0.001, at most 0.1)",
    )
    similarity.add_argument(
        "--check",
        action="append",
        default=[],
        type=Path,
        metavar="PHOTOS",
        help="further photos, on which the result is measured; can be repeated",
    )
    liveness = add("liveness", "calibrate:liveness", "The log odds from which a face at this camera is live.")
    liveness.add_argument("--device", metavar="URL", help="the running device (default: http://127.0.0.1:server.port)")
    liveness.add_argument("--key", help="API key with the scope live, if the device requires one")
    liveness.add_argument(
        "--minutes", type=_number("minutes", 60), default=3.0, metavar="N", help="how long to measure (default 3)"
    )
    liveness.add_argument(
        "--attack", type=_species, metavar="SPECIES", help="the camera is shown attacks: print, replay, mask, …"
    )
    for option, what in (("--bpcer", "real people rejected"), ("--apcer", "attacks accepted, of each species")):
        liveness.add_argument(
            option,
            type=_number("rate", 0.5),
            default=0.05,
            metavar="RATE",
            help=f"wanted share of {what} (default 0.05)",
        )
    for each in (similarity, liveness):
        each.add_argument("--dry-run", action="store_true", help="print the result and write nothing")
        each.add_argument("--reset", action="store_true", help="return to the shipped operating point")
        each.add_argument("--json", action="store_true", help="print JSON")


def _add_persons(add: Add) -> None:
    listing = add("list", "people:list_people", "List the enrolled people.")
    listing.add_argument("--json", action="store_true", help="print what GET /people answers")
    show = add("show", "people:show", "Show a person and their templates.")
    show.add_argument("id", metavar="ID")
    show.add_argument("--json", action="store_true", help="print what GET /people/ID answers")
    new = add("add", "people:add", "Add a person (then use enrol).")
    new.add_argument("id", metavar="ID", help="their id in other systems, such as a staff number")
    new.add_argument("--name", required=True, help="display name")
    change = add("change", "people:change", "Change a person's name, groups or validity; the rest stays.")
    change.add_argument("id", metavar="ID")
    change.add_argument("--name", default=argparse.SUPPRESS, help="display name")
    for either in (new, change):
        either.add_argument(
            "--groups", type=_groups, default=argparse.SUPPRESS, metavar="A,B", help='for schedules; "" for none'
        )
        for option, what in (("--valid-from", "first day"), ("--valid-until", "last day")):
            either.add_argument(
                option,
                type=_day_or_never,
                default=argparse.SUPPRESS,
                metavar="DAY",
                help=f"{what} of access, such as 2026-12-31; {NEVER}: no limit",
            )
        either.add_argument(
            "--credential",
            type=_credential,
            default=argparse.SUPPRESS,
            metavar="26:FACILITY:CARD",
            help=f"what an access panel knows them by; also 34:…, 37:… and raw:BITS; {NONE}: none",
        )
    erase = add("erase", "people:erase", "Erase people with all their templates, and print the receipts.")
    erase.add_argument("ids", nargs="*", metavar="ID")
    erase.add_argument("--all", action="store_true", help="erase all people")
    erase.add_argument("--yes", action="store_true", help="do not ask for confirmation")


def _add_templates(add: Add) -> None:
    enrol = add("enrol", "people:enrol", "Enrol a person with photos that show them alone.")
    enrol.add_argument("id", metavar="ID")
    enrol.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    enrol.add_argument(
        "--allow-duplicate", action="store_true", help="enrol even if another enrolled person looks the same"
    )
    enrol.add_argument(
        "--allow-mismatch", action="store_true", help="enrol even if the person's other templates look different"
    )
    forget = add("forget", "people:forget", "Erase one template of a person.")
    forget.add_argument("id", metavar="ID")
    forget.add_argument("number", type=int, metavar="NUMBER", help="as `show` prints it")
    add(
        "renew",
        "people:renew",
        "Embed the kept pictures again after a change of the embedder (engine.embedder).",
    )
    add(
        "accept",
        "people:accept",
        "Accept the gallery and the record of decisions after older copies were put in their place.",
    )
    add(
        "rotate",
        "people:rotate",
        "Transform all templates with a new secret matrix: copies of the old ones are useless.",
    )


def _add_archives(add: Add) -> None:
    export = add("export", "archives:export", "Write people to an encrypted archive, for another device.")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("ids", nargs="*", metavar="ID", help="default: all people")
    merge = add(
        "import", "archives:import_people", "Add the people of an archive to those on this device, all or none."
    )
    merge.add_argument("file", type=Path, metavar="FILE")
    conflict = merge.add_mutually_exclusive_group()
    conflict.add_argument("--replace", action="store_true", help="replace people who are on this device already")
    conflict.add_argument("--skip", action="store_true", help="keep people who are on this device already as they are")
    backup = add("backup", "archives:back_up", "Write all people to an encrypted archive.")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = add("restore", "archives:restore", "Replace all people by those of a backup, or change nothing.")
    restore.add_argument("file", type=Path, metavar="FILE")
    for each in (export, merge, backup, restore):
        each.add_argument(
            "--passphrase-file",
            type=Path,
            metavar="FILE",
            help="file whose first line is the passphrase (default: ask for it)",
        )


def _add_door(commands: Any, add: Add) -> None:
    policy = _group(commands, "policy", "What the configured rules of the door decide.")
    _add_explain(policy("explain", "door:explain", "Which rule decides: a dry run that changes nothing."))
    decisions = _group(commands, "decisions", "The record of decisions.")
    listing = decisions("list", "door:list_decisions", "The newest entries, newest first.")
    listing.add_argument("--count", type=positive, default=20, metavar="N", help="number of entries (default 20)")
    listing.add_argument("--json", action="store_true", help="print JSON")
    whole = decisions("verify", "door:verify_record", "Check that the record is complete and unaltered; else exit 1.")
    whole.add_argument(
        "--anchor",
        type=_anchor,
        metavar="SEQ:HASH",
        help="`record` of a signed decision; without one, a truncated end cannot be detected",
    )
    whole.add_argument("--json", action="store_true", help="print JSON")
    summary = "Verify a device's signed decision, as a door does; exit status 0 if it is granted."
    _add_verify_decision(add("verify-decision", "verify_decision:run", summary))


def _add_explain(explain: argparse.ArgumentParser) -> None:
    who = explain.add_mutually_exclusive_group()
    who.add_argument("--person", metavar="ID", help="an enrolled person, with their last passage")
    who.add_argument(
        "--groups", type=_groups, default=(), metavar="A,B", help="a person of these groups (default: of none)"
    )
    explain.add_argument("--valid-from", type=_read(date, "day"), metavar="DAY", help="the person's first day")
    explain.add_argument("--valid-until", type=_read(date, "day"), metavar="DAY", help="the person's last day")
    explain.add_argument(
        "--last",
        type=_last,
        default=argparse.SUPPRESS,
        metavar="WAY@TIME",
        help=f"the person's last passage, such as in@2026-11-26T07:55; or {NEVER}",
    )
    explain.add_argument(
        "--at", type=_read(datetime, "time"), metavar="TIME", help="local, such as 2026-11-26T08:00 (default: now)"
    )
    explain.add_argument("--direction", choices=DIRECTIONS, default="in", help="direction of the passage (default in)")
    explain.add_argument("--clock", choices=CLOCKS, help="default: as it is; with --at: synchronised")
    explain.add_argument(
        "--liveness",
        type=lambda text: OFF if text == OFF else _share(text),
        metavar=f"0..1|{OFF}",
        help=f'default: 1, or {OFF} if liveness.mode is "single"',
    )
    explain.add_argument(
        "--quality", type=_share, default=1.0, metavar="0..1", help="quality of the face's picture (default 1)"
    )
    explain.add_argument("--faces", type=_count, default=1, metavar="N", help="faces in the frames (default 1)")
    explain.add_argument("--outcome", choices=OUTCOMES, default="identified", help="result of the gallery search")
    flags = {
        "--blind": "the camera does not see",
        "--full": "the decision cannot be recorded",
        "--repeated": "the nonce was used before",
        "--not-followed": "no face is in all four frames",
        "--turned": "the face is not upright",
        "--swapped": "the frames show more than one person",
    }
    for flag, text in flags.items():
        explain.add_argument(flag, action="store_true", help=text)
    explain.add_argument("--json", action="store_true", help="print JSON")


def _add_verify_decision(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("token", metavar="TOKEN", help="`token` of POST /access/decide; - reads standard input")
    verify.add_argument(
        "--key",
        required=True,
        metavar="FILE_OR_TEXT",
        help="the device's public key: the answer of GET /access/key, its PEM, or its public_key",
    )
    verify.add_argument(
        "--nonce",
        required=True,
        metavar="N",
        help="nonce of the question; write --nonce=N, because it may begin with a hyphen",
    )
    verify.add_argument("--device", metavar="ID", help="id of the device (default: that of the key)")
    verify.add_argument("--direction", choices=DIRECTIONS, default="in", help="direction of the question (default in)")
    verify.add_argument("--ledger", type=Path, metavar="FILE", help="record used nonces here, so that each counts once")
    verify.add_argument(
        "--tolerance",
        type=_seconds,
        default=0.5,
        metavar="SECONDS",
        help="largest difference between this clock and the device's (default 0.5)",
    )
    verify.add_argument("--json", action="store_true", help="print the result as JSON")


def positive(text: str) -> int:
    """A whole number from 1. Raises ValueError."""
    return int(_within(int(text), 1))


def _count(text: str) -> int:
    return int(_within(int(text), 0))


def _share(text: str) -> float:
    return _within(float(text), 0, 1)


def _seconds(text: str) -> float:
    return _within(float(text), 0, 3600)


def _within(value: float, least: float, most: float = float("inf")) -> float:
    if not least <= value <= most:
        raise ValueError
    return value


def _number(name: str, most: float) -> Callable[[str], float]:
    """A number over 0 and at most `most`; argparse calls others "invalid NAME value"."""

    def number(text: str) -> float:
        value = float(text)
        if not 0 < value <= most:
            raise ValueError
        return value

    number.__name__ = name
    return number


def _read(kind: type[date], name: str) -> Callable[[str], date]:
    """A day or a time as ISO 8601 writes them."""

    def read(text: str) -> date:
        return kind.fromisoformat(text)

    read.__name__ = name
    return read


def _day_or_never(text: str) -> date | None:
    if text == NEVER:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"write a day as 2026-12-31, or {NEVER}") from error


def _credential(text: str) -> Any:
    from appliance.gallery.credential import Credential, CredentialError

    try:
        return None if text == NONE else Credential.parse(text)
    except CredentialError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _groups(text: str) -> tuple[str, ...]:
    from appliance.gallery.people import GROUP

    groups = tuple(text.split(",")) if text else ()
    if not all(GROUP.fullmatch(group) for group in groups):
        raise argparse.ArgumentTypeError("groups consist of letters, digits, '.', '_' and '-', separated by commas")
    return groups


def _last(text: str) -> tuple[str, datetime] | None:
    if text == NEVER:
        return None
    if not re.fullmatch("(in|out)@.+", text):
        raise argparse.ArgumentTypeError(f"write in@TIME, out@TIME or {NEVER}")
    way, _, moment = text.partition("@")
    return way, datetime.fromisoformat(moment)


def _anchor(text: str) -> Any:
    from appliance.access.token import Anchor

    try:
        return Anchor.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _species(text: str) -> str:
    if text == "real" or not re.fullmatch("[a-z0-9-]{1,32}", text):
        raise argparse.ArgumentTypeError("a species has 1 to 32 lower-case letters, digits and '-', and is not real")
    return text
