"""What clients post: pictures of every kind, multipart forms and zips, made in memory."""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO

import cv2
import numpy as np
from living import stirred
from PIL import Image

Posted = tuple[dict[str, str], bytes]
"""Headers and body of a request."""

GIB = 2**30
MIB = 2**20

_EXIF_ORIENTATION = 0x0112

_AS_STORED = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}
"""What a camera that was held so does to the upright picture, by the EXIF orientation it writes (tag 274)."""


def opened(content: bytes) -> Image.Image:
    """The pixels of a picture."""
    return Image.open(BytesIO(content)).convert("RGB")


def jpeg(image: Image.Image, **options: object) -> bytes:
    return _saved(image, "JPEG", **{"quality": 92, **options})


def png(image: Image.Image, **options: object) -> bytes:
    return _saved(image, "PNG", compress_level=1, **options)


def png16(image: Image.Image) -> bytes:
    """A PNG of 16 bits a channel, of which only the upper eight show the picture."""
    pixels = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR) if image.mode == "RGB" else np.asarray(image)
    encoded, content = cv2.imencode(".png", pixels.astype(np.uint16) * 256)
    assert encoded
    return content.tobytes()


def oriented(image: Image.Image, orientation: int) -> bytes:
    """A JPEG that shows `image` once its EXIF orientation is applied."""
    stored = image
    for step in _AS_STORED[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = orientation
    return jpeg(stored, exif=exif.tobytes())


def black_png(width: int, height: int) -> bytes:
    """A picture of many pixels in few bytes."""
    return png(Image.new("L", (width, height)))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header names a size that its pixels do not have."""
    content = png(Image.new("RGB", (8, 8)))
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def jpeg_that_claims(width: int, height: int) -> bytes:
    """A JPEG whose header names a size that its pixels do not have."""
    content = bytearray(jpeg(Image.new("RGB", (8, 8))))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def group(people: Sequence[Image.Image], sides: Sequence[int]) -> Image.Image:
    """The people beside each other, each picture `side` pixels high."""
    scaled = [
        person.resize((person.width * side // person.height, side), Image.Resampling.LANCZOS)
        for person, side in zip(people, sides, strict=True)
    ]
    canvas = Image.new("RGB", (sum(person.width for person in scaled), max(sides)), (90, 100, 110))
    left = 0
    for person in scaled:
        canvas.paste(person, (left, 0))
        left += person.width
    return canvas


def moving(image: Image.Image) -> list[bytes]:
    """Four frames in which the head stirs and comes a little closer."""
    width, height = image.size
    frames = [Image.fromarray(stirred(np.asarray(image), step)) for step in range(4)]
    return [
        jpeg(frame.crop((step * 4, step * 3, width - step * 4, height - step * 3))) for step, frame in enumerate(frames)
    ]


def form(
    files: Mapping[str, bytes] | Iterable[tuple[str, bytes]],
    boundary: str = "------------------------d74496d66958873e",
    filename: str | None = "picture",
) -> Posted:
    """A multipart form as curl writes it."""
    parts = []
    for name, content in files.items() if isinstance(files, Mapping) else files:
        disposition = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
        kind = "" if filename is None else "Content-Type: application/octet-stream\r\n"
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n{kind}\r\n"
        parts.append(head.encode() + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    quoted = boundary if re.fullmatch(r"[\w.-]+", boundary) else f'"{boundary}"'
    return {"Content-Type": f"multipart/form-data; boundary={quoted}"}, b"".join(parts)


def zipped(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(name, content)
    return buffer.getvalue()


def frames(pictures: Sequence[bytes], suffix: str = "jpg") -> bytes:
    """The zip of a liveness request."""
    return zipped({f"{number}.{suffix}": picture for number, picture in enumerate(pictures, 1)})


def bomb(inflated: int, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of four files, 1.png to 4.png, each of `inflated` zeros."""
    zeros = _deflated_zeros(inflated) if compression == zipfile.ZIP_DEFLATED else _squeezed_zeros(inflated, compression)
    return raw_zip([(b"%d.png" % number, zeros, inflated) for number in range(1, 5)], compression)


def raw_zip(entries: Sequence[tuple[bytes, bytes, int]], compression: int, flags: int = 0, crc: int = 0) -> bytes:
    """A zip from (name, compressed bytes, inflated size), with nothing checked."""
    body, directory = bytearray(), bytearray()
    for name, content, inflated in entries:
        common = struct.pack("<HHHHHIIIHH", 63, flags, compression, 0, 0, crc, len(content), inflated, len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 63) + common
        directory += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\x03\x04" + common + name + content
    number = min(len(entries), 0xFFFF)
    end = struct.pack("<HHHHIIH", 0, 0, number, number, len(directory), len(body), 0)
    return bytes(body + directory + b"PK\x05\x06" + end)


def _deflated_zeros(size: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return block * (size // MIB) + compressor.flush()


def _squeezed_zeros(size: int, compression: int) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, compresslevel=1) as archive:
        with archive.open("z", "w") as file:
            for _ in range(size // MIB):
                file.write(bytes(MIB))
        (entry,) = archive.infolist()
    start = entry.header_offset + 30 + len(entry.filename)
    return buffer.getvalue()[start : start + entry.compress_size]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
