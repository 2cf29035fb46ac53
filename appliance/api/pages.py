"""The files of the pages, each page in every language that `web/texts/` has."""

import json
import mimetypes
import re
from collections.abc import Collection
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import bottle

from appliance.api.access import ANYONE, Environ, Route, cookie_of
from appliance.api.answers import Answer

WEB = Path(__file__).parent / "web"

PAGES = {
    "index.html": "/",
    "door.html": "/door",
    "kiosk.html": "/kiosk",
    "fleet.html": "/fleet",
    "reference.html": "/docs",
    "invitation.html": "/enrol/<token>",
}
"""The paths of the live page, of the page for people and the door, of the display at the door, of the page of the fleet, of the
API's description, and of the page for people who are invited.
"""

MENU = {
    "./": "page.live",
    "door#door": "page.door",
    "door#people": "people.title",
    "door#enrol": "enrol.title",
    "fleet": "fleet.title",
    "kiosk": "page.kiosk",
    "docs": "reference.title",
}
"""The links of every page's menu, with the keys of their texts."""

CURRENT = ' aria-current="page"'

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors "
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline; and in frames of the pages that follow."""

ENGLISH = "en"
"""The language for a client that accepts none of the others."""

COOKIE = "language"
"""The cookie of a language that was chosen by hand; texts.js sets it."""

MOST_LANGUAGES = 32
"""Languages of an Accept-Language header that are read; browsers send up to about ten."""


@cache
def catalogues() -> dict[str, dict[str, Any]]:
    """The texts of the pages by the code of their language: each a string, or its forms by Intl.PluralRules."""
    return {each.stem: json.loads(each.read_bytes()) for each in sorted((WEB / "texts").glob("*.json"))}


_KEY = re.compile(r"\{\{([\w.-]+)\}\}")
"""A place of a page: the key of a text; `lang`, the code of the language; `languages`, the choice among them; `menu`, the links
to the pages; or `texts`, the catalogue for texts.js.
"""

_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[\w-]*)?\s*(?:;\s*[qQ]\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
"""A language range with its weight (RFC 9110, 12.5.4)."""


class Page:
    """The files of the pages."""

    def __init__(self, ancestors: Collection[str] = ()) -> None:
        """`ancestors`: origins whose pages may show these in a frame."""
        self._policy = POLICY + (" ".join(ancestors) or "'none'")
        self._texts = catalogues()
        self._files = {each.name: each.read_bytes() for each in sorted(WEB.iterdir()) if each.is_file()}
        self._pages = {name: {code: self._filled(name, code).encode() for code in self._texts} for name in PAGES}

    def routes(self) -> tuple[Route, ...]:
        """The pages by their paths, and each script and style by its file name."""
        return tuple(
            Route("GET", PAGES.get(name, f"/{name}"), ANYONE, partial(self._file, name)) for name in self._files
        )

    def _file(self, name: str, **_places: str) -> Answer:
        environ = bottle.request.environ
        if not environ["PATH_INFO"]:  # the base path without its slash, where relative links would lead elsewhere
            return Answer(b"", 308, {"Location": environ["SCRIPT_NAME"].rpartition("/")[2] + "/"})
        headers = {
            "Content-Type": f"{mimetypes.guess_type(name)[0]}; charset=utf-8",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self._policy,
            "Referrer-Policy": "no-referrer",
        }
        if name not in self._pages:
            return Answer(self._files[name], headers=headers)
        language = language_of(environ, self._texts)
        headers |= {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
        return Answer(self._pages[name][language], headers=headers)

    def _filled(self, name: str, language: str) -> str:
        """The page with its texts. Raises KeyError for a key that the catalogue does not have."""
        texts, here = self._texts[language], PAGES[name].strip("/")
        links = [
            f'<a href="{link}"{CURRENT * (link.strip("./") == here)}>{escape(texts[key])}</a>'
            for link, key in MENU.items()
        ]
        options = [
            f'<option value="{code}" lang="{code}"{" selected" * (code == language)}>{each["language.name"]}</option>'
            for code, each in self._texts.items()
        ]
        catalogue = json.dumps(texts, ensure_ascii=False).replace("<", r"\u003c")
        places = {"lang": language, "languages": "".join(options), "menu": " ".join(links), "texts": catalogue}
        page = self._files[name].decode()
        return _KEY.sub(lambda found: places.get(found[1]) or escape(texts[found[1]]), page)


def language_of(environ: Environ, known: Collection[str]) -> str:
    """The language of a WSGI request, of those `known` by their codes: the one chosen by hand; else the one that the client
    prefers, compared by its primary subtag (RFC 4647, 3.4); else ENGLISH.
    """
    weights: dict[str, float] = {}
    for part in environ.get("HTTP_ACCEPT_LANGUAGE", "").split(",", MOST_LANGUAGES)[:MOST_LANGUAGES]:
        if found := _RANGE.fullmatch(part):
            code, weight = found[1].lower(), float(found[2] or 1)
            weights[code] = max(weight, weights.get(code, 0.0))
    accepted = sorted((code for code, weight in weights.items() if weight > 0), key=lambda code: -weights[code])
    return next((code for code in (cookie_of(environ, COOKIE), *accepted) if code in known), ENGLISH)
