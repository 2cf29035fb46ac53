"""Who may ask: keys, what each of them opens, and who needs none."""

import math
import threading
from collections.abc import MutableMapping
from functools import partial
from typing import Any

from appliance.api.attempts import Attempts
from appliance.audit import log as audit
from appliance.faults import Fault, ResultCode
from appliance.keys import Key, KeyStore, Scope

ANYONE: frozenset[Scope] = frozenset()
ANY_KEY = frozenset(Scope)
RECOGNISE, LIVE, ADMIN = (frozenset({scope}) for scope in (Scope.RECOGNISE, Scope.LIVE, Scope.ADMIN))
"""What a path needs: a key with one of these scopes."""

COOKIE = "face_appliance_key"
"""Where the live page's browser keeps its key."""

NAME, ADMITTED = "appliance.key", "appliance.admitted"
"""In a request's environment: the name of its key, for the log; and a function that says whether it is still good."""

NO_NAME = "-"

LOOPBACK = {"127.0.0.1", "::1"}
"""Addresses of this device itself."""

USES = 4096
"""First uses remembered at most; then they are first uses again."""

Environ = MutableMapping[str, Any]


class Access:
    """The door."""

    def __init__(self, keys: KeyStore, attempts: Attempts, *, everyone: bool, loopback: bool) -> None:
        """`everyone`: nobody needs a key; `loopback`: nobody on this device does."""
        self._keys, self._attempts = keys, attempts
        self._everyone, self._loopback = everyone, loopback
        self._used: set[tuple[Key, str]] = set()
        self._lock = threading.Lock()

    def admit(self, environ: Environ, needed: frozenset[Scope]) -> None:
        """Raises Fault INF-25 without a key that opens what is asked for: 401 when there is no good key, 403 when it has
        another scope. Leaves NAME and ADMITTED in the environment.
        """
        environ[NAME], environ[ADMITTED] = NO_NAME, _always
        if not needed or self._exempt(environ["REMOTE_ADDR"]):
            return
        key = self.key(environ)
        environ[NAME], environ[ADMITTED] = key.name, partial(self._keys.holds, key)
        if not key.scopes & needed:
            raise Fault(ResultCode.RESTRICTED, f"key {key.name} does not open this", status=403)

    def known(self, environ: Environ) -> bool:
        """Whether it is worth keeping what a client sends: it needs no key, or has one. Of a request whose head is all there is
        so far.
        """
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        heard = token is not None and not self._attempts.wait(address) and self._keys.find(token) is not None
        return heard or self._exempt(address)

    def key(self, environ: Environ) -> Key:
        """The key of a request. Raises Fault INF-25 (401)."""
        token, address = token_of(environ), environ["REMOTE_ADDR"]
        if token is None:
            raise Fault(ResultCode.RESTRICTED, "no key", status=401)
        if wait := self._attempts.wait(address):
            if self._attempts.worth_telling(address):
                audit.warning("keys from %s are not looked at for a while: too many were wrong", address)
            raise Fault(ResultCode.RESTRICTED, "too many wrong keys", status=401, retry_after=math.ceil(wait))
        key = self._keys.find(token)
        if key is None:
            self._attempts.failed(address)
            audit.warning("wrong key from %s", address)
            raise Fault(ResultCode.RESTRICTED, "wrong key", status=401)
        self._note(key, address)
        return key

    def _exempt(self, address: str) -> bool:
        return self._everyone or (self._loopback and address in LOOPBACK)

    def _note(self, key: Key, address: str) -> None:
        with self._lock:
            if (key, address) in self._used:
                return
            if len(self._used) >= USES:
                self._used.clear()
            self._used.add((key, address))
        audit.info("key %s is used from %s", key.name, address)


def token_of(environ: Environ) -> str | None:
    """The key that a request carries: the first of the headers that clients use, else the live page's cookie."""
    scheme, _, bearer = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    given = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        environ.get("HTTP_X_API_KEY", ""),
        environ.get("HTTP_X_RAPIDAPI_KEY", ""),
        _cookie(environ.get("HTTP_COOKIE", "")),
    )
    return next(filter(None, given), None)


def _cookie(header: str) -> str:
    """Read by hand (RFC 6265, 4.2.1): http.cookies raises on other programs' cookies with odd names."""
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


def _always() -> bool:
    return True
