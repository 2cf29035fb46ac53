"""Looks for secrets in what a device has written and answered, in every form they could have leaked in."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

STRETCH = 24
"""Bytes of a secret that are no chance any more."""


def forms_of_bytes(content: bytes) -> Iterator[bytes]:
    """Stretches of some bytes: raw, hexadecimal, and in base64 at each of its three alignments."""
    for start in range(0, max(1, len(content) - STRETCH), max(STRETCH, len(content) // 64)):
        piece = content[start : start + STRETCH]
        yield piece
        yield piece.hex().encode()
        for shift in range(3):
            aligned = piece[shift : shift + (len(piece) - shift) // 3 * 3]
            yield base64.b64encode(aligned)
            yield base64.urlsafe_b64encode(aligned)


def forms_of_vector(vector: npt.NDArray[np.float32]) -> Iterator[bytes]:
    """A template as float32 and float16, and as numbers that somebody printed."""
    yield from forms_of_bytes(vector.astype("<f4").tobytes())
    yield from forms_of_bytes(vector.astype("<f2").tobytes())
    for number in vector[:8]:
        yield repr(float(number)).encode()
        yield f"{float(number):.6f}".encode()


def leaks(secrets: Mapping[str, Iterable[bytes]], places: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which place."""
    return [
        f"{secret} in {place}"
        for secret, forms in secrets.items()
        for place, content in places.items()
        if any(form in content for form in forms)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
