"""`POST /liveness/multiframe`: what the zip may be, and what the confidence may be."""

import zipfile

import pytest
from bodies import MIB, bomb, form, frames, jpeg, moving, opened, oriented, png, png_that_claims, raw_zip, zipped
from client import Answer, Client
from document import assert_fraction, assert_refusal
from PIL import Image

AT_MOST = 0.30


@pytest.fixture(scope="module")
def four(portrait: bytes) -> list[bytes]:
    """Four frames of one person."""
    return moving(opened(portrait))


def judged(device: Client, archive: bytes) -> Answer:
    headers, body = form({"images": archive})
    return device.post("/liveness/multiframe", body, headers)


def confidence(device: Client, archive: bytes) -> float:
    return assert_fraction(judged(device, archive), "confidence")


def test_four_frames_of_one_person_are_not_capped(device: Client, four: list[bytes]) -> None:
    assert confidence(device, frames(four)) > AT_MOST


def test_the_same_still_four_times_is_capped(device: Client, portrait: bytes) -> None:
    assert confidence(device, frames([portrait] * 4)) <= AT_MOST


def test_one_still_twice_in_a_row_is_capped(device: Client, four: list[bytes]) -> None:
    assert confidence(device, frames([four[0], four[0], four[2], four[3]])) <= AT_MOST


def test_a_still_that_was_written_anew_each_time_is_capped(device: Client, portrait: bytes) -> None:
    image = opened(portrait)

    assert confidence(device, frames([jpeg(image, quality=quality) for quality in (70, 80, 90, 95)])) <= AT_MOST


@pytest.mark.parametrize("strangers", [1, 2])
def test_two_persons_are_capped(device: Client, four: list[bytes], hopper: bytes, strangers: int) -> None:
    others = moving(opened(hopper))

    assert confidence(device, frames(four[strangers:] + others[:strangers])) <= AT_MOST


def test_the_largest_face_of_each_frame_is_taken(device: Client, four: list[bytes], hopper: bytes) -> None:
    bystander = opened(hopper).crop((150, 80, 380, 380)).resize((46, 60))
    crowded = [opened(frame) for frame in four]
    for image in crowded[:2]:
        image.paste(bystander, (image.width - 60, image.height - 70))

    assert confidence(device, frames([jpeg(image) for image in crowded])) > AT_MOST


def test_the_numbers_are_the_time_order(device: Client, four: list[bytes]) -> None:
    a, b, c, _ = four

    assert confidence(device, frames([a, b, a, c])) > AT_MOST
    assert confidence(device, frames([a, a, b, c])) <= AT_MOST


def test_the_order_in_the_zip_is_not_the_time_order(device: Client, four: list[bytes]) -> None:
    a, b, c, _ = four

    assert confidence(device, zipped({"1.jpg": a, "3.jpg": a, "2.jpg": b, "4.jpg": c})) > AT_MOST
    assert confidence(device, zipped({"1.jpg": a, "3.jpg": b, "2.jpg": a, "4.jpg": c})) <= AT_MOST


@pytest.mark.parametrize(
    "names",
    [
        ("1.jpg", "2.jpeg", "3.JPG", "4.JpEg"),
        ("1.png", "2.PNG", "3.png", "4.Png"),
        ("frames/1.jpg", "frames/2.jpg", "frames/3.jpg", "frames/4.jpg"),
        ("/1.jpg", "tmp/a/2.jpg", "./frames/3.jpg", "C:\\photos\\4.jpg"),
    ],
)
def test_names_in_any_case_and_any_folder_are_taken(device: Client, four: list[bytes], names: tuple[str]) -> None:
    assert confidence(device, zipped(zip(names, four, strict=True))) > AT_MOST


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_files_are_read(device: Client, four: list[bytes], compression: int) -> None:
    files = {f"{number}.jpg": frame for number, frame in enumerate(four, 1)}

    assert confidence(device, zipped(files, compression)) > AT_MOST


def test_directories_and_sidecars_are_no_images(device: Client, four: list[bytes]) -> None:
    files = {
        "a/": b"",
        "__MACOSX/": b"",
        "__MACOSX/._1.jpg": b"resource fork",
        "a/.DS_Store": b"Bud1",
        "._2.jpg": b"resource fork",
        **{f"a/{number}.jpg": frame for number, frame in enumerate(four, 1)},
        "__MACOSX/a/._4.jpg": b"resource fork",
    }

    assert confidence(device, zipped(files)) > AT_MOST


def test_a_frame_is_turned_upright(device: Client, four: list[bytes]) -> None:
    turned = [oriented(opened(frame), number) for number, frame in zip((3, 6, 8, 1), four, strict=True)]

    assert confidence(device, frames(turned)) > AT_MOST


@pytest.mark.parametrize("archive", [b"no zip", b"PK\x05\x06", b"PK\x03\x04" + bytes(100)], ids=repr)
def test_what_is_no_zip_is_refused(device: Client, archive: bytes) -> None:
    assert_refusal(judged(device, archive), 400, "INF-22")


def test_a_picture_is_no_zip(device: Client, portrait: bytes) -> None:
    assert_refusal(judged(device, portrait), 400, "INF-22")


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_a_truncated_zip_is_refused(device: Client, four: list[bytes], share: float) -> None:
    archive = frames(four)

    assert_refusal(judged(device, archive[: int(len(archive) * share)]), 400, "INF-22")


def test_a_file_that_is_damaged_in_the_zip_is_refused(device: Client, four: list[bytes]) -> None:
    archive = bytearray(frames(four))
    archive[archive.index(four[2][:64]) + 2000] ^= 0xFF

    assert_refusal(judged(device, bytes(archive)), 400, "INF-22")


def test_an_encrypted_zip_is_refused(device: Client, four: list[bytes]) -> None:
    entries = [(f"{number}.jpg".encode(), frame, len(frame)) for number, frame in enumerate(four, 1)]

    assert_refusal(judged(device, raw_zip(entries, zipfile.ZIP_STORED, flags=1)), 400, "INF-22")


@pytest.mark.parametrize(
    "names",
    [
        ("1.jpg", "2.jpg", "3.jpg", "5.jpg"),
        ("0.jpg", "1.jpg", "2.jpg", "3.jpg"),
        ("1.jpg", "2.jpg", "3.jpg", "frame.jpg"),
        ("1.jpg", "2.jpg", "3.jpg", "4.gif"),
        ("1.jpg", "2.jpg", "3.jpg", "4"),
        ("1.jpg", "2.jpg", "3.jpg", "04.jpg"),
        ("1.jpg", "2.jpg", "3.jpg", "4.jpg.png"),
        ("1.jpg", "2.jpg", "3.jpg", "٤.jpg"),
        ("1.jpg", "2.jpg", "3.jpg", "4.jpg\n"),
    ],
)
def test_a_wrong_name_is_refused(device: Client, four: list[bytes], names: tuple[str, ...]) -> None:
    assert_refusal(judged(device, zipped(zip(names, four, strict=True))), 400, "INF-23")


def test_the_same_number_twice_is_refused(device: Client, four: list[bytes]) -> None:
    names = ("1.jpg", "2.jpg", "3.jpg", "3.png")

    assert_refusal(judged(device, zipped(zip(names, four, strict=True))), 400, "INF-23")


@pytest.mark.parametrize("count", [0, 1, 3, 5, 9])
def test_not_four_files_are_refused(device: Client, portrait: bytes, count: int) -> None:
    assert_refusal(judged(device, frames([portrait] * count)), 400, "INF-24")


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("wrong", [b"", b"text", b"\xff\xd8\xff\xe0" + bytes(500)], ids=len)
def test_a_frame_that_does_not_decode_is_refused(device: Client, four: list[bytes], number: int, wrong: bytes) -> None:
    four = [*four]
    four[number - 1] = wrong

    assert_refusal(judged(device, frames(four)), 400, "INF-04")


@pytest.mark.parametrize("number", [1, 4])
def test_a_frame_without_a_face_is_refused(device: Client, four: list[bytes], number: int) -> None:
    four = [*four]
    four[number - 1] = png(Image.new("RGB", (320, 240), "grey"))

    assert_refusal(judged(device, frames(four)), 400, "INF-17")


@pytest.mark.parametrize("number", [1, 4])
def test_a_frame_of_too_many_pixels_is_refused(device: Client, four: list[bytes], number: int) -> None:
    four = [*four]
    four[number - 1] = png_that_claims(6400, 6251)

    assert_refusal(judged(device, frames(four)), 400, "INF-04")


def test_a_bomb_is_refused(device: Client) -> None:
    assert_refusal(judged(device, bomb(16 * MIB)), 400, "INF-04")
