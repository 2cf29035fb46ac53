"""Fixtures: devices whose people are looked after from their command lines."""

import pytest
from places import Place


@pytest.fixture
def place(tmp_path):
    """A device where nobody is known yet."""
    (tmp_path / "device").mkdir()
    return Place(tmp_path / "device")


@pytest.fixture
def elsewhere(tmp_path):
    """Another device."""
    (tmp_path / "elsewhere").mkdir()
    return Place(tmp_path / "elsewhere")
