"""The zip of a liveness request: four pictures, named 1 to 4, in that order."""

import io
import warnings
import zipfile

import pytest

from appliance.faults import Fault
from appliance.imaging.archive import SUFFIXES, four_pictures, numbered_pictures

MOST = 1000
FOUR = {"1.png": b"one", "2.png": b"two", "3.png": b"three", "4.png": b"four"}


def zipped(files, compression=zipfile.ZIP_DEFLATED, comment=b""):
    """`files`: name -> bytes, or pairs of them."""
    pairs = files.items() if isinstance(files, dict) else files
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore", UserWarning)  # a name twice, on purpose
        for name, content in pairs:
            archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def refusal(content, max_bytes=MOST):
    with pytest.raises(Fault) as caught:
        four_pictures(content, max_bytes)
    return caught.value.code.text


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_four_come_as_they_are(compression):
    assert four_pictures(zipped(FOUR, compression), MOST) == [b"one", b"two", b"three", b"four"]


def test_the_order_is_that_of_the_numbers():
    shuffled = [(name, FOUR[name]) for name in ("3.png", "1.png", "4.png", "2.png")]
    assert four_pictures(zipped(shuffled), MOST) == [b"one", b"two", b"three", b"four"]


@pytest.mark.parametrize("suffixes", [("png", "jpg", "jpeg", "PNG"), ("JPG", "JPEG", "Png", "jPg")])
def test_suffixes_in_any_case(suffixes):
    files = {f"{number}.{suffix}": b"%d" % number for number, suffix in enumerate(suffixes, 1)}
    assert four_pictures(zipped(files), MOST) == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    "folder", ["frames/", "a b/", "얼굴/", "./", "/", "//", "tmp/a/", "../", "C:\\a\\", "a\\b/", ".x/"]
)
def test_they_may_lie_in_any_folder(folder):
    files = [(folder, b""), *((folder + name, content) for name, content in FOUR.items())]
    assert four_pictures(zipped(files), MOST) == list(FOUR.values())


def test_each_may_lie_in_a_folder_of_its_own():
    files = [(f"{'abcd'[number]}/{name}", content) for number, (name, content) in enumerate(FOUR.items())]
    assert four_pictures(zipped(files), MOST) == list(FOUR.values())


@pytest.mark.parametrize(
    "sidecar",
    [
        "__MACOSX/._1.png",
        "__MACOSX/frames/._2.png",
        "__MACOSX/1.png",
        "._1.png",
        "frames/._1.png",
        ".DS_Store",
        "frames/.DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "tmp\\frames\\Thumbs.db",
        "tmp/frames/Desktop.ini",
        "frames/__MACOSX/1.png",
        "frames/Icon\r",
        "empty folder/",
        "empty folder\\",
        "1.png/",
    ],
)
def test_what_systems_leave_beside_files_is_passed_over(sidecar):
    assert four_pictures(zipped({sidecar: b"", **FOUR}), MOST) == list(FOUR.values())


@pytest.mark.parametrize(
    "names", [(), ("1.png",), ("1.png", "2.png", "3.png"), ("1.png", "2.png", "3.png", "4.png", "5.png")]
)
def test_other_than_four_files_are_inf_24(names):
    assert refusal(zipped(dict.fromkeys(names, b"x"))) == "INF-24"


@pytest.mark.parametrize(
    "name",
    [
        "0.png",
        "5.png",
        "11.png",
        "01.png",
        "1.gif",
        "1.png.exe",
        "1",
        "1.",
        "one.png",
        " 1.png",
        "1.png ",
        "1 .png",
        "1.png\n",
        "\u0661.png",
        "C:1.png",
        "frames/01.png",
        "1.png/x.png",
    ],
)
def test_a_wrong_name_is_inf_23(name):
    files = [(name, b"x"), *((other, FOUR[other]) for other in ("2.png", "3.png", "4.png"))]
    assert refusal(zipped(files)) == "INF-23"


@pytest.mark.parametrize("name", ["1.jpg", "1.PNG", "frames/1.png", "a\\b\\1.png", "1.png"])
def test_the_same_number_twice_is_inf_23(name):
    files = [("1.png", b"x"), (name, b"y"), ("2.png", b"z"), ("3.png", b"w")]
    assert refusal(zipped(files)) == "INF-23"


def test_a_wrong_count_is_reported_before_wrong_names():
    assert refusal(zipped({"holiday.png": b"x"})) == "INF-24"


def test_a_file_may_be_as_large_as_the_limit_and_no_larger():
    assert four_pictures(zipped(FOUR | {"2.png": b"x" * MOST}), MOST)[1] == b"x" * MOST
    assert refusal(zipped(FOUR | {"2.png": b"x" * (MOST + 1)})) == "INF-04"


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"PK\x05\x06", b"hello", b"\xff\xd8\xff\xe0" * 50])
def test_what_is_no_zip_is_inf_22(content):
    assert refusal(content) == "INF-22"


def test_a_file_is_inflated_when_it_is_asked_for():
    files = numbered_pictures(zipped({"1.jpg": b"abc", "2.jpg": b"abcdef"}), 5, 2, SUFFIXES)

    assert next(files) == b"abc"
    with pytest.raises(Fault, match="more than 5 bytes"):
        next(files)


def test_an_empty_zip_has_no_four_files():
    assert refusal(zipped({})) == "INF-24"


def test_a_zip_behind_something_else_is_a_zip_all_the_same():
    assert four_pictures(b"#!/bin/sh\nexit\n" + zipped(FOUR, comment=b"made here"), MOST) == list(FOUR.values())
