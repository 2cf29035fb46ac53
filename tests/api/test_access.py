"""Every path with and without a key, from elsewhere and from the device itself, over real sockets."""

import ast
import inspect
import logging
import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from bodies import form
from client import Answer, Client, from_elsewhere, request
from devices import Device, pool, until
from document import assert_refusal, assert_signed

from appliance import keys
from appliance.api import access
from appliance.api.access import BURST, REFILL_SECONDS, Attempts
from appliance.api.app import Page
from appliance.api.sessions import LIFE_SECONDS, Sessions
from appliance.keys import KeyStore, Scope

PAGE = {*(("GET", route.rule) for route in Page().routes()), ("POST", "/key"), ("DELETE", "/key")}
ANY_KEY = {
    ("GET", "/healthz"),
    ("GET", "/access/key"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/version"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing-here"),
    ("PUT", "/faces"),
    ("OPTIONS", "/faces"),
}
INVITED = {("POST", "/enrol/<token>"), ("GET", "/enrol/<token>/invitation")}
"""They need no key but the token of an invitation."""

NOT_HERE = {("POST", path): {406} for path in ("/liveness", "/feature/masking", "/facefeatures/masking")}
"""Switched off in the mode MULTI, and not offered at all."""

SCOPES = {
    Scope.RECOGNISE: {
        ("POST", path)
        for path in (
            "/faces",
            "/alignedfaces",
            "/similarity/v2",
            "/similarity",
            "/liveness/multiframe",
            "/compare",
            "/compare/feature",
            "/feature/floats",
            "/feature/bytes",
            "/feature/masking",
            "/facefeatures",
            "/facefeatures/masking",
            "/facefeatures/withimages",
            "/masks",
            "/liveness",
            "/liveness/multiframe/v2",
            "/identify",
        )
    },
    Scope.LIVE: {
        ("GET", path)
        for path in (
            "/faces",
            "/alignedfaces",
            "/liveness/multiframe",
            "/camera/frame.jpg",
            "/camera/stream.mjpg",
            "/events",
            "/kiosk/events",
            "/identify",
            "/access/decisions",
        )
    },
    Scope.DECIDE: {("POST", "/access/decide"), ("POST", "/access/decide/<handle>"), ("POST", "/access/open")},
    Scope.METRICS: {("GET", "/metrics")},
    Scope.KIOSK: {
        ("POST", "/access/decide/<handle>"),
        *(("GET", path) for path in ("/camera/frame.jpg", "/camera/stream.mjpg", "/kiosk/events")),
    },
    Scope.ADMIN: {
        ("GET", "/metrics"),
        ("GET", "/people"),
        ("POST", "/people"),
        ("GET", "/people/<identity>"),
        ("PUT", "/people/<identity>"),
        ("PATCH", "/people/<identity>"),
        ("DELETE", "/people/<identity>"),
        ("GET", "/access/passes"),
        ("POST", "/access/passes"),
        ("GET", "/access/passes/<identity>"),
        ("DELETE", "/access/passes/<identity>"),
        *(("GET", f"/access/passes/<identity>/code.{kind}") for kind in ("png", "svg")),
        *((method, "/people/<identity>/pin") for method in ("GET", "PUT", "DELETE")),
        ("POST", "/people/import"),
        ("GET", "/people.csv"),
        ("GET", "/access/decisions.csv"),
        ("GET", "/fleet.json"),
        ("POST", "/fleet/invitation"),
        *((method, "/people/<identity>/invitation") for method in ("POST", "DELETE")),
        ("POST", "/people/<identity>/templates"),
        ("POST", "/people/<identity>/templates/camera"),
        ("POST", "/people/<identity>/captures"),
        ("POST", "/people/<identity>/captures/camera"),
        ("POST", "/people/<identity>/captures/<capture>/confirm"),
        ("DELETE", "/people/<identity>/templates/<number>"),
    },
}
GUARDED = sorted({*ANY_KEY, *(route for routes in SCOPES.values() for route in routes)})
WRONG = "fa_" + "A" * 43
HEADERS = ("Authorization", "X-API-Key", "X-RapidAPI-Key", "Cookie")


def sent(header: str, token: str) -> dict[str, str]:
    """A key in one of the headers that carry it."""
    prefix = {"Authorization": "Bearer ", "Cookie": f"theme=dark; {access.COOKIE}="}.get(header, "")
    return {header: prefix + token}


class Clock:
    """Stands still until it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Guarded:
    """A device with a key of each scope, one that has been revoked, and a clock for its failed attempts."""

    session = ""
    """The token of a session of the key with every scope."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / keys.FILE
        self.tokens = {scope: keys.add(self.file, f"only-{scope}", [scope]) for scope in Scope}
        self.every = keys.add(self.file, "every", list(Scope))
        self.revoked = keys.add(self.file, "revoked", list(Scope))
        keys.revoke(self.file, "revoked")
        self.clock = Clock()
        self.device = Device(
            pool(patience=0.01), keys=self.file, attempts=Attempts(self.clock), hosts=["appliance.example"]
        )

    def asked(self, route: tuple[str, str], headers: dict[str, str] | None = None, address: str = "") -> Answer:
        """From elsewhere; what it may cost of the address's attempts is given back."""
        self.clock.now += REFILL_SECONDS
        client = from_elsewhere(self.device.front_port, address) if address else self.device.elsewhere
        return asked(client, route, headers)


def asked(client: Client, route: tuple[str, str], headers: dict[str, str] | None = None) -> Answer:
    method, path = route
    kind, body = form({"x": b"y"}) if method == "POST" else ({}, None)
    with client.wire() as wire:
        wire.send(request(method, path, body, {**kind, **(headers or {})}))
        return replace(wire.answer(), path=path.partition("?")[0])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("guarded"))
    with made.device:
        made.session = signed_in(made, made.every)
        yield made


def signed_in(guarded: Guarded, token: str) -> str:
    """The token of a new session."""
    answer = guarded.asked(("POST", "/key"), sent("Authorization", token))
    return answer.headers["Set-Cookie"].partition("=")[2].partition(";")[0]


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a device that makes no exception of itself."""
    with Device(pool(), keys=tmp_path_factory.mktemp("wary") / keys.FILE, loopback=False) as device:
        yield device.client


def test_these_are_all_the_routes(guarded: Guarded) -> None:
    known = {*PAGE, *INVITED, *GUARDED} - {("GET", "/nothing-here"), ("PUT", "/faces"), ("OPTIONS", "/faces")}
    assert set(guarded.device.routes) == known


def test_the_documentation_names_every_route_beside_its_scope(guarded: Guarded) -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    rows = {row[1]: row[2] for row in re.finditer(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)}
    for route in guarded.device.table:
        scopes = route.scopes
        for name in (
            ["no key"] if not scopes else ["any key"] if scopes == access.ANY_KEY else [f"`{s}`" for s in scopes]
        ):
            named = [path.split()[-1] for path in re.findall(r"`([^`]+)`", rows[name])]
            folders = [path.removesuffix("…") for path in named if path.endswith("…") or path == "/people"]
            served = not scopes and route.rule.rpartition(".")[2] in {
                "js",
                "css",
                "svg",
                "png",
            }  # "their files"
            assert route.rule in named or route.rule.startswith(tuple(folders)) or served, route


@pytest.mark.parametrize("route", GUARDED, ids=" ".join)
class TestAGuardedRoute:
    def test_without_a_key_is_refused_and_says_what_is_wanted(self, guarded: Guarded, route: tuple[str, str]) -> None:
        answer = guarded.asked(route)

        assert_refusal(answer, 401, "INF-25")
        assert answer.headers["WWW-Authenticate"] == access.BASIC_OR_BEARER
        assert "Retry-After" not in answer.headers

    @pytest.mark.parametrize("header", HEADERS)
    def test_with_a_wrong_key_is_refused(self, guarded: Guarded, route: tuple[str, str], header: str) -> None:
        assert_refusal(guarded.asked(route, sent(header, WRONG)), 401, "INF-25")

    def test_with_a_revoked_key_is_refused(self, guarded: Guarded, route: tuple[str, str]) -> None:
        assert_refusal(guarded.asked(route, sent("X-API-Key", guarded.revoked)), 401, "INF-25")

    @pytest.mark.parametrize("header", HEADERS)
    def test_with_a_key_of_every_scope_is_answered(self, guarded: Guarded, route: tuple[str, str], header: str) -> None:
        token = guarded.session if header == "Cookie" else guarded.every
        assert guarded.asked(route, sent(header, token)).status not in {401, 403, *({406} - NOT_HERE.get(route, set()))}

    def test_with_a_key_of_one_scope_is_answered_where_that_fits(
        self, guarded: Guarded, route: tuple[str, str]
    ) -> None:
        for scope, token in guarded.tokens.items():
            answer = guarded.asked(route, sent("Authorization", token))
            if route in ANY_KEY or route in SCOPES[scope]:
                assert answer.status not in (401, 403)
            else:
                assert_refusal(answer, 403, "INF-25")
                assert "WWW-Authenticate" not in answer.headers

    def test_needs_no_key_on_the_device_itself(self, guarded: Guarded, route: tuple[str, str]) -> None:
        assert asked(guarded.device.client, route).status not in (401, 403)
        for address in ("127.0.0.1", "::1"):
            assert guarded.asked(route, address=address).status not in (401, 403)

    def test_on_the_device_itself_a_key_that_is_sent_is_checked(self, guarded: Guarded, route: tuple[str, str]) -> None:
        basic = f"Basic {b64encode(f'house:{WRONG}'.encode()).decode()}"
        for headers in (*(sent(header, WRONG) for header in HEADERS[:3]), {"Authorization": basic}):
            guarded.clock.now += REFILL_SECONDS
            assert_refusal(asked(guarded.device.client, route, headers), 401, "INF-25")
        assert asked(guarded.device.client, route, sent("X-API-Key", guarded.every)).status not in (401, 403)

    def test_needs_a_key_on_the_device_itself_when_that_is_configured(
        self, wary: Client, route: tuple[str, str]
    ) -> None:
        assert_refusal(asked(wary, route), 401, "INF-25")


@pytest.mark.parametrize("route", sorted(PAGE - {("POST", "/key")}), ids=" ".join)
def test_the_page_itself_needs_no_key(guarded: Guarded, route: tuple[str, str]) -> None:
    for headers in ({}, sent("Cookie", WRONG), sent("X-API-Key", guarded.revoked)):
        assert guarded.asked(route, headers).status == 200


@pytest.mark.parametrize(
    "path", ["/%66aces", "//faces", "/nowhere/../faces", "/faces/", "/FACES", "/faces%00", "/faces;x"]
)
def test_no_spelling_of_a_path_goes_round_the_key(guarded: Guarded, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        with guarded.device.elsewhere.wire() as wire:
            wire.send(request(method, path, b"x" if method == "POST" else None, {"Connection": "close"}))
            assert wire.rest().startswith(b"HTTP/1.1 401 ")


SOMEBODY = (
    "/people/x",
    "/people/%2e%2e",
    "/people/.%2e",
    "/people/%00",
    "/people/%ff",
    "/people/x%0a",
    "/people/a%20b",
)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [*SOMEBODY, *(f"{path}/templates/1" for path in SOMEBODY)])
def test_a_path_that_names_a_person_needs_the_admin_scope_however_it_is_spelt(
    guarded: Guarded, method: str, path: str
) -> None:
    allowed = {"GET": (404, 405, 503), "HEAD": (404, 405, 503), "PUT": (400, 405), "DELETE": (404, 405, 503)}[method]
    for headers, statuses in (
        ({}, (401,)),
        (sent("Cookie", WRONG), (401,)),
        (sent("X-API-Key", guarded.tokens[Scope.LIVE]), (403, 405)),
        (sent("X-API-Key", guarded.tokens[Scope.RECOGNISE]), (403, 405)),
        (sent("X-API-Key", guarded.tokens[Scope.ADMIN]), allowed),
    ):
        guarded.clock.now += REFILL_SECONDS
        with guarded.device.elsewhere.wire() as wire:
            wire.send(request(method, path, b"" if method == "PUT" else None, {**headers, "Connection": "close"}))
            answer = wire.rest()
        head = answer.split(b"\r\n\r\n")[0]
        assert int(head.split()[1]) in statuses
        assert b"Content-Type: application/json" in head


@pytest.mark.parametrize(
    "path", ["/people/", "/people//", "/people/a%2fb", "/people/a/b", "/people/x/templates/", "/people/x/templates/1/2"]
)
def test_what_is_nearly_such_a_path_is_nothing(guarded: Guarded, path: str) -> None:
    assert_refusal(guarded.asked(("GET", path)), 401, "INF-25")
    assert_refusal(guarded.asked(("GET", path), sent("X-API-Key", guarded.tokens[Scope.LIVE])), 404, "INF-02")


def test_on_the_device_itself_an_old_cookie_and_the_login_of_a_proxy_are_no_wrong_keys(guarded: Guarded) -> None:
    login = {"Authorization": f"Basic {b64encode(b'house:of the proxy').decode()}"}
    for headers in (sent("Cookie", WRONG), login):
        assert asked(guarded.device.client, ("GET", "/people"), headers).status not in (401, 403)


def test_a_key_without_the_scope_is_told_which_one_is_missing(guarded: Guarded) -> None:
    key = sent("X-API-Key", guarded.tokens[Scope.LIVE])
    assert guarded.asked(("GET", "/people"), key).document["text"] == (
        "This path needs a key with the scope admin; this one has live."
    )
    assert set(guarded.asked(("POST", "/faces"), key).document) == {"return_msg"}


@pytest.mark.parametrize("method", ["get", "Get", "GeT"])
def test_no_spelling_of_a_method_goes_round_the_scope(guarded: Guarded, method: str) -> None:
    headers = {**sent("X-API-Key", guarded.tokens[Scope.LIVE]), "Connection": "close"}
    with guarded.device.elsewhere.wire() as wire:
        wire.send(request(method, "/metrics", None, headers))
        assert not wire.rest().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic {}"},
        {"Authorization": "{}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer {}, x"},
        {"X-API-Key": "{}x"},
        {"X-API-Key": "fa_"},
        {"X_API_Key": "{}"},
        {"Cookie": "x-face_appliance_session={session}"},
        {"Cookie": 'face_appliance_session="{session}"'},
        {"Cookie": "a/b=c; [];;=; face_appliance_session"},
        {"Cookie": "face_appliance_session={}"},
        {"X-API-Key": "{session}"},
        {"X-API-Key": "\xff\xfe"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Remote-Addr": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
    ],
    ids=str,
)
def test_what_is_nearly_a_key_is_none(guarded: Guarded, headers: dict[str, str]) -> None:
    filled = {name: value.format(guarded.every, session=guarded.session) for name, value in headers.items()}
    assert_refusal(guarded.asked(("GET", "/version"), filled), 401, "INF-25")


def test_the_scheme_is_read_in_any_case(guarded: Guarded) -> None:
    for scheme in ("bearer", "BEARER"):
        assert guarded.asked(("GET", "/version"), {"Authorization": f"{scheme} {guarded.every}"}).status == 200


def test_a_key_sent_twice_is_none(guarded: Guarded) -> None:
    with guarded.device.elsewhere.wire() as wire:
        line = f"X-API-Key: {guarded.every}\r\n"
        wire.send(f"GET /version HTTP/1.1\r\nHost: 192.0.2.1\r\n{line}{line}\r\n".encode())
        assert_refusal(wire.answer(), 401, "INF-25")


def test_a_good_header_stands_before_an_old_cookie(guarded: Guarded) -> None:
    headers = {**sent("Cookie", WRONG), **sent("X-API-Key", guarded.every)}
    assert guarded.asked(("GET", "/version"), headers).status == 200


@pytest.mark.parametrize("header", ["X-API-Key", "X-RapidAPI-Key", "Cookie"])
def test_a_login_of_a_proxy_in_front_stands_in_no_ones_way(guarded: Guarded, header: str) -> None:
    login = {"Authorization": f"Basic {b64encode(b'house:of the proxy').decode()}"}
    token = guarded.session if header == "Cookie" else guarded.every

    assert guarded.asked(("GET", "/version"), {**login, **sent(header, token)}).status == 200
    assert_refusal(guarded.asked(("GET", "/version"), {**login, **sent(header, WRONG)}), 401, "INF-25")


def test_a_signed_in_browser_has_a_session_and_not_the_key(guarded: Guarded) -> None:
    answer = guarded.asked(("POST", "/key"), sent("Authorization", guarded.every))

    assert_signed(answer)
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    name, _, token = cookie.partition("=")
    assert name == access.COOKIE
    assert guarded.every not in cookie
    assert {each.lower() for each in attributes} >= {
        "httponly",
        "samesite=strict",
        f"max-age={LIFE_SECONDS}",
        "secure",
    }
    assert not any(each.lower().startswith("path") for each in attributes)
    assert guarded.asked(("GET", "/version"), {"Cookie": cookie}).status == 200
    assert token not in guarded.file.with_name("sessions.json").read_text("ascii")

    ended = guarded.asked(("DELETE", "/key"), {"Cookie": cookie}).headers["Set-Cookie"]
    assert f"{access.COOKIE}=;" in ended
    assert "Max-Age=-1" in ended
    assert_refusal(guarded.asked(("GET", "/version"), {"Cookie": cookie}), 401, "INF-25")


@pytest.mark.parametrize("user", ["", "admin", "a:b", "Ünï"])
def test_the_password_of_basic_is_the_key(guarded: Guarded, user: str) -> None:
    credentials = b64encode(f"{user.replace(':', '')}:{guarded.every}".encode()).decode()

    for scheme in ("Basic", "basic"):
        assert guarded.asked(("GET", "/version"), {"Authorization": f"{scheme} {credentials}"}).status == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("way", ["--basic", "--anyauth"])
def test_curl_sends_the_key_as_a_password(tmp_path: Path, way: str) -> None:
    token = keys.add(tmp_path / keys.FILE, "player", [Scope.LIVE])
    with Device(pool(), keys=tmp_path / keys.FILE, loopback=False) as device:
        url = f"http://127.0.0.1:{device.client.port}/healthz"
        told = [
            subprocess.run(["curl", "-sS", way, "-u", f"any:{key}", url], capture_output=True, check=True).stdout
            for key in (token, "wrong")
        ]
    assert b'"INF-00"' in told[0]
    assert b'"INF-25"' in told[1]


@pytest.mark.parametrize("headers", [{"X-Requested-With": "XMLHttpRequest"}, {"Accept": "text/event-stream"}], ids=str)
def test_a_script_of_the_pages_is_not_offered_basic(guarded: Guarded, headers: dict[str, str]) -> None:
    answer = guarded.asked(("GET", "/events"), headers)

    assert_refusal(answer, 401, "INF-25")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_session_does_not_start_another_one(guarded: Guarded) -> None:
    for login in ({}, {"Authorization": f"Basic {b64encode(b'house:of the proxy').decode()}"}):
        answer = guarded.asked(("POST", "/key"), {**login, **sent("Cookie", guarded.session)})
        assert_refusal(answer, 401, "INF-25")
        assert "Set-Cookie" not in answer.headers


def test_a_session_outlives_the_process_and_ends_with_its_key_or_its_time(tmp_path: Path) -> None:
    file, wall = tmp_path / keys.FILE, Clock()
    keys.add(file, "page", [Scope.LIVE])
    (key,) = keys.read(file)
    token = Sessions(tmp_path / "sessions.json", KeyStore(file), wall).begin(key)

    again = Sessions(tmp_path / "sessions.json", KeyStore(file), wall)
    assert again.key(token) == key
    assert again.key(token[:-1]) is None
    wall.now += LIFE_SECONDS
    assert again.key(token) is None
    wall.now -= 1
    keys.revoke(file, "page")
    assert Sessions(tmp_path / "sessions.json", KeyStore(file), wall).key(token) is None


def test_a_session_that_began_with_the_clock_ahead_is_not_valid(tmp_path: Path) -> None:
    file, wall = tmp_path / keys.FILE, Clock()
    keys.add(file, "page", [Scope.LIVE])
    (key,) = keys.read(file)
    sessions = Sessions(tmp_path / "sessions.json", KeyStore(file), wall)
    wall.now += 20 * 365 * 24 * 3600
    token = sessions.begin(key)
    assert sessions.key(token) == key
    wall.now -= 20 * 365 * 24 * 3600
    assert sessions.key(token) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": {"key": "b", "expires": "c"}}', b"\xff"])
def test_a_damaged_file_of_sessions_is_like_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / keys.FILE
    keys.add(file, "page", [Scope.LIVE])
    (key,) = keys.read(file)
    (tmp_path / "sessions.json").write_bytes(content)
    sessions = Sessions(tmp_path / "sessions.json", KeyStore(file))
    assert sessions.key("fs_x") is None
    assert sessions.key(sessions.begin(key)) == key


def test_the_oldest_session_makes_room_for_a_new_one(tmp_path: Path) -> None:
    file, wall = tmp_path / keys.FILE, Clock()
    keys.add(file, "page", [Scope.LIVE])
    (key,) = keys.read(file)
    sessions = Sessions(tmp_path / "sessions.json", KeyStore(file), wall, most=2)
    tokens = []
    for _ in range(3):
        wall.now += 1
        tokens.append(sessions.begin(key))
    assert [sessions.key(token) for token in tokens] == [None, key, key]


def test_a_stream_ends_when_its_user_signs_out(tmp_path: Path) -> None:
    made = Guarded(tmp_path)
    with made.device as device, device.elsewhere.wire() as wire:
        cookie = sent("Cookie", signed_in(made, made.every))
        wire.send(request("GET", "/events", None, cookie))
        assert wire.answer().status == 200
        assert asked(device.elsewhere, ("DELETE", "/key"), cookie).status == 200
        assert b"event: health" in wire.rest()


def test_without_tls_the_cookie_is_kept_all_the_same(guarded: Guarded) -> None:
    answer = asked(guarded.device.client, ("POST", "/key"), sent("Authorization", guarded.every))
    assert answer.status == 200
    assert "secure" not in answer.headers["Set-Cookie"].lower()


@pytest.mark.parametrize("headers", [{}, sent("Authorization", WRONG)], ids=["none", "wrong"])
def test_no_cookie_is_set_for_a_key_that_is_none(guarded: Guarded, headers: dict[str, str]) -> None:
    answer = guarded.asked(("POST", "/key"), headers)
    assert_refusal(answer, 401, "INF-25")
    assert "Set-Cookie" not in answer.headers


def test_no_cookie_is_set_for_a_key_that_does_not_open_the_page(guarded: Guarded) -> None:
    answer = guarded.asked(("POST", "/key"), sent("Authorization", guarded.tokens[Scope.RECOGNISE]))
    assert_refusal(answer, 403, "INF-25")
    assert "Set-Cookie" not in answer.headers


def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    token = keys.add(tmp_path / keys.FILE, "watcher", [Scope.LIVE])
    with Device(pool(), keys=tmp_path / keys.FILE) as device, device.elsewhere.wire() as wire:
        wire.send(request("GET", "/events", None, sent("Authorization", token)))
        assert wire.answer().status == 200

        keys.revoke(tmp_path / keys.FILE, "watcher")

        assert b"event: health" in wire.rest()


def test_many_wrong_keys_get_retry_after_and_a_valid_key_from_the_same_address_is_accepted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = Guarded(tmp_path)
    with made.device as device:
        for _ in range(BURST):
            answer = asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", WRONG))
            assert_refusal(answer, 401, "INF-25")
            assert "Retry-After" not in answer.headers

        for _ in range(3):
            answer = asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", WRONG))
            assert_refusal(answer, 401, "INF-25")
            assert 1 <= int(answer.headers["Retry-After"]) <= REFILL_SECONDS
            assert asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", made.every)).status == 200
        assert asked(device.elsewhere, ("GET", "/")).status == 200

        made.clock.now += REFILL_SECONDS
        answer = asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", WRONG))
        assert "Retry-After" not in answer.headers
    logged = [record.getMessage() for record in caplog.records if record.name == "appliance.state"]
    assert logged.count("wrong key from 192.0.2.7") == BURST + 1
    assert sum("not logged for a while" in line for line in logged) == 1
    assert WRONG not in caplog.text
    assert made.every not in caplog.text


def test_asking_without_any_key_uses_up_no_attempts(guarded: Guarded) -> None:
    address = "192.0.2.99"
    for _ in range(2 * BURST):
        client = from_elsewhere(guarded.device.front_port, address)
        assert "Retry-After" not in asked(client, ("GET", "/version")).headers
    assert guarded.asked(("GET", "/version"), sent("X-API-Key", guarded.every), address).status == 200


def test_the_comparison_goes_over_every_digest_in_constant_time() -> None:
    (function,) = ast.parse(dedent(inspect.getsource(KeyStore.of))).body
    (loop,) = [node for node in ast.walk(function) if isinstance(node, ast.For)]

    assert ast.unparse(loop.iter) == "self._keys"
    assert not [node for node in ast.walk(loop) if isinstance(node, ast.Break | ast.Return | ast.Continue)]
    assert [ast.unparse(node.func) for node in ast.walk(loop) if isinstance(node, ast.Call)] == ["hmac.compare_digest"]
    assert not [node for node in ast.walk(function) if isinstance(node, ast.Compare) and "digest" in ast.unparse(node)]


@pytest.mark.logs_errors("no key is accepted")
def test_a_damaged_file_of_keys_admits_this_device_only(tmp_path: Path) -> None:
    file = tmp_path / keys.FILE
    token = keys.add(file, "someone", list(Scope))
    file.write_bytes(file.read_bytes()[:-20])
    with Device(pool(), keys=file) as device:
        assert_refusal(asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", token)), 401, "INF-25")
        health = device.client.get("/healthz")
        assert health.status == 503
        assert [reason["state"] for reason in health.document["reasons"]] == ["keys_damaged"]
        assert str(tmp_path) not in health.content.decode()

        file.unlink()
        keys.add(file, "another", list(Scope))
        assert until(lambda: device.client.get("/healthz").status == 200)


def test_the_log_names_the_key_of_a_request_and_the_audit_its_first_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = Guarded(tmp_path)
    with made.device as device:
        for _ in range(2):
            asked(device.elsewhere, ("GET", "/version"), sent("X-API-Key", made.every))
        asked(device.elsewhere, ("POST", "/faces"), sent("X-API-Key", made.tokens[Scope.LIVE]))
        asked(device.client, ("GET", "/version"))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" key=")[2] for line in lines if " key=" in line] == ["every", "every", "only-live", "-"]
    assert lines.count("key every is used from 192.0.2.7") == 1
    assert not [token for token in (made.every, *made.tokens.values()) if token in caplog.text]
