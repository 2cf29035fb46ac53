"""Bodies of other forms: a photograph as a file of a form, and compressed bodies; and what a refusal says of the limits."""

import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bodies import form, zipped
from client import HOST, Client
from devices import MAX_BODY, Device, pool, shipped_engine
from document import PICTURE_PATHS, RAW_BYTES, assert_faces, assert_fraction, assert_refusal, assert_success
from hypothesis import given, settings
from hypothesis import strategies as st
from people import add, assert_all, assert_enrolled, body

from appliance.vision.loading import Choice

PHOTO_PATHS = (*PICTURE_PATHS, "/identify")


@pytest.fixture(scope="module")
def keeper(choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a device that knows x, with an engine."""
    with Device(pool(shipped_engine(choice)), gallery=tmp_path_factory.mktemp("kept"), choice=choice) as running:
        add(running.client, "x")
        yield running.client


@pytest.mark.parametrize("path", PHOTO_PATHS)
def test_a_photograph_may_be_the_file_of_a_form(keeper: Client, portrait: bytes, path: str) -> None:
    headers, content = form({"whatever": portrait})
    plain, posted = keeper.post(path, portrait), keeper.post(path, content, headers)

    assert posted.content == plain.content


def test_a_person_is_enrolled_by_the_file_of_a_form(keeper: Client, portrait: bytes) -> None:
    headers, content = form({"photo": portrait})

    assert_enrolled(keeper.post("/people/x/templates", content, headers))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_posts_a_file_beside_fields(device: Client, portrait: bytes, tmp_path: Path) -> None:
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(portrait)
    line = ["curl", "-sS", "-F", "user=alice", "-F", f"image=@{picture}", "-F", f"other=@{__file__}"]

    told = subprocess.run([*line, f"http://{HOST}:{device.port}/faces"], capture_output=True, check=True)

    assert b'"count":1' in told.stdout


def test_the_first_file_is_taken_and_fields_are_passed_over(device: Client, portrait: bytes, hopper: bytes) -> None:
    headers, content = form([("user", b"alice"), ("a", b""), ("b", portrait), ("c", hopper)], filename="")

    assert assert_faces(device.post("/faces", content, headers)) == assert_faces(device.post("/faces", portrait))


@pytest.mark.parametrize("path", PHOTO_PATHS)
def test_a_form_without_a_file_has_no_picture(keeper: Client, path: str) -> None:
    headers, content = form({"user": b"alice"}, filename=None)

    assert_refusal(keeper.post(path, content, headers), 400, "INF-03")
    assert_refusal(keeper.post(path, content[:-20], headers), 400, "INF-01")


def test_a_file_that_is_no_picture_is_named_as_such(keeper: Client) -> None:
    headers, content = form({"photo": b"hello"})
    answer = keeper.post("/people/x/templates", content, headers)

    assert_refusal(answer, 400, "INF-04")
    assert "40 megapixels" in answer.document["text"]


@pytest.mark.parametrize("path", ["/people", "/identify", "/people/x/templates", "/compare"])
def test_a_body_that_is_too_large_is_reported_the_limit(keeper: Client, path: str) -> None:
    answer = keeper.post(path, bytes(MAX_BODY + 1))

    assert_refusal(answer, 413, "INF-01")
    assert answer.document["reason"] == "too_large"
    assert str(MAX_BODY) in answer.document["text"]


def raw_deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


CODED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "GZip": gzip.compress, "deflate": zlib.compress}
WAYS = [*CODED.items(), ("deflate", raw_deflate)]


@pytest.mark.parametrize(("coding", "compress"), WAYS, ids=[*CODED, "raw deflate"])
def test_a_compressed_body_is_as_good_as_the_body(device: Client, portrait: bytes, coding: str, compress) -> None:
    headers = {"Content-Encoding": coding}
    pair, content = form(dict.fromkeys(("image_a", "image_b"), bytes(range(256)) * (RAW_BYTES // 256)))

    assert assert_faces(device.post("/faces", compress(portrait), headers)) == assert_faces(
        device.post("/faces", portrait)
    )
    assert assert_fraction(device.post("/similarity/v2", compress(content), {**headers, **pair}), "similarity") > 0.99


def test_json_may_be_compressed(tmp_path: Path) -> None:
    with Device(pool(), gallery=tmp_path) as running:
        content = gzip.compress(body({"id": "x", "name": "X"}))
        assert running.client.ask("POST", "/people", content, {"Content-Encoding": "gzip"}).status == 201
        assert len(assert_all(running.client.get("/people"))) == 1


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "nonsense", "\xff"])
def test_another_coding_is_refused_with_those_that_are_known(keeper: Client, portrait: bytes, coding: str) -> None:
    for path in ("/faces", "/identify"):
        answer = keeper.post(path, portrait, {"Content-Encoding": coding})
        assert_refusal(answer, 415, "INF-01")
        assert answer.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_a_body_that_is_reported_to_be_as_it_is_is(device: Client, portrait: bytes, coding: str) -> None:
    assert len(assert_faces(device.post("/faces", portrait, {"Content-Encoding": coding}))) == 1


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_damaged_compressed_body_is_invalid(device: Client, portrait: bytes, coding: str) -> None:
    whole = CODED[coding](portrait)
    damaged = bytes([*whole[:1000], whole[1000] ^ 0xFF, *whole[1001:]])
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:3], whole + b"x", damaged, portrait):
        assert_refusal(device.post("/faces", content, {"Content-Encoding": coding}), 400, "INF-01")
    assert_refusal(device.post("/faces", b"", {"Content-Encoding": coding}), 400, "INF-03")


def test_a_body_is_as_large_as_it_is_when_inflated(choice: Choice, portrait: bytes) -> None:
    with Device(pool(shipped_engine(choice)), max_body=100_000) as narrow, narrow.client.wire() as wire:
        for size, status in ((100_000, 400), (100_001, 413), (50_000_000, 413)):
            answer = wire.ask("POST", "/faces", gzip.compress(bytes(size)), {"Content-Encoding": "gzip"})
            assert_refusal(answer, status, {400: "INF-04", 413: "INF-01"}[status])
        for _ in range(20):  # each gives its memory back
            assert len(assert_faces(wire.ask("POST", "/faces", gzip.compress(portrait), {"Content-Encoding": "gzip"})))


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(content=st.binary(max_size=300), coding=st.sampled_from(["gzip", "deflate"]))
def test_whatever_is_compressed_or_not_is_no_picture(device: Client, content: bytes, coding: str) -> None:
    headers = {"Content-Encoding": coding}

    assert_refusal(device.post("/faces", CODED[coding](content), headers), 400, "INF-04" if content else "INF-03")
    assert_refusal(device.post("/faces", content, headers), 400, "INF-01" if content else "INF-03")


def test_a_zip_in_a_compressed_form_is_still_read(device: Client, portrait: bytes) -> None:
    headers, content = form({"images": zipped({f"{n}.jpg": portrait for n in range(1, 5)})})

    answer = device.post("/liveness/multiframe", gzip.compress(content), {**headers, "Content-Encoding": "gzip"})

    assert_success(answer, "confidence")
