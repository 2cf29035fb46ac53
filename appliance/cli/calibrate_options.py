"""What `appliance calibrate` can be told."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path


def add_similarity(similarity: argparse.ArgumentParser) -> None:
    """Of `appliance calibrate similarity`."""
    _add_common(similarity)
    similarity.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTOS",
        help="folders, each with a folder of photos a person (or files named PERSON_NUMBER); without: bundled statistics",
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
        help="photos that are not used, to measure what was found; may be given again",
    )
    similarity.add_argument("--record", action="store_true", help=argparse.SUPPRESS)


def add_liveness(liveness: argparse.ArgumentParser) -> None:
    """Of `appliance calibrate liveness`."""
    _add_common(liveness)
    liveness.add_argument(
        "--device", metavar="URL", help="the running device (default http://127.0.0.1 and server.port)"
    )
    liveness.add_argument("--key", help="with the scope live, where the device wants one")
    liveness.add_argument(
        "--minutes", type=_number("minutes", 60), default=3.0, metavar="N", help="how long it is watched (default 3)"
    )
    liveness.add_argument(
        "--attack", type=_species, metavar="SPECIES", help="attacks are shown this time: print, replay, mask, …"
    )
    rates = (("--bpcer", "real people turned away"), ("--apcer", "attacks let through, of each species"))
    for option, what in rates:
        liveness.add_argument(
            option,
            type=_number("rate", 0.5),
            default=0.05,
            metavar="RATE",
            help=f"wanted share of {what} (default 0.05)",
        )
    liveness.add_argument("--record", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)


def _add_common(either: argparse.ArgumentParser) -> None:
    either.add_argument("--dry-run", action="store_true", help="print what would be written, and write nothing")
    either.add_argument("--reset", action="store_true", help="take the shipped operating point again")
    either.add_argument("--json", action="store_true", help="as JSON")


def _number(name: str, most: float) -> Callable[[str], float]:
    """A number over 0 and at most `most`; argparse complains of an "invalid NAME value"."""

    def number(text: str) -> float:
        value = float(text)
        if not 0 < value <= most:
            raise ValueError
        return value

    number.__name__ = name
    return number


def _species(text: str) -> str:
    if text == "real" or not re.fullmatch("[a-z0-9-]{1,32}", text):
        raise argparse.ArgumentTypeError("a species is 1 to 32 small letters, digits and '-', and not real")
    return text
