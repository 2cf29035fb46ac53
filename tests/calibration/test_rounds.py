"""Rounds before the camera are added up, one liveness model's alone."""

import stat

import pytest

from appliance.calibration import points
from appliance.calibration.points import CalibrationError

MODEL, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / points.ROUNDS_FILE


def test_rounds_are_added_up(path):
    points.add_rounds(path, MODEL, points.REAL, (1.0, 2.0))
    points.add_rounds(path, MODEL, "print", (-3.0,))
    found = points.add_rounds(path, MODEL, points.REAL, (3.0,))
    assert found == points.read_rounds(path, MODEL)
    assert found.real().tolist() == [1, 2, 3]
    assert {name: odds.tolist() for name, odds in found.attacks().items()} == {"print": [-3]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_those_of_another_model_are_not_counted(path):
    points.add_rounds(path, OTHER, points.REAL, (1.0,))
    assert points.read_rounds(path, MODEL).real().size == 0
    assert points.add_rounds(path, MODEL, points.REAL, (2.0,)).real().tolist() == [2]
    assert points.read_rounds(path, OTHER).real().size == 0


def test_an_empty_round_is_none(path):
    assert points.add_rounds(path, MODEL, "print", ()).attacks() == {}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"model": "a"}', b'{"model": "%s", "sequences": {"A B": [1]}}']
)
def test_a_damaged_file_is_reported_with_the_fix(path, content):
    path.parent.mkdir()
    path.write_bytes(content.replace(b"%s", MODEL.encode()))
    with pytest.raises(CalibrationError, match=r"is damaged \(.*\): .*--reset"):
        points.read_rounds(path, MODEL)
    path.unlink()
    assert points.read_rounds(path, MODEL).sequences == {}
