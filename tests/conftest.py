"""Fixtures: the public-domain pictures, and engines and devices made of real parts."""

from pathlib import Path

import pytest

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def data() -> Path:
    """The labelled development pictures, which are not part of the project."""
    if not DATA.is_dir():
        pytest.skip("no development pictures beside the project")
    return DATA
