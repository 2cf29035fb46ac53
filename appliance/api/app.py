"""The WSGI application: one route table, one way in for every request and one way out for every answer."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain
from typing import Any, cast

import bottle

from appliance import __version__, stages
from appliance.api import answers
from appliance.api.access import ANY_KEY, NAME, NO_NAME, Access, Part, Route, challenge, routes_of
from appliance.api.answers import Answer, StreamedAnswer
from appliance.api.description import Description
from appliance.api.faces import API_VERSION
from appliance.api.intake import Intake
from appliance.api.monitoring import Metrics
from appliance.api.origins import ALLOWED, Origins
from appliance.api.pages import Page
from appliance.faults import Fault, ResultCode
from appliance.gallery.people import GalleryError
from appliance.keys import Scope

log = logging.getLogger(__name__)

VERSION_HEADERS = {"Alchera-API-Version": API_VERSION, "Alchera-FaceSDK-Version": __version__}
"""The document's names, with hyphens: it prints them with spaces, which HTTP does not allow."""

PROTECTION = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
"""What keeps foreign pages from reading an answer by embedding it (Fetch standard)."""

CODE = "appliance.code"
"""The result code in a request's environment, for the metrics."""

SHOWN = 120
"""Characters of a path in the log; the paths of the API have at most 100."""

_PERSONAL = re.compile(r"(/people/|/subjects/|/enrol/).+", re.IGNORECASE | re.DOTALL)
"""A path that has a person's id or name, or the token of an invitation, or nearly."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A request id that a client may choose, because it is harmless in a log; otherwise it gets a new one."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What the configuration switches off: single paths, whole parts, and after a date everything that recognises faces."""

    paths: Collection[str] = ()
    parts: Collection[Part] = ()
    expires: date | None = None
    today: Callable[[], date] = date.today

    def check(self, route: Route) -> None:
        """Raises Fault INF-26 after the expiry date, INF-25 for a route that is switched off."""
        if route.expires and self.expires is not None and self.today() > self.expires:
            raise Fault(ResultCode.EXPIRED, f"since {self.expires}")
        if route.path in self.paths or route.part in self.parts:
            raise Fault(ResultCode.RESTRICTED, f"{route.path} is switched off")


class FaceApi:
    """The WSGI application."""

    def __init__(
        self,
        parts: Iterable[object],
        origins: Origins,
        access: Access,
        restrictions: Restrictions,
        metrics: Metrics,
        intake: Intake,
    ) -> None:
        """The methods of `parts` that are marked as routes are the endpoints, beside the pages."""
        self._origins, self._access, self._restrictions, self._metrics = origins, access, restrictions, metrics
        self._intake = intake
        description = Description()
        self.routes = (*Page(origins.ancestors).routes(), *chain.from_iterable(map(routes_of, (*parts, description))))
        description.cover(self.routes)
        self._by_rule = {(route.method, route.rule): route for route in self.routes}
        self._quiet = {route.rule for route in self.routes if route.quiet}
        self._app = bottle.Bottle()
        self._app.config["catchall"] = False
        self._app.default_error_handler = self._http_error
        self._app.add_hook("before_request", self._admit)
        for route in self.routes:
            self._app.route(route.rule, route.method, partial(self._guarded, route))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request. Adds the headers of every answer: versions, `X-Request-Id` and `Server-Timing`."""
        request_id = environ.get("HTTP_X_REQUEST_ID", "")
        if not _CLIENT_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        environ["PATH_INFO"] = _legible(environ["PATH_INFO"])
        start = time.perf_counter()
        with stages.recording() as recorder:

            def answer(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> object:
                total = time.perf_counter() - start
                timing = ", ".join(
                    f"{name};dur={s * 1e3:.2f}" for name, s in {**recorder.seconds, "total": total}.items()
                )
                self._count(environ, status[:3], total, recorder.seconds)
                log.log(
                    logging.DEBUG if environ["PATH_INFO"] in self._quiet else logging.INFO,
                    "%s %s %s %.1f ms id=%s from=%s key=%s",
                    shown(environ["REQUEST_METHOD"]), shown(environ["PATH_INFO"]), status[:3],
                    total * 1e3, request_id, environ["REMOTE_ADDR"], environ.get(NAME, NO_NAME),
                )  # fmt: skip
                own = [*own_headers(request_id), *self._origins.headers(environ), ("Server-Timing", timing)]
                return start_response(status, [*headers, *own])

            try:
                return cast("Iterable[bytes]", self._app(environ, answer))
            except Exception:
                log.exception("id=%s", request_id)
                environ[CODE] = ResultCode.NOT_READY.text
                failure = answers.failure(Fault(ResultCode.NOT_READY))
                answer(failure.status_line, list(failure.headers.items()))
                return [failure.body]

    def _count(self, environ: dict[str, Any], status: str, seconds: float, stage_seconds: Mapping[str, float]) -> None:
        route = environ.get("bottle.route")
        method = environ["REQUEST_METHOD"] if route else "other"
        code = environ.get(CODE, ResultCode.OK.text if route else ResultCode.INVALID_QUERY.text)
        self._metrics.answered(method, route.rule if route else "other", status, code, seconds, stage_seconds)

    def _admit(self) -> None:
        """Runs before bottle looks for the route, so that a client without a key does not learn which paths exist."""
        environ = bottle.request.environ
        try:
            self._origins.check(environ)
            if not self._origins.preflight(environ):
                self._access.admit(environ, self._scopes(environ))
                return
        except Fault as fault:
            raise self._refused(fault) from fault
        environ[CODE] = ResultCode.OK.text
        raise _response(answers.answer({}, headers=ALLOWED))

    def _scopes(self, environ: dict[str, Any]) -> frozenset[Scope]:
        """The scopes that a request needs, by bottle's own router, so that the two never differ."""
        try:
            route, _ = self._app.router.match(environ)
        except bottle.HTTPError:  # 404 or 405
            return ANY_KEY
        return self._by_rule[route.method, route.rule].scopes

    def _guarded(self, route: Route, **places: str) -> bottle.HTTPResponse:
        try:
            self._restrictions.check(route)
            with self._intake.inflated(bottle.request.environ):
                return _response(route.handler(**places))
        except Fault as fault:
            return self._refused(fault)
        except GalleryError as error:
            return self._refused(answers.refusal_of(error))

    def _refused(self, fault: Fault) -> bottle.HTTPResponse:
        environ = bottle.request.environ
        if fault.status >= 500:
            log.warning("%s", fault, exc_info=fault.__cause__)
        else:
            log.info("%s", fault)
        environ[CODE] = fault.code.text
        return _response(answers.failure(self._intake.explained(fault, environ["PATH_INFO"]), challenge(environ)))

    def _http_error(self, error: bottle.HTTPError) -> bytes:
        """The body for 404 and 405, which bottle raises itself: JSON like every other."""
        bottle.response.content_type = "application/json"
        fault = Fault(ResultCode.INVALID_QUERY, status=error.status_code)
        return answers.failure(self._intake.explained(fault, bottle.request.environ["PATH_INFO"])).body


def own_headers(request_id: str) -> list[tuple[str, str]]:
    """The headers of every answer: versions, id, and that no foreign page may guess its type or embed it."""
    return [*VERSION_HEADERS.items(), *PROTECTION.items(), ("X-Request-Id", request_id)]


def shown(path: str) -> str:
    """A path or a method for the log: printable, short, and without a person's id."""
    return _PERSONAL.sub(r"\1-", path[:SHOWN]).encode("unicode_escape").decode()[:SHOWN]


def _response(answer: Answer | StreamedAnswer) -> bottle.HTTPResponse:
    return bottle.HTTPResponse(answer.body, answer.status, dict(answer.headers))


def _legible(path: str) -> str:
    """A WSGI path (bytes as Latin-1) in which bytes that are not UTF-8 are replaced; bottle drops them and takes /faces%ff for
    /faces.
    """
    return path.encode("latin-1").decode("utf-8", "replace").encode().decode("latin-1")
