"""What `appliance policy`, `appliance decisions` and `appliance verify-decision` can be told."""

import argparse
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

from appliance.access.verify_log import Anchor
from appliance.gallery.people import GROUP

DIRECTIONS, CLOCKS = ("in", "out"), ("synchronised", "plausible", "unset")
OUTCOMES = ("identified", "unknown", "ambiguous")
"""The words of Direction, ClockState and Outcome, which come with numpy: help is there at once."""

OFF = "off"
"""Said instead of a liveness."""


def add_explain(explain: argparse.ArgumentParser) -> None:
    """Of `appliance policy explain`."""
    who = explain.add_mutually_exclusive_group()
    who.add_argument("--person", metavar="ID", help="somebody in the gallery, with their last passage")
    who.add_argument(
        "--groups", type=_groups, default=(), metavar="A,B", help="somebody of these groups (default: of none)"
    )
    explain.add_argument("--valid-from", type=_read(date, "day"), metavar="DAY", help="whose first day is this one")
    explain.add_argument("--valid-until", type=_read(date, "day"), metavar="DAY", help="whose last day is this one")
    explain.add_argument(
        "--last",
        type=_last,
        default=argparse.SUPPRESS,
        metavar="WAY@TIME",
        help="who passed last so: in@2026-11-26T07:55, say; or never",
    )
    explain.add_argument(
        "--at", type=_read(datetime, "time"), metavar="TIME", help="local: 2026-11-26T08:00, say (default: now)"
    )
    explain.add_argument("--direction", choices=DIRECTIONS, default="in", help="which way")
    explain.add_argument("--clock", choices=CLOCKS, help="default: as it is; with --at: synchronised")
    explain.add_argument(
        "--liveness", type=_liveness, metavar="0..1|off", help='default: 1, or off where liveness.mode is "single"'
    )
    explain.add_argument(
        "--quality", type=_share, default=1.0, metavar="0..1", help="of the face's picture (default 1)"
    )
    explain.add_argument("--faces", type=_faces, default=1, metavar="N", help="in the frames (default 1)")
    explain.add_argument(
        "--outcome",
        choices=OUTCOMES,
        default="identified",
        help="of the search in the gallery",
    )
    flags = {
        "--blind": "the camera does not see",
        "--full": "the decision cannot be recorded",
        "--repeated": "the nonce was used before",
        "--not-followed": "no face is in all four frames",
        "--swapped": "the frames show more than one person",
    }
    for flag, text in flags.items():
        explain.add_argument(flag, action="store_true", help=text)
    explain.add_argument("--json", action="store_true", help="as JSON")


def add_list(listing: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Of `appliance decisions list`."""
    listing.add_argument("--count", type=positive, default=20, metavar="N", help="the newest N entries (default 20)")
    listing.add_argument("--json", action="store_true", help="as JSON")


def add_verify(verify: argparse.ArgumentParser) -> None:
    """Of `appliance decisions verify`."""
    verify.add_argument(
        "--anchor",
        type=_anchor,
        metavar="SEQ:HASH",
        help="`record` of a signed decision: without one, an end that was cut off cannot be found",
    )
    verify.add_argument("--json", action="store_true", help="as JSON")


def add_verify_decision(verify: argparse.ArgumentParser) -> None:
    """Of `appliance verify-decision`."""
    verify.add_argument(
        "token", metavar="TOKEN", help="what POST /access/decide answered as `token`; - reads it from standard input"
    )
    verify.add_argument(
        "--key",
        required=True,
        metavar="FILE_OR_TEXT",
        help="the device's public key, as GET /access/key answers it: the whole answer, its PEM, or its public_key",
    )
    verify.add_argument(
        "--nonce",
        required=True,
        metavar="N",
        help="what the device was asked with; --nonce=N, as it may begin with a hyphen",
    )
    verify.add_argument("--device", metavar="ID", help="the device that must have decided (default: whose key it is)")
    verify.add_argument("--direction", choices=DIRECTIONS, default="in", help="which way was asked for (default in)")
    verify.add_argument(
        "--ledger", type=Path, metavar="FILE", help="remembers used nonces there: each is good for one run"
    )
    verify.add_argument(
        "--tolerance",
        type=_seconds,
        default=0.5,
        metavar="SECONDS",
        help="how far this clock and the device's may be apart (default 0.5)",
    )
    verify.add_argument("--json", action="store_true", help="what was found, as JSON on standard output")


def _read(kind: type[date], name: str) -> Callable[[str], date]:
    """A day or a time as ISO 8601 writes them."""

    def read(text: str) -> date:
        return kind.fromisoformat(text)

    read.__name__ = name
    return read


def _groups(text: str) -> tuple[str, ...]:
    groups = tuple(text.split(","))
    if not all(GROUP.fullmatch(group) for group in groups):
        raise argparse.ArgumentTypeError("groups are letters, digits, '.', '_' and '-', separated by commas")
    return groups


def _last(text: str) -> tuple[str, datetime] | None:
    if text == "never":
        return None
    if not re.fullmatch("(in|out)@.+", text):
        raise argparse.ArgumentTypeError("in@TIME, out@TIME or never")
    way, _, moment = text.partition("@")
    return way, datetime.fromisoformat(moment)


def _liveness(text: str) -> float | str:
    return OFF if text == OFF else _share(text)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def _faces(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError
    return count


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise ValueError
    return value
