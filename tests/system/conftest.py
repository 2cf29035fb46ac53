"""Fixtures: a browser, and somebody before the camera."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser import DESKTOP, Visit, launched, replayed
from cameras import on_canvas
from client import HOST, Client
from playwright.sync_api import Browser, Playwright, sync_playwright

REFUSED = "Failed to load resource: the server responded with a status of"
"""What Chromium's console says of each answer that is no success; the page cannot keep it silent."""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = launched(playwright)
    yield browser
    browser.close()


@pytest.fixture
def visit(chromium: Browser) -> Visit:
    """Opens a device's page; afterwards there must have been no error, and no request to anywhere else."""

    @contextmanager
    def visiting(
        client: Client, size: tuple[int, int] = DESKTOP, *, path: str = "/", refusals: bool = False, **options: Any
    ) -> Any:
        origin = f"http://{HOST}:{client.port}"
        errors: list[str] = []
        addresses: list[str] = []
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        context.on("request", lambda request: addresses.append(request.url))
        try:
            page.goto(origin + path)
            yield page
        finally:
            context.close()
        assert [each for each in errors if not (refusals and each.startswith((REFUSED, "Failed to load")))] == []
        assert path.startswith(("/docs", "/enrol/", "/fleet")) or any(each.endswith("/events") for each in addresses)
        assert [each for each in addresses if not each.startswith((f"{origin}/", f"blob:{origin}/", "data:"))] == []

    return visiting


@pytest.fixture(scope="module")
def seated(tmp_path_factory: pytest.TempPathFactory, portrait: bytes) -> str:
    """The configuration of a camera before which somebody sits."""
    return replayed(tmp_path_factory.mktemp("seated"), on_canvas(portrait, 1280, 720, left=0.3))
