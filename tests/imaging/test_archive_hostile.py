"""Zips that were damaged, encrypted or made to hurt: only the documented codes, little memory, nothing on disk."""

import io
import struct
import tracemalloc
import zipfile

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st

from appliance.faults import Fault
from appliance.imaging.archive import MOST_ENTRIES, four_pictures

MIB = 2**20
DOCUMENTED = {None, "INF-04", "INF-22", "INF-23", "INF-24"}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

names = st.one_of(
    st.sampled_from([f"{folder}{n}.png" for n in range(6) for folder in ("", "a/", "../", "/", "__MACOSX/", ".")]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20),
)


def zipped(files, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def four(first=b"one" * 50, compression=zipfile.ZIP_DEFLATED):
    return zipped({"1.png": first, "2.png": b"two" * 50, "3.png": b"three" * 50, "4.png": b"four" * 50}, compression)


def refusal(content, max_bytes=MIB):
    """The code with which it is refused; None when it is not. Any other exception is a mistake and comes through."""
    try:
        four_pictures(content, max_bytes)
    except Fault as fault:
        return fault.code.text
    return None


def peak_memory(content, max_bytes):
    tracemalloc.start()
    try:
        code = refusal(content, max_bytes)
        return code, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_cut_anywhere_is_refused(compression):
    content = four(compression=compression)
    assert refusal(content) is None
    assert {refusal(content[:cut]) for cut in range(len(content))} == {"INF-22"}


def test_a_changed_byte_of_a_picture_is_found_out():
    content = four(compression=zipfile.ZIP_STORED).replace(b"oneoneone", b"oneONEone", 1)
    assert refusal(content) == "INF-22"


def test_an_encrypted_zip_is_refused():
    content = bytearray(four())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    assert refusal(bytes(content)) == "INF-22"


@pytest.mark.parametrize("method", [1, 6, 9, 12, 14, 95, 97, 99])
def test_a_compression_other_than_deflate_is_refused(method):
    content = bytearray(four())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = content.index(signature) + offset
        content[start : start + 2] = struct.pack("<H", method)
    assert refusal(bytes(content)) == "INF-22"


@pytest.mark.parametrize("compression", METHODS)
def test_a_file_that_inflates_without_end_costs_no_more_than_the_limit_allows(compression):
    content = four(bytes(30 * MIB), compression)
    code, peak = peak_memory(content, MIB)
    assert code in ("INF-04", "INF-22")
    assert peak < (len(content) if compression == zipfile.ZIP_STORED else 0) + 8 * MIB


def test_a_file_that_declares_more_than_the_limit_is_not_inflated():
    code, peak = peak_memory(four(bytes(30 * MIB)), 16 * MIB)
    assert (code, peak < MIB) == ("INF-04", True)


def test_nor_does_one_that_lies_about_its_size():
    content = bytearray(four(bytes(30 * MIB)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.index(signature) + offset
        content[start : start + 4] = struct.pack("<I", 100)
    code, peak = peak_memory(bytes(content), MIB)
    assert (code, peak < 8 * MIB) == ("INF-22", True)


def test_a_directory_without_end_is_not_read():
    content = four()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries = content[start:end] * (MOST_ENTRIES * 8)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(entries), start, 0)
    code, peak = peak_memory(content[:start] + entries + tail, MIB)
    assert (code, peak < MIB) == ("INF-24", True)


def test_a_long_name_is_distinguished_from_a_sidecar_at_once():
    assert refusal(zipped({"./" * 30_000 + "1.png": b"x"})) == "INF-24"


def test_nothing_is_written_to_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(four()) is None
    assert refusal(zipped({"../1.png": b"x", "2.png": b"x", "3.png": b"x", "4.png": b"x"})) is None
    assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.parent.glob("*.png")) == []


@given(st.dictionaries(names, st.binary(max_size=200), max_size=6), st.sampled_from(METHODS))
@PARSER
def test_a_zip_of_anything_gets_a_documented_answer(files, compression):
    assert refusal(zipped(files, compression), 100) in DOCUMENTED


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_so_does_one_with_changed_bytes(changes):
    content = bytearray(four())
    for place, value in changes:
        content[place % len(content)] = value
    assert refusal(bytes(content)) in DOCUMENTED


@given(st.binary(max_size=300))
@PARSER
def test_so_does_no_zip_at_all(content):
    assert refusal(content) == "INF-22"
    assert refusal(b"PK\x03\x04" + content) == "INF-22"
