"""The live page: three files that are read once."""

import mimetypes
from pathlib import Path

import bottle

WEB = Path(__file__).parent / "web"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline."""


class Page:
    """The files of the live page."""

    def __init__(self) -> None:
        self._files = {name: (WEB / name).read_bytes() for name in ("index.html", "app.js", "style.css")}

    def index(self) -> bottle.HTTPResponse:
        """`GET /`"""
        return self._file("index.html")

    def script(self) -> bottle.HTTPResponse:
        """`GET /app.js`"""
        return self._file("app.js")

    def style(self) -> bottle.HTTPResponse:
        """`GET /style.css`"""
        return self._file("style.css")

    def _file(self, name: str) -> bottle.HTTPResponse:
        headers = {
            "Content-Type": f"{mimetypes.guess_type(name)[0]}; charset=utf-8",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return bottle.HTTPResponse(self._files[name], 200, headers)
