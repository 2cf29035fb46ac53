"""The commands and their options. No command is imported here, so that help and wrong usage are answered at once."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from importlib.metadata import entry_points
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from appliance import __version__
from appliance.keys import Scope

Run = str | Callable[[argparse.Namespace, Any], int]
"""What a command runs with its options and the configuration: a function, or "module:function" below appliance.cli."""

Add = Callable[[str, Run, str], "CommandParser"]
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
RESPONSES = ("passed", "too_slow", "too_early", "other_direction", "lost", "another_person", "not_asked", "none")
PINS = ("right", "wrong", "slowed", "unset", "uncounted", "none")
"""The values of Direction, ClockState, Outcome, Response and PinCheck, whose modules need numpy; and nothing given yet."""

SCOPES = (
    "what the key opens; can be repeated (default: recognise and live). recognise: photos that are sent; live: the camera's "
    "picture, events and the pages; decide: decisions for a door; kiosk: the display at the door; admin: people, passes, the "
    "record and the fleet; metrics: /metrics alone"
)

OFF = "off"
"""The liveness of a device that does not check it."""

NEVER, NONE = "never", "none"
"""No day, or no passage; no credential."""


def parser() -> "CommandParser":
    """The parser of all commands; the parsed options have `command` and `run`."""
    added = entry_points(group=COMMANDS)
    missing = None if added.names.issuperset(LAB) else LAB_MISSING
    top = CommandParser("appliance", description="Face recognition on this device.", epilog=missing)
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
    _add_fleet(_group(commands, "fleet", "Share people with the other devices of the site."))
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


class CommandParser(argparse.ArgumentParser):
    """A parser whose options take a line each."""

    def flag(self, name: str, text: str) -> None:
        self.add_argument(name, action="store_true", help=text)

    def value(self, name: str, metavar: str, text: str | None = None, kind: Any = None, **more: Any) -> None:
        """Adds an argument, or an option with a value, of the type `kind`."""
        self.add_argument(name, metavar=metavar, help=text, type=kind, **more)


def _adder(commands: Any) -> Add:
    def add(name: str, run: Run, summary: str) -> CommandParser:
        added = commands.add_parser(name, help=summary, description=summary)
        assert isinstance(added, CommandParser)
        text = f"TOML file (default: ${CONFIG_VARIABLE}, otherwise the built-in settings)"
        added.value("--config", "FILE", text, Path, default=os.environ.get(CONFIG_VARIABLE))
        added.set_defaults(run=run)
        return added

    return add


def _group(commands: Any, name: str, summary: str) -> Add:
    """A command with actions of its own."""
    group = commands.add_parser(name, help=summary, description=summary)
    return _adder(group.add_subparsers(dest="action", required=True, metavar="ACTION"))


def _add_device(add: Add) -> None:
    serve = add("serve", "device:serve", "Answer the HTTP API.")
    serve.add_argument("--host", help="address to listen on (default: server.host, 127.0.0.1)")
    serve.add_argument(
        "--port", type=int, help="TCP port to listen on; 0 takes a free one (default: server.port, 9297)"
    )
    text = "show the demonstration instead of a camera (without-camera: only if none is configured or found)"
    serve.add_argument("--demonstration", nargs="?", const="always", choices=("always", "without-camera"), help=text)
    serve.flag("--print-config", "print the effective configuration and exit")
    discover = add("discover", "device:discover", "List the appliances on the LAN.")
    discover.flag("--json", "print everything that they announce, as JSON")
    kind = _within("seconds", float, OVER_0, 60)
    discover.value("--timeout", "SECONDS", "how long to listen (default 3)", kind, default=3.0)


def _add_keys(add: Add) -> None:
    new = add("add", "device:add_key", "Create a key and print it; it cannot be shown again.")
    new.value("name", "NAME", "name of the key in the list and in the log")
    new.add_argument("--scope", dest="scopes", action="append", type=Scope, choices=list(Scope), help=SCOPES)
    listing = add("list", "device:list_keys", "List the keys.")
    listing.flag("--json", "print JSON")
    revoke = add("revoke", "device:revoke_key", "Revoke a key: it is not accepted any more.")
    revoke.value("name", "NAME")


def _add_photos(add: Add) -> None:
    detect = add("detect", "photos:detect", "Find the faces in photos.")
    detect.value("photos", "PHOTO", None, Path, nargs="+")
    detect.value("--minsize", "PX", "smallest face (default 48)", positive, default=48)
    detect.value("--maxsize", "PX", "largest face", positive)
    detect.value("--detectcount", "N", "most faces per photo (default 10)", positive, default=10)
    detect.flag("--json", "print one JSON object per photo, as POST /faces answers, with the score of each face")
    detect.value("--picture", "OUT.png", "draw boxes, points and pose axes (one photo)", Path)
    compare = add("compare", "photos:compare", "Compare the largest faces of two photos.")
    compare.value("photos", "PHOTO", None, Path, nargs=2)
    liveness = add("liveness", "photos:liveness", "Check four frames for liveness: a zip or folder of pictures 1 to 4.")
    liveness.value("source", "ZIP_OR_FOLDER", None, Path)
    add("selftest", "photos:run_selftest", "Check that the models give the recorded answers on this device.")


def _add_calibrate(add: Add) -> None:
    similarity = add("similarity", "calibrate:similarity", "The cosine from which two faces are the same person.")
    text = "folders with a folder of photos per person, or with files named PERSON_NUMBER (default: bundled statistics)"
    similarity.value("photos", "PHOTOS", text, Path, nargs="*")
    text = "wanted false match rate (default 0.001, at most 0.1)"
    similarity.value("--fmr", "RATE", text, _within("rate", float, OVER_0, 0.1), default=1e-3)
    text = "further photos, on which the result is measured; can be repeated"
    similarity.value("--check", "PHOTOS", text, Path, action="append", default=[])
    liveness = add("liveness", "calibrate:liveness", "The log odds from which a face at this camera is live.")
    liveness.value("--device", "URL", "the running device (default: http://127.0.0.1:server.port)")
    liveness.add_argument("--key", help="API key with the scope live, if the device requires one")
    minutes = _within("minutes", float, OVER_0, 60)
    liveness.value("--minutes", "N", "how long to measure (default 3)", minutes, default=3.0)
    liveness.value("--attack", "SPECIES", "the camera is shown attacks: print, replay, mask, …", _species)
    for option, what in (("--bpcer", "real people rejected"), ("--apcer", "attacks accepted, of each species")):
        text = f"wanted share of {what} (default 0.05)"
        liveness.value(option, "RATE", text, _within("rate", float, OVER_0, 0.5), default=0.05)
    for each in (similarity, liveness):
        each.flag("--dry-run", "print the result and write nothing")
        each.flag("--reset", "return to the shipped operating point")
        each.flag("--json", "print JSON")


def _add_persons(add: Add) -> None:
    listing = add("list", "people:list_people", "List the enrolled people.")
    listing.flag("--json", "print what GET /people answers")
    show = add("show", "people:show", "Show a person and their templates.")
    show.value("id", "ID")
    show.flag("--json", "print what GET /people/ID answers")
    new = add("add", "people:add", "Add a person (then use enrol).")
    new.value("id", "ID", "their id in other systems, such as a staff number")
    new.add_argument("--name", required=True, help="display name")
    change = add("change", "people:change", "Change a person's name, groups or validity; the rest stays.")
    change.value("id", "ID")
    change.add_argument("--name", default=argparse.SUPPRESS, help="display name")
    panel = f"what an access panel knows them by; also 34:…, 37:… and raw:BITS; {NONE}: none"
    for each in (new, change):
        each.value("--groups", "A,B", 'for schedules; "" for none', _groups, default=argparse.SUPPRESS)
        for option, what in (("--valid-from", "first day"), ("--valid-until", "last day")):
            text = f"{what} of access, such as 2026-12-31; {NEVER}: no limit"
            each.value(option, "DAY", text, _day_or_never, default=argparse.SUPPRESS)
        each.value("--credential", "26:FACILITY:CARD", panel, _credential, default=argparse.SUPPRESS)
    pin = add("pin", "people:pin", "Set a person's PIN, and one to be entered under duress; or remove them.")
    pin.value("id", "ID")
    text = "file with the PIN on its first line, and the one for duress on its second (default: ask for them)"
    pin.value("--pin-file", "FILE", text, Path)
    pin.flag("--remove", "the person has no PIN any more")
    erase = add("erase", "people:erase", "Erase people with all their templates, and print the receipts.")
    erase.value("ids", "ID", nargs="*")
    erase.flag("--all", "erase all people")
    erase.flag("--yes", "do not ask for confirmation")


def _add_templates(add: Add) -> None:
    enrol = add("enrol", "people:enrol", "Enrol a person with photos of them.")
    enrol.value("id", "ID")
    enrol.value("photos", "PHOTO", None, Path, nargs="+")
    enrol.value("--face", "X,Y", "the face that is meant, if a photo shows several: pixels from its top left", _point)
    enrol.flag("--allow-duplicate", "enrol even if another enrolled person looks the same")
    enrol.flag("--allow-mismatch", "enrol even if the person's other templates look different")
    invite = add("invite", "people:invite", "Print a one-time link with which a person enrols on their own phone.")
    invite.value("id", "ID")
    text = "address at which phones reach the device, such as https://door.example"
    invite.value("--url", "URL", text, _address, required=True)
    forget = add("forget", "people:forget", "Erase one template of a person.")
    forget.value("id", "ID")
    forget.value("number", "NUMBER", "as `show` prints it", int)
    add("renew", "people:renew", "Embed the kept pictures again after a change of the embedder.")
    text = "Accept the gallery and the record of decisions after older copies were put in their place."
    add("accept", "people:accept", text)
    text = "Transform all templates with a new secret matrix: copies of the old ones are useless."
    add("rotate", "people:rotate", text)


def _add_archives(add: Add) -> None:
    text = "Write people to an encrypted archive, for another device, or to a table."
    export = add("export", "archives:export", text)
    text = "Add the people of a table with photos, or of an archive, to those on this device."
    merge = add("import", "archives:import_people", text)
    backup = add("backup", "archives:export", "Write all people to an encrypted archive.")
    restore = add("restore", "archives:restore", "Replace all people by those of a backup, or change nothing.")
    for each in (export, merge, backup, restore):
        if each is merge:
            each.value("file", "FILE", "the archive; with --csv a zip or a folder of photos", Path, nargs="?")
        else:
            each.value("file", "FILE", None, Path)
        text = "file whose first line is the passphrase (default: ask for it)"
        each.value("--passphrase-file", "FILE", text, Path)
    export.value("ids", "ID", "default: all people", nargs="*")
    export.flag("--csv", "a table without biometrics, for spreadsheets and `import --csv`; FILE may be -")
    export.value("--query", "TEXT", "with --csv: only people whose id, name or groups contain it", default="")
    backup.set_defaults(ids=[], csv=False)
    columns = "id, name, groups, valid_from, valid_until, credential, photos (names of files)"
    merge.value("--csv", "TABLE", f"table of people with these columns: {columns}", Path)
    merge.flag("--dry-run", "with --csv: print what would become of each row, and change nothing")
    merge.flag("--partial", "with --csv: import the other rows when some are refused")
    conflict = merge.add_mutually_exclusive_group()
    conflict.add_argument("--replace", action="store_true", help="replace people who are on this device already")
    conflict.add_argument("--skip", action="store_true", help="keep people who are on this device already as they are")


def _add_fleet(add: Add) -> None:
    create = add("create", "fleet:create", "Make a fleet of this device and its people.")
    create.value("servers", "URL", "nats://HOST:PORT or tls://HOST:PORT; several are separated by commas")
    upgrade = add("upgrade", "fleet:upgrade", "Make what this version needs on the servers and they do not have.")
    for command, default in ((create, 1), (upgrade, None)):
        text = f"servers that keep each value (default {default or 'as before'})"
        command.value("--replicas", "N", text, int, choices=(1, 3, 5), default=default)
        text = "how long the servers keep decisions (default 30)"
        command.value("--decisions-days", "N", text, _within("days", float, OVER_0, 3650), default=30.0)
        text = "the most space of decisions on each server; the oldest are dropped (default 512)"
        command.value("--decisions-mib", "N", text, positive, default=512)
    invite = add("invite", "fleet:invite", "Print a code with which one device can join.")
    invite.value(
        "--minutes", "N", "how long it is valid (default 15)", _within("minutes", float, OVER_0, 60), default=15.0
    )
    invite.value("--code", "FILE", "new file for its QR code: .svg or .png", _code_file)
    text = "Become a member, and merge the people of this device with those of the fleet."
    add("join", "fleet:join", text).value("invitation", "CODE", "what `appliance fleet invite` prints")
    add("leave", "fleet:leave", "End the membership; the people of this device stay.")
    listing = add("status", "fleet:status", "List the devices, and the people who differ from those of the fleet.")
    listing.flag("--json", "print JSON")
    resolve = add("resolve", "fleet:resolve", "Take one side for a person who differs from that of the fleet.")
    resolve.value("id", "ID")
    resolve.add_argument("--take", choices=("fleet", "device"), required=True, help="whose person stays")
    listing = add("decisions", "fleet:decisions", "Print the records of all devices as JSON lines, oldest first.")
    listing.value("--from", "POSITION", "`position` of the first line (default 1)", positive, dest="begin", default=1)
    listing.flag("--follow", "go on with new entries as they come")
    text = "Print which devices have confirmed an erasure, and which have not yet."
    add("receipt", "fleet:receipt", text).value("reference", "REFERENCE", "`reference` of the receipt of the erasure")
    text = "Publish the rules of [door] that are not about one door as the policy of all devices."
    add("publish-policy", "fleet:publish_policy", text)
    add("rotate-key", "fleet:rotate_key", "Seal the people with a new key; every other device has to join again.")


def _add_door(commands: Any, add: Add) -> None:
    policy = _group(commands, "policy", "What the configured rules of the door decide.")
    _add_explain(policy("explain", "door:explain", "Which rule decides: a dry run that changes nothing."))
    decisions = _group(commands, "decisions", "The record of decisions.")
    listing = decisions("list", "door:list_decisions", "The newest entries, newest first.")
    listing.value("--count", "N", "number of entries (default 20)", positive, default=20)
    listing.flag("--json", "print JSON")
    _add_export(decisions("export", "door:export_decisions", "Write decisions to a CSV table, the newest first."))
    whole = decisions("verify", "door:verify_record", "Check that the record is complete and unaltered; else exit 1.")
    text = "`record` of a signed decision; without one, a truncated end cannot be detected"
    whole.value("--anchor", "SEQ:HASH", text, _anchor)
    whole.flag("--json", "print JSON")
    _add_passes(_group(commands, "passes", "Visitor passes: QR codes that are shown to the camera."))
    osdp = _group(commands, "osdp", "The access panel to which this device is a reader.")
    pair = osdp("pair", "door:pair", "Let the panel set the key of the secure channel, once.")
    pair.value("--minutes", "N", "for how long (default 5)", _within("minutes", float, OVER_0, 60), default=5.0)
    summary = "Verify a device's signed decision, as a door does; exit status 0 if it is granted."
    _add_verify_decision(add("verify-decision", "verify_decision:run", summary))


def _add_export(export: CommandParser) -> None:
    export.value("file", "FILE", "new or to be replaced; - is standard output", Path)
    text = "first day, such as 2026-12-01, or time, such as 2026-12-01T08:00"
    export.value("--from", "TIME", text, _moment(end=False), dest="since")
    export.value("--until", "TIME", "last day, or time before which", _moment(end=True))
    export.value("--person", "ID", "only decisions about this person")
    export.value("--reason", "REASON", "only decisions with this reason")
    export.add_argument("--result", choices=("granted", "denied", "void"), help="only decisions with this result")
    export.add_argument("--direction", choices=DIRECTIONS, help="only decisions about this direction")


def _add_passes(add: Add) -> None:
    new = add("add", "passes:add_pass", "Issue a pass, print its id and write its QR code.")
    new.add_argument("--name", required=True, help="of the visitor")
    new.value("--code", "FILE", "new file for the QR code: .svg or .png", _code_file, required=True)
    text = "local, such as 2026-11-26T08:00 (default: now)"
    new.value("--from", "TIME", text, _read(datetime, "time"), dest="begin")
    end = new.add_mutually_exclusive_group(required=True)
    end.add_argument("--until", metavar="TIME", type=_read(datetime, "time"), help="local, the end of the pass")
    hours = _within("hours", float, OVER_0, 24 * 366)
    end.add_argument("--hours", metavar="N", type=hours, help="so long from the begin on")
    new.flag("--single-use", "it opens the door once")
    listing = add("list", "passes:list_passes", "List the passes, those that end first at the top.")
    listing.flag("--json", "print what GET /access/passes answers")
    add("revoke", "passes:revoke_pass", "Revoke a pass: it opens nothing any more.").value("id", "ID")


def _add_explain(explain: CommandParser) -> None:
    who = explain.add_mutually_exclusive_group()
    who.add_argument("--person", metavar="ID", help="an enrolled person, with their last passage")
    text = "a person of these groups (default: of none)"
    who.add_argument("--groups", type=_groups, default=(), metavar="A,B", help=text)
    who.add_argument("--pass", dest="visitor", metavar="ID", help="a visitor who shows this pass")
    explain.value("--valid-from", "DAY", "the person's first day", _read(date, "day"))
    explain.value("--valid-until", "DAY", "the person's last day", _read(date, "day"))
    text = f"the person's last passage, such as in@2026-11-26T07:55; or {NEVER}"
    explain.value("--last", "WAY@TIME", text, _last, default=argparse.SUPPRESS)
    explain.value("--at", "TIME", "local, such as 2026-11-26T08:00 (default: now)", _read(datetime, "time"))
    explain.add_argument("--direction", choices=DIRECTIONS, default="in", help="direction of the passage (default in)")
    explain.add_argument("--clock", choices=CLOCKS, help="default: as it is; with --at: synchronised")
    text = f'default: 1, or {OFF} if liveness.mode is "single"'
    explain.value("--liveness", f"0..1|{OFF}", text, lambda text: OFF if text == OFF else _share(text))
    explain.value("--quality", "0..1", "quality of the face's picture (default 1)", _share, default=1.0)
    explain.value("--faces", "N", "faces in the frames (default 1)", _count, default=1)
    text = "result of the gallery search (default: identified; unknown if --person has no templates)"
    explain.add_argument("--outcome", choices=OUTCOMES, help=text)
    explain.add_argument("--challenge", choices=RESPONSES, help="how a challenge ended (default: passed)")
    text = (
        "what becomes of the PIN (default: right; unset if --person has none); unless identified, of that of --person's id "
        "(default: none)"
    )
    explain.add_argument("--pin", choices=PINS, help=text)
    explain.flag("--blind", "the camera does not see")
    explain.flag("--full", "the decision cannot be recorded")
    explain.flag("--repeated", "the nonce was used before")
    explain.flag("--not-followed", "no face is in all four frames")
    explain.flag("--turned", "the face is not upright")
    explain.flag("--swapped", "the frames show more than one person")
    explain.flag("--json", "print JSON")


def _add_verify_decision(verify: CommandParser) -> None:
    verify.value("token", "TOKEN", "`token` of POST /access/decide; - reads standard input")
    text = "the device's public key: the answer of GET /access/key, its PEM, or its public_key"
    verify.value("--key", "FILE_OR_TEXT", text, required=True)
    text = "nonce of the question; write --nonce=N, because it may begin with a hyphen"
    verify.value("--nonce", "N", text, required=True)
    verify.value("--device", "ID", "id of the device (default: that of the key)")
    verify.add_argument("--direction", choices=DIRECTIONS, default="in", help="direction of the question (default in)")
    verify.value("--ledger", "FILE", "record used nonces here, so that each counts once", Path)
    text = "largest difference between this clock and the device's (default 0.5)"
    verify.value("--tolerance", "SECONDS", text, _seconds, default=0.5)
    verify.flag("--json", "print the result as JSON")


Value = TypeVar("Value", int, float)


def _within(name: str, kind: Callable[[str], Value], least: float, most: float = inf) -> Callable[[str], Value]:
    """Reads a number from `least` to `most`; argparse calls others "invalid NAME value"."""

    def number(text: str) -> Value:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError
        return value

    number.__name__ = name
    return number


OVER_0 = sys.float_info.min

positive, _count = _within("positive", int, 1), _within("count", int, 0)
_share, _seconds = _within("share", float, 0, 1), _within("seconds", float, 0, 3600)


def _point(text: str) -> tuple[float, float]:
    from appliance.access.enrol import point

    try:
        return point(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _code_file(text: str) -> Path:
    if not text.lower().endswith((".svg", ".png")):
        raise argparse.ArgumentTypeError(f"the name ends in .svg or .png: {text[:80]!r}")
    return Path(text)


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", text):
        raise argparse.ArgumentTypeError(f"not an address as http://HOST[:PORT]: {text[:40]!r}")
    return text.rstrip("/")


def _read(kind: type[date], name: str) -> Callable[[str], date]:
    """A day or a time as ISO 8601 writes them."""

    def read(text: str) -> date:
        return kind.fromisoformat(text)

    read.__name__ = name
    return read


def _moment(*, end: bool) -> Callable[[str], datetime]:
    def time(text: str) -> datetime:
        from appliance.access.decision_table import moment

        return moment(text, end=end)

    return time


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
