"""`minsize`, `maxsize` and `detectcount`, on both endpoints that take them."""

import pytest
from bodies import png
from client import Client
from document import PICTURE_PATHS, assert_refusal
from PIL import Image

NAMES = ("minsize", "maxsize", "detectcount")

NOT_WHOLE_NUMBERS = ("0", "-1", "", "abc", "5.0", "1e2", "0x30", "1_000", "%2B5", "%2048", "48%20", "NaN", "%D9%A5")

NOBODY = png(Image.new("RGB", (64, 64)))


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", NOT_WHOLE_NUMBERS)
def test_what_is_no_whole_number_of_at_least_one_is_refused(device: Client, path: str, name: str, value: str) -> None:
    assert_refusal(device.post(f"{path}?{name}={value}", NOBODY), 400, "INF-02")


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize("query", ["minsize=100&maxsize=99", "maxsize=47"])
def test_a_least_size_above_the_largest_is_refused(device: Client, path: str, query: str) -> None:
    assert_refusal(device.post(f"{path}?{query}", NOBODY), 400, "INF-02")


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize(
    "query",
    [
        "minsize=48&maxsize=48",
        "minsize=48&maxsize=150&detectcount=5",
        "detectcount=1&minsize=007",
        "maxsize=9999",
        "colour=red&minsize=60&x",
        "debug=&minsize=60",
        "&&",
        "%ff=%ff",
    ],
)
def test_what_is_well_formed_or_unknown_is_taken(device: Client, path: str, query: str) -> None:
    answer = device.post(f"{path}?{query}", NOBODY)

    assert (answer.status, answer.code) == (200, "INF-00")


@pytest.mark.parametrize("path", PICTURE_PATHS)
@pytest.mark.parametrize("value", ["1000000", "999999999999999999", "1" + "0" * 30])
@pytest.mark.parametrize(("name", "code"), [("detectcount", "INF-09"), ("minsize", "INF-10"), ("maxsize", "INF-10")])
def test_a_whole_number_beyond_the_engines_bound_is_the_engines_refusal(
    device: Client, path: str, name: str, code: str, value: str
) -> None:
    assert_refusal(device.post(f"{path}?{name}={value}", NOBODY), 500, code)


def test_a_wrong_query_is_named_before_a_wrong_body(device: Client) -> None:
    assert_refusal(device.post("/faces?minsize=x", b"no picture"), 400, "INF-02")
