"""Requests that a browser makes for somebody else: foreign names for this device, foreign pages, and those that may ask."""

import re
import socket
from collections.abc import Iterator

import pytest
from client import Answer, Client, request
from devices import Device, pool
from document import assert_refusal, assert_signed

SHARED = "https://door.example"
NAMED = "appliance.example"


@pytest.fixture(scope="module")
def named() -> Iterator[Client]:
    """A client of a device that has a name, and shares with one origin."""
    with Device(pool(), hosts=[NAMED, "face-appliance-a1b2c3"], origins=[SHARED]) as device:
        yield device.client


@pytest.fixture(scope="module")
def plain() -> Iterator[Client]:
    """A client of a device that shares with nobody."""
    with Device(pool()) as device:
        yield device.client


def own_names(port: int) -> list[str]:
    return [
        "127.0.0.1", f"127.0.0.1:{port}", "192.168.1.20:9297", "[::1]", f"[fe80::1]:{port}", "localhost", "LOCALHOST:80",
        "localhost.", "face-appliance-a1b2c3.local", "Face-Appliance-A1B2C3-2.Local:80", socket.gethostname(), NAMED.upper(),
        f"{socket.gethostname()}.local", f"[fe80::1%25eth0]:{port}", "[fe80::1%eth0]",
    ]  # fmt: skip


def test_a_name_of_this_device_is_taken(named: Client) -> None:
    for host in own_names(named.port):
        assert named.get("/", {"Host": host}).status == 200, host


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9297",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.local",
        "evil-2.local",
        "face-appliance-a1b2c3.evil.local",
        "[fe80::1%]",
        "[evil%eth0]",
        "local",
        "evil.example/.local",
        "user@127.0.0.1",
        "127.0.0.1, evil.example",
        "127.1",
        "0x7f000001",
        "[::1",
        "[evil]",
        "127.0.0.1:port",
        "127.0.0.1:123456",
        "",
        "\xff",
    ],
)
@pytest.mark.parametrize("path", ["/", "/healthz", "/nothing-here"])
def test_another_name_is_refused(named: Client, host: str, path: str) -> None:
    assert_refusal(named.get(path, {"Host": host}), 403, "INF-25")


def test_two_names_are_refused(named: Client) -> None:
    with named.wire() as wire:
        wire.send(b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
        assert_refusal(wire.answer(), 403, "INF-25")


def test_a_client_without_an_origin_is_no_browser(named: Client) -> None:
    with named.wire() as wire:
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.answer().status == 200


def posted(client: Client, **headers: str) -> Answer:
    return client.post("/faces", b"x", {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        f"{SHARED}.evil.example",
        f"http{SHARED.removeprefix('https')}",
        f"{SHARED}:8443",
        f"{SHARED}, {SHARED}",
        "file://",
    ],
)
def test_a_page_from_elsewhere_is_refused(named: Client, origin: str) -> None:
    for method, path in (("POST", "/faces"), ("GET", "/faces"), ("DELETE", "/key"), ("OPTIONS", "/faces")):
        headers = {"Host": f"127.0.0.1:{named.port}", "Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = named.ask(method, path, b"x" if method == "POST" else None, headers)
        assert_refusal(answer, 403, "INF-25")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_device_s_own_page_is_not_from_elsewhere(plain: Client, scheme: str) -> None:
    for host in (f"127.0.0.1:{plain.port}", "localhost"):
        answer = posted(plain, Host=host, Origin=f"{scheme}://{host}")
        assert_refusal(answer, 400, "INF-04")
        assert "Vary" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_foreign_page_that_sends_no_origin_is_refused(plain: Client, site: str) -> None:
    assert_refusal(posted(plain, Sec_Fetch_Site=site), 403, "INF-25")
    for mode, destination in (("no-cors", "image"), ("navigate", "iframe"), ("no-cors", "script"), ("cors", "empty")):
        fetch = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        assert_refusal(plain.get("/camera/frame.jpg", fetch), 403, "INF-25")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_on_a_foreign_page_can_be_followed(plain: Client, site: str) -> None:
    followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert plain.get("/", followed).status == 200
    assert_refusal(plain.post("/faces", b"x", followed), 403, "INF-25")


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_what_the_user_asks_for_is_not_cross_site(plain: Client, site: str) -> None:
    assert_refusal(posted(plain, Sec_Fetch_Site=site), 400, "INF-04")


def test_a_shared_origin_may_ask_and_read(named: Client) -> None:
    answer = posted(named, Origin=SHARED, Sec_Fetch_Site="cross-site")

    assert_refusal(answer, 400, "INF-04")
    assert answer.headers["Access-Control-Allow-Origin"] == SHARED
    assert answer.headers["Vary"] == "Origin"
    assert "Server-Timing" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert named.get("/nothing-here", {"Origin": SHARED}).headers["Access-Control-Allow-Origin"] == SHARED


def test_answers_to_other_origins_vary_by_origin(named: Client) -> None:
    answer = named.get("/")
    assert "Origin" in answer.headers.get_all("Vary", [])
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_preflight_is_answered_without_a_key() -> None:
    with Device(pool(), origins=[SHARED]) as device:
        preflight = {
            "Origin": SHARED,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = device.elsewhere.ask("OPTIONS", "/faces", None, preflight)

        assert answer.status == 200
        assert_signed(answer)
        assert answer.headers["Access-Control-Allow-Origin"] == SHARED
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(
            answer.headers["Access-Control-Allow-Methods"].split(", ")
        )
        for method, rule in {(route.method, re.sub("<.*?>", "x", route.rule)) for route in device.table}:
            asked = {**preflight, "Access-Control-Request-Method": method}
            assert device.elsewhere.ask("OPTIONS", rule, None, asked).status == 200
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        refused = device.elsewhere.post("/faces", b"x", {"Origin": SHARED})
        assert_refusal(refused, 401, "INF-25")
        assert refused.headers["Access-Control-Allow-Origin"] == SHARED
        assert_refusal(device.elsewhere.ask("OPTIONS", "/faces", None, {"Origin": SHARED}), 401, "INF-25")


@pytest.mark.parametrize(
    "path",
    [
        "/../config.py",
        "/web/../../config.py",
        "/..%2f..%2fconfig.py",
        "/%2e%2e/%2e%2e/config.py",
        "/..\\..\\config.py",
        "/app.js/../../app.py",
        "//etc/passwd",
        "/etc/passwd%00.js",
        "/style.css%2f..%2f..%2fapp.py",
        "file:///etc/passwd",
        "/index.html",
        "/web/app.js",
    ],
)
def test_no_path_leads_to_another_file(plain: Client, path: str) -> None:
    with plain.wire() as wire:
        wire.send(request("GET", path))
        assert_refusal(wire.answer(), 404, "INF-02")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/%0d%0aSet-Cookie:%20a=b", {}),
        ("/%0aSet-Cookie:%20a=b", {}),
        ("/", {"X-Request-Id": "a%0d%0aSet-Cookie: a=b"}),
        ("/", {"X-Request-Id": "a\x0bb"}),
        ("/", {"X-API-Key": "fa_%0d%0aSet-Cookie: a=b"}),
        ("/", {"Origin": f"{SHARED}%0d%0aSet-Cookie: a=b"}),
        ("/", {"Cookie": "face_appliance_key=a; Path=/; Set-Cookie: a=b"}),
    ],
)
def test_no_header_can_be_put_into_an_answer(named: Client, path: str, headers: dict[str, str]) -> None:
    answer = named.get(path, headers)
    assert "Set-Cookie" not in answer.headers
    assert "a=b" not in str(answer.headers)
    assert answer.headers["X-Request-Id"].isalnum()


@pytest.mark.parametrize("field", ["X-Request-Id", "X-API-Key", "Origin", "Host", "Cookie"])
@pytest.mark.parametrize("cut", ["\r", "\n", "\0"])
def test_a_header_with_a_control_character_is_refused(named: Client, field: str, cut: str) -> None:
    with named.wire() as wire:
        wire.send(f"GET / HTTP/1.1\r\n{field}: 127.0.0.1{cut}Set-Cookie: a=b\r\n\r\n".encode())
        answer = wire.answer()
        assert answer.status == 400
        assert "Set-Cookie" not in answer.headers
