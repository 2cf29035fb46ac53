"""Multipart forms: whose boundaries, which fields, and what is wrong with a form."""

import pytest
from bodies import form
from client import Client
from document import FORM_PATHS, RAW_BYTES, assert_fraction, assert_refusal

FACE = bytes(range(256)) * (RAW_BYTES // 256)

PAIR = {"image_a": FACE, "image_b": FACE}

NAMES = {"/similarity/v2": ("image_a", "image_b"), "/similarity": ("image_a", "image_b")}
NAMES |= {"/liveness/multiframe": ("images",), "/compare": ("image_a", "image_b")}


def similarity(device: Client, body: bytes, headers: dict[str, str]) -> float:
    return assert_fraction(device.post("/similarity/v2", body, headers), "similarity")


@pytest.mark.parametrize(
    "boundary",
    [
        "------------------------d74496d66958873e",
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        "---------------------------9051914041544843365972754266",
        "3f2a0c0b7c9d4a5f8d5b0a7e6c1f2d3b",
        "=_NextPart_ABCdef.123",
        "x",
        "Z" * 70,
    ],
)
def test_a_clients_own_boundary_is_taken(device: Client, boundary: str) -> None:
    headers, body = form(PAIR, boundary)

    assert similarity(device, body, headers) > 0.99


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="some mark"',
        'multipart/form-data; charset=utf-8; boundary="some mark"',
        'Multipart/Form-Data; Boundary="some mark"',
        'multipart/form-data;boundary="some mark"',
    ],
)
def test_a_boundary_may_be_quoted_and_the_type_be_written_in_any_way(device: Client, content_type: str) -> None:
    _, body = form(PAIR, "some mark")

    assert similarity(device, body, {"Content-Type": content_type}) > 0.99


@pytest.mark.parametrize("filename", [None, "", "a.jpg", "C:\\photos\\a.jpg", "../../a.jpg", "Фото.jpg"])
def test_a_part_may_have_any_file_name_or_none(device: Client, filename: str | None) -> None:
    headers, body = form(PAIR, filename=filename)

    assert similarity(device, body, headers) > 0.99


def test_text_fields_that_are_marked_as_files_with_an_empty_name_are_passed_over(device: Client) -> None:
    headers, body = form({"user": b"alice", **PAIR, "comment": b""}, filename="")

    assert similarity(device, body, headers) > 0.99


@pytest.mark.parametrize("charset", ["cp949", "shift_jis", "latin-1", "utf-16-le"])
def test_a_file_name_that_is_not_utf_8_does_not_refuse_the_form(device: Client, charset: str) -> None:
    filename = {"cp949": "사진", "shift_jis": "表", "latin-1": "é", "utf-16-le": "é"}[charset].encode(charset)
    headers, body = form(PAIR, filename="FILENAME")

    assert similarity(device, body.replace(b"FILENAME", filename), headers) > 0.99


@pytest.mark.parametrize("position", ["before", "after"])
def test_an_empty_part_of_the_same_name_does_not_hide_the_picture(device: Client, position: str) -> None:
    pair = [*PAIR.items()]
    headers, body = form([("image_a", b""), *pair] if position == "before" else [*pair, ("image_a", b"")])

    assert similarity(device, body, headers) > 0.99


def test_the_order_of_the_parts_makes_no_difference(device: Client) -> None:
    headers, body = form(reversed(PAIR.items()))

    assert similarity(device, body, headers) > 0.99


def test_the_headers_of_a_part_may_be_written_in_any_way(device: Client) -> None:
    headers, body = form(PAIR)
    body = body.replace(b"Content-Disposition", b"content-disposition").replace(
        b"Content-Type: application/octet-stream\r\n", b"X-Other: 1\r\nContent-Transfer-Encoding: binary\r\n"
    )

    assert similarity(device, body, headers) > 0.99


def test_what_follows_the_last_boundary_is_ignored(device: Client) -> None:
    headers, body = form(PAIR)

    assert similarity(device, body + b"epilogue\r\n", headers) > 0.99


@pytest.mark.parametrize("path", FORM_PATHS)
def test_a_form_without_the_part_has_no_image(device: Client, path: str) -> None:
    headers, body = form({"picture": b"x"})

    assert_refusal(device.post(path, body, headers), 400, "INF-03")


@pytest.mark.parametrize("missing", ["image_a", "image_b"])
def test_one_of_two_parts_is_not_enough(device: Client, missing: str) -> None:
    headers, body = form({name: face for name, face in PAIR.items() if name != missing})

    assert_refusal(device.post("/similarity/v2", body, headers), 400, "INF-03")


@pytest.mark.parametrize("path", FORM_PATHS)
def test_an_empty_part_is_no_image(device: Client, path: str) -> None:
    headers, body = form(dict.fromkeys(NAMES[path], b""))

    assert_refusal(device.post(path, body, headers), 400, "INF-03")


@pytest.mark.parametrize("path", FORM_PATHS)
@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "image/jpeg",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=another",
        "",
    ],
)
def test_what_is_not_declared_as_a_form_does_not_parse(device: Client, path: str, content_type: str) -> None:
    _, body = form(dict.fromkeys(NAMES[path], FACE), "x")

    assert_refusal(device.post(path, body, {"Content-Type": content_type}), 400, "INF-01")


@pytest.mark.parametrize("path", FORM_PATHS)
def test_a_form_without_a_type_does_not_parse(device: Client, path: str) -> None:
    _, body = form(dict.fromkeys(NAMES[path], FACE))

    assert_refusal(device.post(path, body), 400, "INF-01")


@pytest.mark.parametrize("path", FORM_PATHS)
@pytest.mark.parametrize("share", [0.001, 0.5, 0.9999])
def test_a_truncated_form_does_not_parse(device: Client, path: str, share: float) -> None:
    headers, body = form(dict.fromkeys(NAMES[path], FACE))

    assert_refusal(device.post(path, body[: int(len(body) * share)], headers), 400, "INF-01")


@pytest.mark.parametrize("path", FORM_PATHS)
def test_garbage_does_not_parse(device: Client, path: str) -> None:
    headers, _ = form({})

    assert_refusal(device.post(path, b"garbage" * 100, headers), 400, "INF-01")


def test_a_form_of_very_many_parts_is_invalid(device: Client) -> None:
    headers, body = form([("x", b"y")] * 50_000)

    assert_refusal(device.post("/similarity/v2", body, headers), 400, "INF-01")


def test_a_part_with_an_endless_header_is_invalid(device: Client) -> None:
    headers, body = form(PAIR, filename="x" * 500_000)

    assert_refusal(device.post("/similarity/v2", body, headers), 400, "INF-01")
