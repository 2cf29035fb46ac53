"""The route table, and the door every request comes through and every answer leaves by."""

import logging
import mimetypes
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, cast

import bottle

from appliance import __version__, stages
from appliance.api import answers
from appliance.api.access import ADMIN, ANY_KEY, ANYONE, LIVE, NAME, NO_NAME, RECOGNISE, Access, KeyCookie
from appliance.api.door import DECIDE, DECISIONS, KEY, Door
from appliance.api.faces import Documented, Features, Live
from appliance.api.monitoring import Health, Metrics
from appliance.api.origins import ALLOWED, Origins
from appliance.api.people import FROM_CAMERA, IDENTIFY, PEOPLE, PERSON, TEMPLATE, TEMPLATES, Enrol, Identify, People
from appliance.api.streams import Streams
from appliance.faults import Fault, ResultCode
from appliance.keys import Scope

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


RECOGNISING = {
    *("/faces", "/alignedfaces", "/similarity", "/liveness/multiframe"),
    *("/compare", "/feature/floats", "/facefeatures", "/identify", "/access/decide"),
}
"""What expires; health, metrics and the page that shows them go on, and so does the care of the people who are known."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """Of paths, whoever asks."""

    paths: Collection[str]
    expires: date | None
    today: Callable[[], date] = date.today

    def check(self, path: str) -> None:
        """Raises Fault INF-26 after the expiry date, INF-25 on a path that is switched off."""
        if path in RECOGNISING and self.expires is not None and self.today() > self.expires:
            raise Fault(ResultCode.EXPIRED, f"since {self.expires}")
        if path in self.paths:
            raise Fault(ResultCode.RESTRICTED, f"{path} is switched off")


log = logging.getLogger(__name__)

API_VERSION = "1.0"
"""The version of the contract."""

VERSION_HEADERS = {"Alchera-API-Version": API_VERSION, "Alchera-FaceSDK-Version": __version__}
"""The document's names, with hyphens: it prints them with spaces, which HTTP does not allow."""

QUIET = {"/healthz", "/metrics"}
"""What monitors ask again and again; the log has it at level debug."""

CODE = "appliance.code"
"""The request's result code, on its way to the metrics."""

_PERSONAL = re.compile(r"(/people/).+", re.IGNORECASE | re.DOTALL)
"""A path that names somebody, or is nearly one."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A request id that a client may choose itself."""


Handler = Callable[..., bottle.HTTPResponse]
"""Answers bottle's current request; takes what stands at the places of its rule."""

Route = tuple[str, str, frozenset[Scope], Handler]
"""Method, rule, what is needed, and who answers."""


class FaceApi:
    """The WSGI application."""

    def __init__(
        self,
        documented: Documented,
        features: Features,
        people: People,
        enrol: Enrol,
        identify: Identify,
        door: Door,
        live: Live,
        streams: Streams,
        health: Health,
        metrics: Metrics,
        page: Page,
        origins: Origins,
        access: Access,
        restrictions: Restrictions,
    ) -> None:
        self._origins, self._access, self._restrictions = origins, access, restrictions
        self._metrics = metrics
        self._app = bottle.Bottle()
        self._app.config["catchall"] = False
        self._app.default_error_handler = _http_error
        self._app.add_hook("before_request", self._admit)
        self._needed: dict[tuple[str, str], frozenset[Scope]] = {}
        cookie = KeyCookie(access)
        routes: tuple[Route, ...] = (
            ("POST", "/faces", RECOGNISE, documented.faces),
            ("POST", "/alignedfaces", RECOGNISE, documented.aligned_faces),
            ("POST", "/similarity/v2", RECOGNISE, documented.similarity),
            ("POST", "/similarity", RECOGNISE, documented.similarity),
            ("POST", "/liveness/multiframe", RECOGNISE, documented.liveness),
            ("POST", "/compare", RECOGNISE, features.compare),
            ("POST", "/feature/floats", RECOGNISE, features.floats),
            ("POST", "/facefeatures", RECOGNISE, features.face_features),
            ("GET", PEOPLE, ADMIN, people.everybody),
            ("POST", PEOPLE, ADMIN, people.add),
            ("GET", PERSON, ADMIN, people.show),
            ("PUT", PERSON, ADMIN, people.change),
            ("DELETE", PERSON, ADMIN, people.erase),
            ("POST", TEMPLATES, ADMIN, enrol.from_photograph),
            ("POST", FROM_CAMERA, ADMIN, enrol.from_camera),
            ("DELETE", TEMPLATE, ADMIN, people.forget),
            ("POST", IDENTIFY, RECOGNISE, identify.photograph),
            ("GET", IDENTIFY, LIVE, identify.camera),
            ("POST", DECIDE, LIVE, door.decide),
            ("GET", KEY, ANY_KEY, door.key),
            ("GET", DECISIONS, LIVE, door.decisions),
            ("GET", "/version", ANY_KEY, documented.version),
            ("GET", "/faces", LIVE, live.faces),
            ("GET", "/alignedfaces", LIVE, live.aligned_faces),
            ("GET", "/liveness/multiframe", LIVE, live.liveness),
            ("GET", "/camera/frame.jpg", LIVE, streams.frame),
            ("GET", "/camera/stream.mjpg", LIVE, streams.stream),
            ("GET", "/events", LIVE, streams.events),
            ("GET", "/healthz", ANY_KEY, health.healthz),
            ("GET", "/metrics", ADMIN, metrics.metrics),
            *(("GET", path, ANYONE, handler) for path, handler in page.routes()),
            ("POST", "/key", LIVE, cookie.remember),
            ("DELETE", "/key", ANYONE, cookie.forget),
        )
        for method, rule, needed, handler in routes:
            self._needed[method, rule] = needed
            self._app.route(rule, method, self._guarded(rule, handler))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request. Adds what every answer carries: versions, `X-Request-Id` and `Server-Timing`."""
        request_id = _request_id(environ)
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
                    logging.DEBUG if environ["PATH_INFO"] in QUIET else logging.INFO,
                    "%s %s %s %.1f ms id=%s from=%s key=%s",
                    environ["REQUEST_METHOD"], shown(environ["PATH_INFO"]), status[:3],
                    total * 1e3, request_id, environ["REMOTE_ADDR"], environ.get(NAME, NO_NAME),
                )  # fmt: skip
                own = [*own_headers(request_id), *self._origins.headers(environ), ("Server-Timing", timing)]
                return start_response(status, [*headers, *own])

            try:
                return cast("Iterable[bytes]", self._app(environ, answer))
            except Exception:
                log.exception("id=%s", request_id)
                environ[CODE] = ResultCode.NOT_READY.text
                response = answers.failure(Fault(ResultCode.NOT_READY))
                answer(response.status, response.headerlist)
                return [response.body]

    def _count(self, environ: dict[str, Any], status: str, seconds: float, stage_seconds: Mapping[str, float]) -> None:
        route = environ.get("bottle.route")
        method = environ["REQUEST_METHOD"] if route else "other"
        code = environ.get(CODE, ResultCode.OK.text if route else ResultCode.INVALID_QUERY.text)
        self._metrics.answered(method, route.rule if route else "other", status, code, seconds, stage_seconds)

    def _admit(self) -> None:
        """Before bottle looks for the route, so that without a key nobody learns what there is."""
        environ = bottle.request.environ
        try:
            self._origins.check(environ)
            if not self._origins.preflight(environ):
                self._access.admit(environ, self._scopes(environ))
                return
        except Fault as fault:
            raise _refused(fault) from fault
        environ[CODE] = ResultCode.OK.text
        raise answers.answer({}, headers=ALLOWED)

    def _scopes(self, environ: dict[str, Any]) -> frozenset[Scope]:
        """What a request needs. Bottle's own router says which route it will take, so that the two never differ."""
        try:
            route, _ = self._app.router.match(environ)
        except bottle.HTTPError:  # 404 or 405
            return ANY_KEY
        return self._needed[route.method, route.rule]

    def _guarded(self, rule: str, handler: Handler) -> Handler:
        rule = rule.removesuffix("/v2")

        def guarded(**places: str) -> bottle.HTTPResponse:
            try:
                self._restrictions.check(rule)
                return handler(**places)
            except Fault as fault:
                return _refused(fault)

        return guarded


def own_headers(request_id: str) -> list[tuple[str, str]]:
    """What every answer carries, whoever makes it."""
    return [*VERSION_HEADERS.items(), ("X-Request-Id", request_id)]


def shown(path: str) -> str:
    """A path as the log has it: harmless, and without somebody's id."""
    return _PERSONAL.sub(r"\1-", path).encode("unicode_escape").decode()


def _refused(fault: Fault) -> bottle.HTTPResponse:
    if fault.status >= 500:
        log.warning("%s", fault, exc_info=fault.__cause__)
    else:
        log.info("%s", fault)
    bottle.request.environ[CODE] = fault.code.text
    return answers.failure(fault)


def _http_error(error: bottle.HTTPError) -> bytes:
    """The body for 404 and 405, which bottle raises itself: JSON like every other."""
    response = answers.failure(Fault(ResultCode.INVALID_QUERY, status=error.status_code))
    bottle.response.content_type = "application/json"
    body: bytes = response.body
    return body


def _legible(path: str) -> str:
    """A path as WSGI gives it (bytes as Latin-1), with what is not UTF-8 replaced; bottle drops it and takes /faces%ff for
    /faces.
    """
    return path.encode("latin-1").decode("utf-8", "replace").encode().decode("latin-1")


def _request_id(environ: dict[str, Any]) -> str:
    """The client's own id when it is harmless in a log, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _CLIENT_ID.fullmatch(given) else secrets.token_hex(8)
