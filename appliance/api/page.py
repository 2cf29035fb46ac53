"""The pages for people: files that are read once."""

import mimetypes
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bottle

WEB = Path(__file__).parent / "web"

PAGES = {"index.html": "/", "door.html": "/door"}
"""Where the live page is, and the one of people and the door."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline."""


class Page:
    """The files of both pages."""

    def __init__(self) -> None:
        self._files = {each.name: each.read_bytes() for each in sorted(WEB.iterdir())}

    def routes(self) -> list[tuple[str, Callable[[], bottle.HTTPResponse]]]:
        """Every path that a page is made of, and its handler: `GET /`, `GET /door`, and each script and style by its name."""
        return [(PAGES.get(name, f"/{name}"), partial(self._file, name)) for name in self._files]

    def _file(self, name: str) -> bottle.HTTPResponse:
        headers = {
            "Content-Type": f"{mimetypes.guess_type(name)[0]}; charset=utf-8",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return bottle.HTTPResponse(self._files[name], 200, headers)
