"""Whatever is posted: never a 5xx, always JSON with a code of the contract, never more memory than the limits allow."""

import zipfile
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pytest
from bodies import GIB, MIB, Posted, black_png, bomb, form, frames, jpeg, png, png16, png_that_claims, raw_zip, zipped
from client import Client
from devices import Child
from document import FORM_PATHS, PICTURE_PATHS, POST_PATHS, RAW_BYTES, assert_known
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

SEED = settings(derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SMALL = Image.effect_mandelbrot((48, 40), (-2, -1.2, 1, 1.2), 30).convert("RGB")

PICTURES = (
    jpeg(SMALL),
    jpeg(SMALL, progressive=True),
    jpeg(SMALL.convert("L")),
    jpeg(SMALL.convert("CMYK")),
    png(SMALL),
    png(SMALL.convert("RGBA")),
    png(SMALL.quantize(16)),
    png16(SMALL),
)

POSITIONS = st.floats(0, 1, exclude_max=True)

CONTENT_TYPES = st.sampled_from(
    ["image/jpeg", "multipart/form-data", "multipart/form-data; boundary=x", 'multipart/form-data; boundary="', ""]
) | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Some bytes changed, some cut out, some doubled, the end perhaps missing."""
    content = bytearray(whole)
    for position, value in draw(st.lists(st.tuples(POSITIONS, st.integers(0, 255)), max_size=8)):
        content[int(position * len(content))] = value
    if draw(st.booleans()):
        start = int(draw(POSITIONS) * len(content))
        content[start : start + draw(st.integers(0, 40))] = draw(st.binary(max_size=40))
    if draw(st.booleans()):
        del content[int(draw(POSITIONS) * len(content)) :]
    return bytes(content)


ANY_PICTURE = st.sampled_from(PICTURES).flatmap(damaged) | st.sampled_from(PICTURES)

ANY_FILE = ANY_PICTURE | st.binary(max_size=200)

NAMES = st.sampled_from(
    [
        *(f"{number}.{suffix}" for number in range(1, 5) for suffix in ("jpg", "PNG", "jpeg")),
        *("../1.jpg", "/etc/passwd", "C:\\1.jpg", "a/b/c/1.jpg", "__MACOSX/._1.jpg", ".DS_Store", "1.jpg/", "", "\0"),
        *("1.jpg\0.exe", "5.jpg", "1", "a/", "x" * 300, "\u202e1.jpg", "Thumbs.db"),
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def forms(draw: st.DrawFn) -> Posted:
    """A form of the right shape, or nearly."""
    names = draw(st.lists(st.sampled_from(["image_a", "image_b", "images", "", "x", 'a"b', "é"]), max_size=5))
    content = ANY_FILE | st.just(bytes(RAW_BYTES))
    boundary = draw(st.sampled_from(["x", "----WebKitFormBoundaryAb1", "a b", "é"]))
    headers, body = form(
        [(name, draw(content)) for name in names], boundary, draw(st.sampled_from([None, "", "a.jpg"]))
    )
    if draw(st.booleans()):
        body = draw(damaged(body))
    if draw(st.booleans()):
        headers = {"Content-Type": draw(CONTENT_TYPES)}
    return {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}, body


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A zip of the right shape, or nearly."""
    names = draw(st.lists(NAMES, max_size=6) | st.just(["1.jpg", "2.jpg", "3.jpg", "4.jpg"]))
    files = [(name.encode()[:500], draw(ANY_FILE)) for name in names]
    method = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 12, 14, 9, 99]))
    entries = [(name, content, draw(st.sampled_from([len(content), 0, 2**32 - 1]))) for name, content in files]
    content = raw_zip(entries, method, flags=draw(st.sampled_from([0, 1, 8, 0x800, 0x41])))
    return draw(damaged(content)) if draw(st.booleans()) else content


@pytest.mark.parametrize("path", POST_PATHS)
@settings(SEED, max_examples=100)
@given(body=st.binary(max_size=300) | ANY_FILE, content_type=CONTENT_TYPES)
def test_any_body_of_any_type(device: Client, path: str, body: bytes, content_type: str) -> None:
    assert_known(device.post(path, body, {"Content-Type": content_type}))


@settings(SEED, max_examples=300)
@given(picture=ANY_PICTURE, path=st.sampled_from(PICTURE_PATHS))
def test_any_picture(device: Client, path: str, picture: bytes) -> None:
    assert_known(device.post(path, picture))


@settings(SEED, max_examples=60)
@given(damage=st.data())
def test_any_damage_to_a_photo(device: Client, portrait: bytes, damage: st.DataObject) -> None:
    assert_known(device.post("/alignedfaces", damage.draw(damaged(portrait))))


@pytest.mark.parametrize("path", FORM_PATHS)
@settings(SEED, max_examples=100)
@given(posted=forms())
def test_any_form(device: Client, path: str, posted: Posted) -> None:
    headers, body = posted

    assert_known(device.post(path, body, headers))


@settings(SEED, max_examples=300)
@given(archive=archives())
def test_any_zip(device: Client, archive: bytes) -> None:
    headers, body = form({"images": archive})

    assert_known(device.post("/liveness/multiframe", body, headers))


@settings(SEED, max_examples=150)
@given(
    name=st.sampled_from(["minsize", "maxsize", "detectcount", "x"]),
    value=st.text(max_size=8) | st.integers(-99, 999).map(str) | st.floats(max_value=999).map(str),
    raw=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=8),
)
def test_any_query(device: Client, name: str, value: str, raw: str) -> None:
    assert_known(device.post(f"/faces?{name}={quote(value)}&{raw}", PICTURES[4]))


@settings(SEED, max_examples=150)
@given(path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="?#"), max_size=30))
def test_any_path(device: Client, path: str) -> None:
    assert_known(device.post(f"/{path}", b"x"))


@settings(SEED, max_examples=150)
@given(
    line=st.binary(max_size=80) | st.sampled_from([b"POST /faces HTTP/1.1", b"GET /version HTTP/1.0"]),
    headers=st.lists(st.binary(max_size=40) | st.sampled_from([b"Content-Length: 3", b"Expect: 100-continue"])),
)
def test_any_bytes_instead_of_http(device: Client, line: bytes, headers: list[bytes]) -> None:
    with device.wire() as wire:
        wire.send(b"\r\n".join([line, *headers]) + b"\r\n\r\nabc\r\n\r\n" + b"!\r\n\r\n" * 2)

        answer = wire.answer()

        assert answer.status == 100 or answer.code in ("INF-00", "INF-01", "INF-02", "INF-03", "INF-04")


def many_entries() -> bytes:
    return raw_zip([(b"1.jpg", b"", 0)] * 65_536, zipfile.ZIP_STORED)


def nested() -> bytes:
    inside = bomb(64 * MIB)
    return zipped({f"{number}.png": inside for number in range(1, 5)})


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a gigabyte of zeros in deflate": lambda: bomb(GIB),
    "a lot of zeros in bzip2": lambda: bomb(160 * MIB, zipfile.ZIP_BZIP2),
    "a zip of 65,536 entries": many_entries,
    "zips in a zip": nested,
    "pictures that claim to be huge": lambda: frames([png_that_claims(65_500, 65_500)] * 4, "png"),
    "pictures that are huge": lambda: frames([black_png(9_000, 9_000)] * 4, "png"),
}


def hostile_requests(archive: bytes) -> Sequence[tuple[str, Posted]]:
    """The zip to where zips go, and its first megabytes to everywhere else."""
    pair = form({"image_a": archive[: 3 * MIB], "image_b": archive[: 3 * MIB]})
    return [("/liveness/multiframe", form({"images": archive})), ("/faces", ({}, archive)), ("/similarity", pair)]


@pytest.mark.parametrize("what", HOSTILE)
def test_memory_stays_bounded(child: Child, what: str) -> None:
    client = child.ready()
    before, peak_before = child.resident(), child.resident("VmHWM")

    for path, (headers, body) in hostile_requests(HOSTILE[what]()):
        assert_known(client.post(path, body, headers))

    assert child.resident("VmHWM") - peak_before < 128 * MIB
    assert child.resident() - before < 64 * MIB


@pytest.mark.parametrize(
    "picture", [png_that_claims(65_500, 65_500), png_that_claims(40_000_001, 1), black_png(9_000, 9_000)], ids=len
)
def test_a_picture_over_the_limit_is_not_decoded(child: Child, picture: bytes) -> None:
    client = child.ready()
    peak_before = child.resident("VmHWM")

    for path in PICTURE_PATHS:
        assert_known(client.post(path, picture))

    assert child.resident("VmHWM") - peak_before < 64 * MIB


def test_a_body_over_the_limit_is_not_kept(child: Child) -> None:
    client = child.ready()
    client.post("/faces", bytes(8 * MIB))
    peak_before = child.resident("VmHWM")

    for _ in range(2):
        assert client.post("/faces", bytes(60 * MIB)).status == 413

    assert child.resident("VmHWM") - peak_before < 48 * MIB  # what loads after the start takes 23; a kept body, 60
