"""The zip of a liveness request: exactly four pictures named 1 to 4, read in memory within bounds."""

import re
import zipfile
from io import BytesIO

from appliance.faults import Fault, ResultCode, failing_as

FRAMES = 4

MOST_ENTRIES = 1024
"""Entries of a central directory that are looked at; each costs memory, and a zip of 8 MiB can hold 180,000."""

_ENTRY_SIGNATURE = b"PK\x01\x02"
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates bzip2 and LZMA whole, whatever is asked for
_FRAME_NAME = re.compile(r"(?:[^/\\]+/)?([1-4])\.(?:png|jpg|jpeg)", re.IGNORECASE)
_SIDECAR = re.compile(r"(?:.*/)?(?:\.[^/]*|__MACOSX/.*|Thumbs\.db|desktop\.ini)", re.IGNORECASE | re.DOTALL)


def four_pictures(content: bytes, max_bytes: int) -> list[bytes]:
    """The files 1, 2, 3, 4 of a zip, in that order; they may lie in one folder. Directories and what operating systems
    leave beside files are passed over.

    Raises Fault: INF-22 not a zip, encrypted, damaged, or a compression other than deflate; INF-24 not four files; INF-23
    a wrong name, or one number twice; INF-04 a file of more than `max_bytes` inflated.
    """
    if content.count(_ENTRY_SIGNATURE) > MOST_ENTRIES:
        raise Fault(ResultCode.ZIP_COUNT, f"more than {MOST_ENTRIES} entries")
    with failing_as(ResultCode.NOT_A_ZIP), zipfile.ZipFile(BytesIO(content)) as archive:
        entries = [entry for entry in archive.infolist() if not (entry.is_dir() or _SIDECAR.fullmatch(entry.filename))]
        if len(entries) != FRAMES:
            raise Fault(ResultCode.ZIP_COUNT, f"{len(entries)} files")
        numbered = {_number(entry.filename): entry for entry in entries}
        if len(numbered) != FRAMES:
            raise Fault(ResultCode.ZIP_NAMES, "a number twice")
        return [_inflated(archive, numbered[number], max_bytes) for number in sorted(numbered)]


def _number(name: str) -> str:
    match = _FRAME_NAME.fullmatch(name)
    if match is None or name.startswith("../"):
        raise Fault(ResultCode.ZIP_NAMES, f"{name[:80]!r}")
    return match[1]


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes:
    if entry.compress_type not in _BOUNDED:
        raise Fault(ResultCode.NOT_A_ZIP, f"{entry.filename}: compression method {entry.compress_type}")
    with archive.open(entry) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise Fault(ResultCode.BROKEN_IMAGE, f"{entry.filename}: more than {max_bytes} bytes inflated")
    return content
