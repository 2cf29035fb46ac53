"""Fixtures: a site key, and an empty gallery."""

import pytest

pytest.register_assert_rewrite("strangers")

from appliance.gallery.gallery import Gallery  # noqa: E402
from appliance.gallery.vault import SiteKey  # noqa: E402


@pytest.fixture
def key():
    """Of no site that there is."""
    return SiteKey(bytes(range(32)))


@pytest.fixture
def path(tmp_path):
    """Where the database will be."""
    return tmp_path / "state" / "gallery.db"


@pytest.fixture
def gallery(path, key):
    """Nobody is known yet; pictures are kept."""
    opened = Gallery(path, key, keep_pictures=True)
    yield opened
    opened.close()
