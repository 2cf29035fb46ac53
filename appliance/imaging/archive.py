"""Zips of pictures, read in memory within bounds: that of a liveness request, whose pictures are named by their numbers from 1
on, and photos by name.
"""

import re
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

from appliance.faults import Fault, Refusal, ResultCode, failing_as

FRAMES = 4

MOST_ENTRIES = 1024
"""Entries of a central directory that are read; each costs memory, and a zip of 8 MiB can hold 180,000."""

SUFFIXES = ("png", "jpg", "jpeg")

_ENTRY_SIGNATURE = b"PK\x01\x02"
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates bzip2 and LZMA whole, whatever is asked for
_FRAME_NAME = re.compile(r"([1-9][0-9]?)\.([a-z]+)", re.IGNORECASE | re.ASCII)
_SIDECAR_FOLDER = "__MACOSX"
_SIDECAR = re.compile(r"\..*|(?:eh)?thumbs\.db|desktop\.ini|icon\r", re.IGNORECASE | re.DOTALL)
"""Files that macOS and Windows leave in folders."""


def four_pictures(content: bytes, max_bytes: int) -> list[bytes]:
    """The files 1, 2, 3, 4 of a zip. Raises as `numbered_pictures`."""
    return list(numbered_pictures(content, max_bytes, FRAMES, SUFFIXES))


def numbered_pictures(content: bytes, max_bytes: int, count: int, suffixes: Collection[str]) -> Iterator[bytes]:
    """The files 1 to `count` of a zip, in that order, whose names end in one of `suffixes`; each is inflated when it is asked
    for. Of a path, written with either slash, the last component counts. Directories and the files that operating systems
    leave in folders are ignored.

    Raises Fault: INF-22 not a zip, encrypted, damaged, or a compression other than deflate; INF-24 not so many files; INF-23
    a wrong name, or the same number twice; INF-04 a file of more than `max_bytes` inflated.
    """
    _check_entries(content)
    with failing_as(ResultCode.NOT_A_ZIP), zipfile.ZipFile(BytesIO(content)) as archive:
        named = [(_file_name(entry.filename), entry) for entry in archive.infolist()]
        files = [(name, entry) for name, entry in named if name]
        if len(files) != count:
            raise Fault(ResultCode.ZIP_COUNT, f"{len(files)} files")
        numbered = {_number(name, count, suffixes): entry for name, entry in files}
        if len(numbered) != count:
            raise Fault(ResultCode.ZIP_NAMES, "the same number twice")
        for number in sorted(numbered):
            yield _inflated(archive, numbered[number], max_bytes)


class Photos:
    """Files by name, of a zip or a folder. Of a path, written with either slash, the last component counts; upper and lower
    case are the same, and so are the ways in which Unicode composes a letter. Nothing is written.
    """

    def __init__(self, files: Iterable[tuple[str, Callable[[], bytes]]] = ()) -> None:
        """The paths of files, and what reads each."""
        self._files: dict[str, list[Callable[[], bytes]]] = {}
        for path, read in files:
            if name := _file_name(path):
                self._files.setdefault(_key(name), []).append(read)

    def read(self, name: str) -> bytes:
        """A file. Raises Refusal `no_such_photo` or `two_photos`; Fault INF-04 for a file that is too large, INF-22 for one
        that the zip has damaged; OSError.
        """
        found = self._files.get(_key(_file_name(name)), [])
        if len(found) == 1:
            return found[0]()
        if found:
            raise Refusal(ResultCode.ZIP_NAMES, "two_photos", "There are several photos of this name.")
        raise Refusal(ResultCode.NO_IMAGE, "no_such_photo", "There is no photo of this name.")

    @classmethod
    def zipped(cls, source: BinaryIO | bytes, max_bytes: int) -> Self:
        """Those of a zip, each inflated when it is read, and refused beyond `max_bytes`. Raises Fault INF-22 not a zip, INF-24
        too many entries in one that is in memory.
        """
        if isinstance(source, bytes):
            _check_entries(source)
            source = BytesIO(source)
        with failing_as(ResultCode.NOT_A_ZIP):
            archive = zipfile.ZipFile(source)

        def reader(entry: zipfile.ZipInfo) -> Callable[[], bytes]:
            def read() -> bytes:
                with failing_as(ResultCode.NOT_A_ZIP):
                    return _inflated(archive, entry, max_bytes)

            return read

        return cls((entry.filename, reader(entry)) for entry in archive.infolist())

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Those of a folder and the folders in it. Raises OSError."""
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return cls((str(path.relative_to(folder)), path.read_bytes) for path in found)


def _check_entries(content: bytes) -> None:
    if content.count(_ENTRY_SIGNATURE) > MOST_ENTRIES:
        raise Fault(ResultCode.ZIP_COUNT, f"more than {MOST_ENTRIES} entries")


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _file_name(path: str) -> str:
    """The last component of a path; empty for a directory and for what an operating system left there."""
    *folders, name = path.replace("\\", "/").split("/")
    return "" if _SIDECAR_FOLDER in folders or _SIDECAR.fullmatch(name) else name


def _number(name: str, count: int, suffixes: Collection[str]) -> int:
    match = _FRAME_NAME.fullmatch(name)
    if match is None or int(match[1]) > count or match[2].lower() not in suffixes:
        raise Fault(ResultCode.ZIP_NAMES, f"{name[:80]!r}")
    return int(match[1])


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """The file's bytes. A file that declares too many is refused before any of it is inflated."""
    if entry.compress_type not in _BOUNDED:
        raise Fault(ResultCode.NOT_A_ZIP, f"{entry.filename}: compression method {entry.compress_type}")
    content = b""
    if entry.file_size <= max_bytes:
        with archive.open(entry) as file:
            content = file.read(max_bytes + 1)
    if max(entry.file_size, len(content)) > max_bytes:
        raise Fault(ResultCode.BROKEN_IMAGE, f"{entry.filename}: more than {max_bytes} bytes inflated")
    return content
