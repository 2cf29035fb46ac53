"""What `appliance bench` can be told."""

import argparse
from collections.abc import Callable
from pathlib import Path


def add_bench(bench: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Of `appliance bench`; `positive` reads a whole number from 1."""
    parts = ["stages", "endpoints", "scaling", "start", "memory", "camera", "gallery", "all"]
    bench.add_argument("part", nargs="?", choices=parts, help="what to measure (default: all)")
    bench.add_argument("--quick", action="store_true", help="little of everything, without a verdict")
    bench.add_argument(
        "--compare", action="store_true", help="beside the peers that scripts/peers makes; alone, only that"
    )
    bench.add_argument("--peers", type=Path, metavar="FOLDER", help="where they are (default: .peers of this clone)")
    bench.add_argument("--pictures", type=Path, metavar="FOLDER", help="more pictures, for scaling and --compare")
    bench.add_argument(
        "--portrait", type=Path, metavar="FILE", help="a picture with one face (default: the bundled one)"
    )
    bench.add_argument("--requests", type=positive, metavar="N", help="before memory is looked at again (default 5000)")
    bench.add_argument("--frames", type=positive, metavar="N", help="the same, of the camera (default 20000)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write a record of the machine and all figures")
    bench.add_argument("--report", type=Path, metavar="DIR", help="write a page with plots there, index.html")
