"""Photos by name: where they are does not matter, and neither a path nor a zip can do harm."""

import io
import zipfile
from pathlib import Path

import pytest
from bodies import raw_zip, zipped

from appliance.faults import Fault, Refusal
from appliance.imaging.archive import MOST_ENTRIES, Photos

MIB = 2**20


def reason(photos: Photos, name: str) -> str:
    with pytest.raises(Refusal) as refused:
        photos.read(name)
    return refused.value.reason


@pytest.mark.parametrize("name", ["Zoë.JPG", "zoe\u0308.jpg", "photos/zoë.jpg", "C:\\photos\\Zoë.jpg", "../../Zoë.jpg"])
def test_of_a_path_the_last_component_counts(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Zoë.jpg").write_bytes(b"z")
    for photos in (Photos.in_folder(tmp_path), Photos.zipped(zipped({"../etc/zoë.jpg": b"z"}), MIB)):
        assert photos.read(name) == b"z"


def test_a_file_elsewhere_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    photos = Photos.in_folder(tmp_path / "photos")
    for name in ("../secret", str(tmp_path / "secret"), "secret", "", ".."):
        assert reason(photos, name) == "no_such_photo"


def test_two_photos_of_one_name_are_refused() -> None:
    photos = Photos.zipped(zipped({"a/1.jpg": b"a", "b/1.JPG": b"b", "__MACOSX/2.jpg": b"", "2.jpg": b"c"}), MIB)
    assert reason(photos, "1.jpg") == "two_photos"
    assert photos.read("2.jpg") == b"c"


def test_a_zip_that_inflates_to_much_is_refused_file_by_file() -> None:
    photos = Photos.zipped(zipped({"big.jpg": bytes(MIB + 1), "a.jpg": b"a"}, zipfile.ZIP_DEFLATED), MIB)
    with pytest.raises(Fault) as refused:
        photos.read("big.jpg")
    assert refused.value.code.text == "INF-04"
    assert photos.read("a.jpg") == b"a"


def test_what_is_no_zip_and_too_many_entries_are_refused() -> None:
    many = zipped((str(number), b"") for number in range(MOST_ENTRIES + 1))
    for content, code in ((b"no zip", "INF-22"), (many, "INF-24")):
        with pytest.raises(Fault) as refused:
            Photos.zipped(content, MIB)
        assert refused.value.code.text == code
    assert reason(Photos.zipped(io.BytesIO(many), MIB), "x") == "no_such_photo"
    damaged = Photos.zipped(raw_zip([(b"1.jpg", b"abc", 3)], zipfile.ZIP_STORED, crc=7), MIB)
    with pytest.raises(Fault) as refused:
        damaged.read("1.jpg")
    assert refused.value.code.text == "INF-22"
