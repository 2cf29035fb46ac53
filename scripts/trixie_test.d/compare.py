"""Compares what `appliance detect --json` says of the same pictures on two machines: compare.py EXPECTED FOUND."""

import json
import math
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-3
"""Of a box's side, and of a picture's: the two runtimes round float16 differently."""


def differences(expected: Any, found: Any, scale: float, place: str) -> list[str]:
    """Where the two differ by more than `scale` x TOLERANCE."""
    if isinstance(expected, dict) and isinstance(found, dict) and set(expected) == set(found):
        inner = max(scale, *(abs(value) for value in expected.get("box", {}).values())) if "box" in expected else scale
        return [line for key in expected for line in differences(expected[key], found[key], inner, f"{place}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for number, pair in pairs for line in differences(*pair, scale, f"{place}[{number}]")]
    if isinstance(expected, int | float) and isinstance(found, int | float):
        close = math.isclose(expected, found, abs_tol=scale * TOLERANCE)
        return [] if close else [f"{place}: {expected} expected, {found} found"]
    return [] if expected == found else [f"{place}: {expected!r} expected, {found!r} found"]


def main() -> int:
    expected, found = (
        [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()] for file in sys.argv[1:]
    )
    lines = differences(expected, found, 1.0, "")
    print("\n".join(lines) or f"the same answers to {TOLERANCE:g}")
    return 1 if lines or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
