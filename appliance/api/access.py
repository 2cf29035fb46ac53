"""Which requests are admitted: keys and their scopes, the routes that need them, and the answers to wrong keys."""

import math
import re
import threading
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import bottle

from appliance.api import answers
from appliance.api.answers import Answer, StreamedAnswer
from appliance.api.connections import network
from appliance.api.sessions import LIFE_SECONDS, Sessions
from appliance.faults import Fault, Refusal, ResultCode
from appliance.keys import PREFIX, Key, KeyStore, Scope
from appliance.state import audit_log as audit

BURST = 10
"""Wrong keys in a row from one address, each of which is logged: as many as a person with a list of old keys may try."""

REFILL_SECONDS = 10.0
"""Until one more wrong key is logged; before that it is answered with Retry-After. It is a bound for the log (8,640 lines per
day and address), not against guessing: a key is one of 2^256, and a valid one is accepted at any time.
"""

ADDRESSES = 4096
"""Addresses that are remembered at most (about 1 MB); the one that failed longest ago makes room for a new one."""

LOG_SECONDS = 60.0
"""An address that sends too many wrong keys is logged once in this time."""


@dataclass(slots=True)
class _Bucket:
    full_at: float
    """When all attempts are available again."""
    logged_at: float


class Attempts:
    """A token bucket per address; an IPv6 address counts as its /64, all of which one device can have (RFC 4862)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[int, _Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds for the Retry-After header of a wrong key from this address; 0 when the key is to be logged."""
        with self._lock:
            bucket = self._buckets.get(network(address))
            return max(0.0, bucket.full_at - self._clock() - (BURST - 1) * REFILL_SECONDS) if bucket else 0.0

    def failed(self, address: str) -> None:
        with self._lock:
            place, now = network(address), self._clock()
            bucket = self._buckets.setdefault(place, _Bucket(now, now - LOG_SECONDS))
            bucket.full_at = max(now, bucket.full_at) + REFILL_SECONDS
            self._buckets.move_to_end(place)
            if len(self._buckets) > ADDRESSES:
                self._buckets.popitem(last=False)

    def worth_logging(self, address: str) -> bool:
        """Whether this address was not logged within the last minute; it counts as logged from now on."""
        with self._lock:
            bucket, now = self._buckets.get(network(address)), self._clock()
            if bucket is None or now - bucket.logged_at < LOG_SECONDS:
                return False
            bucket.logged_at = now
            return True


ANYONE: frozenset[Scope] = frozenset()
ANY_KEY = frozenset(Scope)
RECOGNISE, LIVE, DECIDE, ADMIN, METRICS, KIOSK = (frozenset({scope}) for scope in Scope)
"""What a route needs: no key, or a key with one of these scopes."""

Method = TypeVar("Method", bound=Callable[..., Answer | StreamedAnswer])
Handler = Callable[..., Answer | StreamedAnswer]
"""Answers bottle's current request; takes the places of its rule as arguments."""


class Part(StrEnum):
    """A part of the API that the configuration can switch off as a whole."""

    GALLERY = "gallery"
    DOOR = "door"
    LIVENESS = "liveness"
    SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path (in bottle's notation), the scopes one of which its key needs, and its handler. After the configured
    expiry date only routes that do not `expires` are answered. Requests of `quiet` routes, which monitors ask again and
    again, are logged at level debug.
    """

    method: str
    rule: str
    scopes: frozenset[Scope]
    handler: Handler
    part: Part | None = None
    expires: bool = False
    quiet: bool = False

    @property
    def path(self) -> str:
        """The path by which the configuration restricts it, for all its versions."""
        return self.rule.removesuffix("/v2")


def route(
    method: str,
    rule: str,
    scopes: frozenset[Scope],
    part: Part | None = None,
    *,
    expires: bool = False,
    quiet: bool = False,
) -> Callable[[Method], Method]:
    """Makes a method the handler of a route; it may be repeated."""

    def marked(handler: Method) -> Method:
        made = partial(Route, method, rule, scopes, part=part, expires=expires, quiet=quiet)
        handler.__dict__["routes"] = [made, *handler.__dict__.get("routes", ())]
        return handler

    return marked


def routes_of(part: object) -> list[Route]:
    """The routes whose handlers are methods of `part`."""
    methods = vars(type(part))
    return [made(handler=getattr(part, name)) for name in methods for made in getattr(methods[name], "routes", ())]


_INVITATION = re.compile(r"/enrol/([\w-]+)", re.ASCII)
"""The path to which an invited person sends a photograph."""

BASIC_OR_BEARER = 'Basic realm="face-appliance", charset="UTF-8", Bearer'
"""Basic is first, because ffmpeg reads no other place."""

COOKIE = "face_appliance_session"
"""The cookie of the pages, with the token of a session."""

NAME, SCOPES, ADMITTED = "appliance.key", "appliance.scopes", "appliance.admitted"
"""In a request's environment: the name of its key, for the log; the key's scopes, all of them where none is needed; and a
function that says whether the key is still valid.
"""

NO_NAME = "-"

LOOPBACK = {"127.0.0.1", "::1"}
"""The addresses of the device itself."""

USES = 4096
"""First uses of keys that are remembered at most; beyond that they are logged again."""

Environ = MutableMapping[str, Any]


class Access:
    """Admits requests by their keys."""

    def __init__(
        self,
        keys: KeyStore,
        sessions: Sessions,
        attempts: Attempts,
        invited: Callable[[str], bool],
        *,
        everyone: bool,
        loopback: bool,
    ) -> None:
        """`invited` says whether a token is that of an open invitation; `everyone`: no client needs a key; `loopback`: no
        client on this device does.
        """
        self._keys, self.sessions, self._attempts, self._invited = keys, sessions, attempts, invited
        self._everyone, self._loopback = everyone, loopback
        self._used: set[tuple[Key, str]] = set()
        self._lock = threading.Lock()

    def admit(self, environ: Environ, needed: frozenset[Scope]) -> None:
        """Raises Fault INF-25: 401 without a valid key, Refusal with 403 when the key has none of the scopes `needed`. Leaves
        NAME, SCOPES and ADMITTED in the environment.
        """
        environ[NAME], environ[SCOPES], environ[ADMITTED] = NO_NAME, ANY_KEY, lambda: True
        if not needed or self._exempt(environ):
            return
        key = self.key(environ)
        environ[NAME], environ[SCOPES], environ[ADMITTED] = key.name, key.scopes, partial(self._valid, environ)
        if not key.scopes & needed:
            wanted, had = " or ".join(sorted(needed)), ", ".join(sorted(key.scopes))
            text = f"This path needs a key with the scope {wanted}; this one has {had}."
            detail = f"key {key.name} has another scope"
            raise Refusal(ResultCode.RESTRICTED, "forbidden", text, status=403, detail=detail)

    def known(self, environ: Environ) -> bool:
        """Whether a request, of which only the head has arrived, needs no key, has a valid one, or is that of an invitation."""
        if self._exempt(environ) or self._valid(environ):
            return True
        found = _INVITATION.fullmatch(environ.get("PATH_INFO", ""))
        return found is not None and self._invited(found[1])

    def key(self, environ: Environ) -> Key:
        """The key of a request, or of its session. Raises Fault INF-25 (401), with `retry_after` for an address that has sent
        too many wrong keys. A valid key is accepted from any address at any time.
        """
        address, key = environ["REMOTE_ADDR"], self._found(environ)
        if key is not None:
            self._note(key, address)
            return key
        if not any(tokens_of(environ)):
            raise Fault(ResultCode.RESTRICTED, "no key", status=401)
        if wait := self._attempts.wait(address):
            if self._attempts.worth_logging(address):
                audit.warning("wrong keys from %s are not logged for a while: too many", address)
            raise Fault(ResultCode.RESTRICTED, "too many wrong keys", status=401, retry_after=math.ceil(wait))
        self._attempts.failed(address)
        audit.warning("wrong key from %s", address)
        raise Fault(ResultCode.RESTRICTED, "wrong key", status=401)

    def _valid(self, environ: Environ) -> bool:
        return self._found(environ) is not None

    def _found(self, environ: Environ) -> Key | None:
        """A password of HTTP Basic that is no key may be for a proxy in front: then another header or the session counts."""
        password, token = tokens_of(environ)
        key = self._keys.find(password) if password else None
        if key is None:
            key = self._keys.find(token) if token else self.sessions.key(session_of(environ))
        return key

    def _exempt(self, environ: Environ) -> bool:
        """Whether no key is needed. One that a client on this device sends all the same is checked; a password of HTTP Basic
        that does not look like one may be for a proxy in front.
        """
        if self._everyone or not (self._loopback and environ["REMOTE_ADDR"] in LOOPBACK):
            return self._everyone
        password, token = tokens_of(environ)
        return not (token or password.startswith(PREFIX))

    def _note(self, key: Key, address: str) -> None:
        with self._lock:
            if (key, address) in self._used:
                return
            if len(self._used) >= USES:
                self._used.clear()
            self._used.add((key, address))
        audit.info("key %s is used from %s", key.name, address)


def tokens_of(environ: Environ) -> tuple[str, str]:
    """The password of HTTP Basic in a request, and the key in the first of the other headers; empty without."""
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    kind = scheme.lower()
    given = (
        credentials.strip() if kind == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_X_RAPIDAPI_KEY", ""),
    )
    return _password(credentials) if kind == "basic" else "", next(filter(None, given), "")


def _password(credentials: str) -> str:
    """The password of HTTP Basic (RFC 7617), whatever the user's name; empty when it cannot be read."""
    try:
        return b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def challenge(environ: Environ) -> str:
    """How a client without a key can send one. The pages' own scripts are not offered Basic, for which a browser would open a
    dialog of its own; an EventSource sends no header but Accept.
    """
    script = "HTTP_X_REQUESTED_WITH" in environ or environ.get("HTTP_ACCEPT") == "text/event-stream"
    return "Bearer" if script else BASIC_OR_BEARER


def session_of(environ: Environ) -> str:
    """The session's token in a request's cookie; empty without one."""
    return cookie_of(environ, COOKIE)


def cookie_of(environ: Environ, name: str) -> str:
    """The value of a cookie; empty without one. It is read by hand (RFC 6265, 4.2.1), because http.cookies raises on odd names
    of other programs' cookies.
    """
    for pair in environ.get("HTTP_COOKIE", "").split(";"):
        found, _, value = pair.partition("=")
        if found.strip() == name:
            return str(value.strip())
    return ""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Each method answers bottle's current request or raises a Fault."""

    access: Access
    framed: bool = False
    """Whether pages of other origins may show those of this device in a frame, where a strict cookie is not sent."""

    @route("POST", "/key", LIVE | KIOSK)
    def begin(self) -> Answer:
        """Starts a session of the key in a header."""
        environ = bottle.request.environ
        token = self.access.sessions.begin(self.access.key({**environ, "HTTP_COOKIE": ""}))
        return self._with_cookie(token, LIFE_SECONDS, secure=environ["wsgi.url_scheme"] == "https")

    @route("DELETE", "/key", ANYONE)
    def end(self) -> Answer:
        """Ends the session of this browser."""
        self.access.sessions.end(session_of(bottle.request.environ))
        return self._with_cookie("", -1, secure=bottle.request.environ["wsgi.url_scheme"] == "https")

    def _with_cookie(self, value: str, seconds: int, *, secure: bool) -> Answer:
        """Without a Path the cookie is for the folder of `key` as the browser sees it, also below a proxy (RFC 6265, 5.1.4). In
        a foreign frame it is kept by https alone, for that page's site (CHIPS).
        """
        site = "SameSite=None; Partitioned" if self.framed and secure else "SameSite=Strict"
        attributes = f"Max-Age={seconds}; HttpOnly; {site}{'; Secure' if secure else ''}"
        return answers.answer({}, headers={"Set-Cookie": f"{COOKIE}={value}; {attributes}"})
