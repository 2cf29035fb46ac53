"""Ordinary photographs that show several people: a point says who is meant."""

from collections import Counter
from pathlib import Path

import pytest

from appliance.access.enrol import capture_from_photograph
from appliance.faults import Refusal
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading
from appliance.vision.loading import Choice

pytestmark = [pytest.mark.data, pytest.mark.nightly]

LEAST = 0.4
"""`gallery.min_quality` by default."""


def test_a_point_in_the_middle_says_who_is_meant(choice: Choice, data: Path) -> None:
    """The person of a picture of LFW is in its middle."""
    engine, first, with_point = loading.build(choice, 1), Counter[str](), Counter[str]()

    def outcome(picture: EncodedPicture, meant: tuple[float, float] | None = None) -> str:
        try:
            capture_from_photograph(engine, picture, LEAST, meant)
        except Refusal as refusal:
            return refusal.reason
        return "enrolled"

    for file in sorted((data / "verification" / "images").rglob("*.jpg"))[::4]:
        picture = EncodedPicture(file.read_bytes(), 10**6)
        first[reason := outcome(picture)] += 1
        if reason == "more_than_one":
            with_point[outcome(picture, (picture.width / 2, picture.height / 2))] += 1
    print(dict(first), dict(with_point))
    assert 0.05 < first["more_than_one"] / first.total() < 0.2
    assert with_point["enrolled"] >= 0.95 * with_point.total()
