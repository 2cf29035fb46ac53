"""The route table, and the door every request comes through and every answer leaves by."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import bottle

from appliance import __version__, stages
from appliance.api import answers
from appliance.api.access import Access
from appliance.api.documented import Documented
from appliance.faults import Fault, ResultCode

log = logging.getLogger(__name__)

API_VERSION = "1.0"
"""The version of the contract."""

VERSION_HEADERS = {"Alchera-API-Version": API_VERSION, "Alchera-FaceSDK-Version": __version__}
"""The document's names, with hyphens: it prints them with spaces, which HTTP does not allow."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A request id that a client may choose itself."""


class FaceApi:
    """The WSGI application."""

    def __init__(self, documented: Documented, access: Access) -> None:
        self._access = access
        self._app = bottle.Bottle()
        self._app.config["catchall"] = False
        self._app.default_error_handler = _http_error
        for method, path, handler in (
            ("POST", "/faces", documented.faces),
            ("POST", "/alignedfaces", documented.aligned_faces),
            ("POST", "/similarity/v2", documented.similarity),
            ("POST", "/similarity", documented.similarity),
            ("POST", "/liveness/multiframe", documented.liveness),
            ("GET", "/version", documented.version),
        ):
            self._app.route(path, method, self._guarded(path, handler))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serves one request. Adds what every answer carries: versions, `X-Request-Id` and `Server-Timing`."""
        request_id = _request_id(environ)
        start = time.perf_counter()
        with stages.recording() as recorder:

            def answer(status: str, headers: list[tuple[str, str]], _exc_info: object = None) -> object:
                total = time.perf_counter() - start
                timing = ", ".join(
                    f"{name};dur={s * 1e3:.2f}" for name, s in {**recorder.seconds, "total": total}.items()
                )
                log.info(
                    "%s %s %s %.1f ms id=%s from=%s",
                    environ["REQUEST_METHOD"], environ["PATH_INFO"].encode("unicode_escape").decode(), status[:3],
                    total * 1e3, request_id, environ.get("REMOTE_ADDR", "-"),
                )  # fmt: skip
                return start_response(status, [*headers, *own_headers(request_id), ("Server-Timing", timing)])

            try:
                return cast("Iterable[bytes]", self._app(environ, answer))
            except Exception:
                log.exception("id=%s", request_id)
                response = answers.failure(Fault(ResultCode.NOT_READY))
                answer(response.status, response.headerlist)
                return [response.body]

    def _guarded(self, path: str, handler: Callable[[], bottle.HTTPResponse]) -> Callable[[], bottle.HTTPResponse]:
        path = path.removesuffix("/v2")

        def guarded() -> bottle.HTTPResponse:
            try:
                self._access.check(path)
                return handler()
            except Fault as fault:
                if fault.status >= 500:
                    log.warning("%s", fault, exc_info=fault.__cause__)
                else:
                    log.info("%s", fault)
                return answers.failure(fault)

        return guarded


def own_headers(request_id: str) -> list[tuple[str, str]]:
    """What every answer carries, whoever makes it."""
    return [*VERSION_HEADERS.items(), ("X-Request-Id", request_id)]


def _http_error(error: bottle.HTTPError) -> bytes:
    """The body for 404 and 405, which bottle raises itself: JSON like every other."""
    response = answers.failure(Fault(ResultCode.INVALID_QUERY, status=error.status_code))
    bottle.response.content_type = "application/json"
    body: bytes = response.body
    return body


def _request_id(environ: dict[str, Any]) -> str:
    """The client's own id when it is harmless in a log, else a new one."""
    given = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _CLIENT_ID.fullmatch(given) else secrets.token_hex(8)
