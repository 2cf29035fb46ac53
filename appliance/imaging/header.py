"""What a JPEG or PNG says of its pixels before they are decoded, and the file without everything that holds none.

Decoders are given that file alone, so that broken metadata never costs a picture, and a decoder that reports only its first
warning has no harmless one to report first.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil

from appliance.faults import Fault, ResultCode

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

MOST_SEGMENTS = 65_536
"""Segments of a JPEG or chunks of a PNG that are read, about 1 us each. A photograph has up to some hundred; a PNG of 8 MiB
in chunks of 4 KiB has 2,048.
"""

MOST_INTERVALS = 100_000
"""Restart intervals that are decoded one by one, 7 us each. A row of MCUs is usual: 40 megapixels have 400."""

LONGEST_SIDE = 65_500
"""Pixels of a side that libjpeg decodes (JPEG_MAX_DIMENSION)."""

_LONGEST_PROFILE = 2**20
"""Characters of an EXIF profile in a PNG's text: twice the 64 KiB that a JPEG's can have, and line ends."""

_SCAN_WORK, _PIXEL_WORK, _INTERLACED_WORK, _ROW_WORK = 1, 30, 33, 45
"""Nanoseconds of one core of an x86-64: of a pixel in each scan of a JPEG (.9, progressive, 12 megapixels), of a PNG's pixel
(29, a photograph; interlaced a tenth more), and of its row (36 more, in a picture one pixel wide).
"""

_JPEG_MEMORY, _CMYK_MEMORY, _PNG_MEMORY, _RARE_MEMORY = 4, 8, 8, 15
"""Bytes a pixel at the peak of decoding, first coarsely and then whole, of files of 7.7 megapixels in every mode: 3.7 of a
JPEG, 7.9 of one in CMYK, 7.7 of a PNG, 14.1 of a rare sampling.
"""

_COMMON_SAMPLING = {(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)}
"""Of the first component, when the others have one sample each: what TurboJPEG decodes."""

_ORIENTATION_TAG = 0x0112
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_RESTART = re.compile(rb"\xff+([\xd0-\xd7])")
_SOI, _EOI, _SOS, _DRI, _APP0, _APP1, _APP14, _TEM = 0xD8, 0xD9, 0xDA, 0xDD, 0xE0, 0xE1, 0xEE, 0x01
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_WITHOUT_PIXELS = {0xDC, *range(0xE0, 0xF0), 0xFE}
_JFIF = bytes.fromhex("ffe0 0010 4a46494600 0101 00 0001 0001 00 00")
_END = b"\xff\xd9"
_RAW_PROFILE = re.compile(rb"Raw profile type (?:exif|APP1)\0(.*)", re.IGNORECASE | re.DOTALL)


def _broken(text: str) -> Fault:
    return Fault(ResultCode.BROKEN_IMAGE, text)


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """A JPEG without metadata. `content` is SOI, the tables, the frame, the scans and EOI; `scans` are the places of the
    scans' entropy-coded data in it; `sampling` gives each component's horizontal and vertical factor; `adobe` says that the
    file has an Adobe marker; `restart` is the number of MCUs between restart markers (0: none).
    """

    content: bytes
    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    adobe: bool
    orientation: int
    scans: tuple[slice, ...]
    restart: int
    frame: int

    @property
    def work(self) -> int:
        return self.width * self.height * len(self.scans) * _SCAN_WORK

    @property
    def three_channels(self) -> bool:
        """Whether it is a plain colour picture."""
        return len(self.sampling) == 3

    @property
    def memory(self) -> int:
        """Bytes that decoding takes at most, without turning. libjpeg keeps all coefficients when there are several scans."""
        if len(self.sampling) == 4:
            each = _CMYK_MEMORY
        else:
            common = self.sampling[0] in _COMMON_SAMPLING and {*self.sampling[1:]} <= {(1, 1)}
            each = _JPEG_MEMORY if common else _RARE_MEMORY
        most = max(wide for wide, _ in self.sampling) * max(high for _, high in self.sampling)
        coefficients = ceil(2 * sum(wide * high for wide, high in self.sampling) / most) if len(self.scans) > 1 else 0
        return self.width * self.height * (each + coefficients)

    def padded(self, tail: bytes) -> bytes:
        """The file with `tail` behind the data of each scan and before each restart marker: where a decoder that has all its
        blocks does not look.
        """
        pieces, at = [], 0
        for scan in self.scans:
            data = _RESTART.sub(lambda marker: tail + marker[0], self.content[scan])
            pieces += [self.content[at : scan.start], data, tail]
            at = scan.stop
        return b"".join(pieces) + self.content[at:]

    def shortened(self, count: int) -> Iterator[bytes]:
        """The file without the last `count` bytes of one of its scans, for each scan."""
        for scan in self.scans:
            yield self.content[: max(scan.start, scan.stop - count)] + self.content[scan.stop :]

    def intervals(self) -> list[bytes]:
        """What lies between the restart markers of the only scan, each as a JPEG of its own. Raises Fault INF-04 when a restart
        marker is missing, when there are more than MOST_INTERVALS, or when more than one scan has them.
        """
        if len(self.scans) != 1:
            raise _broken("restart intervals in several scans")
        scan = self.scans[0]
        single = len(self.sampling) == 1
        wide, high = (1, 1) if single else (max(factors) for factors in zip(*self.sampling, strict=True))
        across, down = ceil(self.width / (8 * wide)), ceil(self.height / (8 * high))
        data = _RESTART.split(self.content[scan])
        numbers = [ord(number) & 7 for number in data[1::2]]
        if len(numbers) >= MOST_INTERVALS or numbers != [
            place % 8 for place in range(ceil(across * down / self.restart) - 1)
        ]:
            raise _broken("a restart marker is missing, or there are too many")
        counts = [self.restart] * len(numbers) + [across * down - self.restart * len(numbers)]
        return [
            self._alone(scan, part, _shape(count, across, 8 * wide, 8 * high))
            for part, count in zip(data[::2], counts, strict=True)
        ]

    def _alone(self, scan: slice, data: bytes, size: tuple[int, int]) -> bytes:
        width, height = size
        sides = self.frame + 5
        before = self.content[:sides] + struct.pack(">HH", height, width) + self.content[sides + 4 : scan.start]
        return before + data + _END


def _shape(count: int, across: int, wide: int, high: int) -> tuple[int, int]:
    """Width and height of a picture of `count` MCUs of `wide` x `high`: in one row, or in rows as long as the file's."""
    if count * wide <= LONGEST_SIDE:
        return count * wide, high
    if count % across:
        raise _broken(f"a restart interval of {count} MCUs")
    return across * wide, count // across * high


@dataclass(slots=True)
class _Jpeg:
    """A JPEG header in the making."""

    kept: list[bytes] = field(default_factory=lambda: [JPEG[:2]])
    length: int = 2
    scans: list[slice] = field(default_factory=list)
    frame: int = 0
    frame_kind: int = 0
    frame_body: bytes = b""
    begun: set[int] = field(default_factory=set)
    restart: int = 0
    jfif: bool = False
    transform: int | None = None
    exif: bytes | None = None

    def segment(self, marker: int, body: bytes) -> None:
        """Keeps a segment that the pixels need."""
        if marker in _WITHOUT_PIXELS:
            self._application(marker, body)
            return
        if marker in _FRAMES:
            self._start_frame(marker, body)
        elif marker == _DRI and len(body) == 2:
            self.restart = int.from_bytes(body)
        elif marker == _SOS:
            body = self._start_scan(body)
        self._keep(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)

    def scan(self, data: bytes) -> None:
        """Keeps the entropy-coded data of a scan."""
        self.scans.append(slice(self.length, self.length + len(data)))
        self._keep(data)

    def _keep(self, data: bytes) -> None:
        self.kept.append(data)
        self.length += len(data)

    def _application(self, marker: int, body: bytes) -> None:
        """The three application segments that matter: JFIF and Adobe give the colour space (libjpeg's rules, jdmarker.c), EXIF
        the orientation.
        """
        if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
            self.jfif = True
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
            self.transform = body[11]
        elif marker == _APP1 and body.startswith(b"Exif\0") and self.exif is None:
            self.exif = body[6:]

    def _start_frame(self, marker: int, body: bytes) -> None:
        if self.frame:
            raise _broken("two frames")
        if len(body) < 6 or body[0] != 8 or body[5] not in (1, 3, 4) or len(body) != 6 + 3 * body[5]:
            raise _broken("not 8 bits of one, three or four components")
        self.frame, self.frame_kind, self.frame_body = self.length, marker, body

    def _start_scan(self, body: bytes) -> bytes:
        """The scan's header; the spectral selection of a sequential file, which decoders ignore, as it should be."""
        if not self.frame or not body or len(body) != 4 + 2 * body[0]:
            raise _broken("a scan without a frame or with a wrong header")
        if not self.scans:
            self._name_colours()
        if self.frame_kind in _SEQUENTIAL:
            body = body[:-3] + b"\x00\x3f\x00"
        if body[-3] == 0:
            self.begun.update(body[1:-3:2])
        return body

    def _name_colours(self) -> None:
        """JFIF and Adobe segments as they should be. An unknown Adobe transform means YCbCr or YCCK, as to libjpeg."""
        if self.jfif:
            self._keep(_JFIF)
        if self.transform is not None:
            usual = 2 if self.frame_body[5] == 4 else 1
            transform = self.transform if self.transform in (0, usual) else usual
            self._keep(b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform]))

    def done(self) -> JpegHeader:
        if not self.frame or not self.begun.issuperset(self.frame_body[6::3]):
            raise _broken("a component has no pixels")
        height, width = struct.unpack_from(">HH", self.frame_body, 1)
        self._keep(_END)
        return JpegHeader(
            b"".join(self.kept),
            width,
            height,
            tuple((factors >> 4, factors & 15) for factors in self.frame_body[7::3]),
            self.transform is not None,
            _orientation(self.exif or b""),
            tuple(self.scans),
            self.restart,
            self.frame,
        )


def read_jpeg(content: bytes) -> JpegHeader:
    """Reads a JPEG up to its end marker; what follows does not matter. Raises Fault INF-04."""
    jpeg, at = _Jpeg(), 2
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(content, at)
        if found is None:
            raise _broken("no end marker")
        marker, at = found[0][1], found.end()
        if marker == _EOI:
            return jpeg.done()
        if marker == _TEM:
            continue
        end = at + int.from_bytes(content[at : at + 2])
        if marker == _SOI or end < at + 2 or end > len(content):
            raise _broken(f"a wrong segment 0x{marker:02x}")
        jpeg.segment(marker, content[at + 2 : end])
        at = end
        if marker == _SOS:
            following = _MARKER.search(content, at)
            at = following.start() if following else len(content)
            jpeg.scan(content[end:at])
    raise _broken(f"more than {MOST_SEGMENTS} segments")


@dataclass(frozen=True, slots=True)
class PngHeader:
    """A PNG without metadata: `content` is IHDR, the palette if the pixels need one, IDAT and IEND."""

    content: bytes
    width: int
    height: int
    depth: int
    colour_type: int
    interlaced: bool
    orientation: int

    @property
    def work(self) -> int:
        return self.height * (_ROW_WORK + self.width * (_INTERLACED_WORK if self.interlaced else _PIXEL_WORK))

    @property
    def memory(self) -> int:
        """Bytes that decoding takes at most, without turning."""
        return self.width * self.height * _PNG_MEMORY

    @property
    def three_channels(self) -> bool:
        """Whether it is a plain colour picture: no palette, no alpha, not grey."""
        return self.colour_type == 2


def read_png(content: bytes) -> PngHeader:
    """Reads a PNG up to its end; a wrong checksum of what holds pixels is damage, and any other chunk is ignored if it has one.
    Raises Fault INF-04.
    """
    header, palette, pixels = b"", b"", list[bytes]()
    exif, profile, finished = b"", b"", False
    for kind, body, sound in _chunks(content):
        if kind in (b"IHDR", b"PLTE", b"IDAT") and not sound:
            raise _broken(f"{kind.decode()}: wrong checksum")
        finished = finished or (bool(pixels) and kind != b"IDAT")
        if kind == b"IHDR":
            header = header or body
        elif kind == b"PLTE":
            palette = palette or body
        elif kind == b"IDAT" and not finished:
            pixels.append(body)
        elif kind == b"eXIf" and sound:
            exif = exif or body.removeprefix(b"Exif\0\0")
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and sound:
            profile = profile or _profile(kind, body)
    if len(header) != 13 or not pixels:
        raise _broken("no header or no pixels")
    width, height, depth, colour_type, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if colour_type == 3 and not palette:
        raise _broken("no palette")
    kept = [(b"IHDR", header), *([(b"PLTE", palette)] if colour_type == 3 else []), (b"IDAT", b"".join(pixels))]
    return PngHeader(
        PNG + b"".join(_chunk(kind, body) for kind, body in [*kept, (b"IEND", b"")]),
        width,
        height,
        depth,
        colour_type,
        interlace != 0,
        _orientation(exif or profile),
    )


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind and body of each chunk, and whether its checksum holds; up to IEND, or to what is no chunk. The last one may be cut
    off: its pixels may be all there.
    """
    at = len(PNG)
    for _ in range(MOST_SEGMENTS):
        kind = content[at + 4 : at + 8]
        if kind == b"IEND" or not kind.isalpha() or len(kind) != 4:
            return
        end = at + 8 + int.from_bytes(content[at : at + 4])
        checksum = content[end : end + 4]
        sound = len(checksum) < 4 or zlib.crc32(content[at + 4 : end]) == int.from_bytes(checksum)
        yield kind, content[at + 8 : end], sound
        at = end + 4
    raise _broken(f"more than {MOST_SEGMENTS} chunks")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _profile(kind: bytes, body: bytes) -> bytes:
    """The EXIF that ImageMagick keeps in a text: after two lines with its name and length, in hexadecimal digits. Empty when
    there is none.
    """
    found = _RAW_PROFILE.match(body)
    if found is None:
        return b""
    text = found[1]
    try:
        if kind == b"iTXt":
            compressed, text = text[:1] == b"\1", text[2:].split(b"\0", 2)[-1]
        else:
            compressed, text = kind == b"zTXt", text[1:] if kind == b"zTXt" else text
        if compressed:
            text = zlib.decompressobj().decompress(text, _LONGEST_PROFILE)
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii")).removeprefix(b"Exif\0\0")
    except (zlib.error, ValueError):
        return b""


def _orientation(exif: bytes) -> int:
    """EXIF's tag 274 in its first directory, if it is a number; otherwise 1, upright."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{order}HHI", exif, entry)
            if tag == _ORIENTATION_TAG:
                form = {3: "H", 4: "I"}.get(kind)
                if form is None or values != 1:
                    return 1
                return int(struct.unpack_from(f"{order}{form}", exif, entry + 8)[0])
    except struct.error:
        pass
    return 1
