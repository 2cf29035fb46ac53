"""The live page's key, which its browser keeps where no script can read it."""

from dataclasses import dataclass

import bottle

from appliance.api import answers
from appliance.api.access import COOKIE, Access, token_of

YEAR_SECONDS = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class KeyCookie:
    """One method an endpoint; each takes bottle's current request and returns the answer or raises a Fault."""

    access: Access

    def remember(self) -> bottle.HTTPResponse:
        """`POST /key`, with the key in a header."""
        environ = bottle.request.environ
        self.access.key(environ)
        response = answers.answer({})
        response.set_cookie(
            COOKIE,
            token_of(environ),
            path="/",
            max_age=YEAR_SECONDS,
            httponly=True,
            samesite="strict",
            secure=environ["wsgi.url_scheme"] == "https",
        )
        return response

    def forget(self) -> bottle.HTTPResponse:
        """`DELETE /key`"""
        response = answers.answer({})
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response
