"""The checks: one line each, from the same network namespace as Home Assistant, mosquitto and the device."""

import json
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("", "outputs", "system")]

from brokers import Listener, Mosquitto  # noqa: E402
from client import HOST, Client  # noqa: E402
from devices import Child, until  # noqa: E402
from doors import HEIGHT, WIDTH  # noqa: E402
from people import add, assert_enrolled, body  # noqa: E402
from test_door_at_work import film  # noqa: E402

from appliance import keys  # noqa: E402

DEBIAN = Path(sys.argv[1])
ADDRESS, PORT, ASSISTANT_PORT = "192.0.2.10", 9297, 8123
PATIENCE = 120.0
"""Seconds for Home Assistant to start, even on a busy computer."""

DEVICE = """
[server]
host = "0.0.0.0"
[lan]
name = "Front door"
[gallery]
key_file = "{folder}/site.key"
[camera]
driver = "replay"
source = "{folder}/film"
width = {width}
height = {height}
fps = 15
[inputs]
contact = {{pin = 5, normally = "open"}}
tamper = {{pin = 19, normally = "open"}}
fire = {{pin = 13, normally = "closed"}}
[mqtt]
host = "127.0.0.1"
port = {broker}
picture_s = 1
"""
"""Nothing is connected to the pins, so that every circuit is open: only the fire alarm reports something."""

SETTINGS = """
http:
  server_host: 127.0.0.1
zeroconf:
logger:
  default: warning
"""

ENTITIES = {
    "event": ["Decision"],
    "binary_sensor": ["Problem", "Door", "Door forced", "Door held open", "Case", "Fire alarm"],
    "camera": ["Camera"],
    "image": ["Last decision"],
}
"""What the device is to Home Assistant, by the domain."""

CLASSES = {
    "problem": "problem",
    "door": "door",
    "door_forced": "problem",
    "door_held_open": "problem",
    "case": "tamper",
    "fire_alarm": "problem",
}

failures = 0


@contextmanager
def check(title: str, log: Path | None = None) -> Iterator[list[str]]:
    """Prints how the block went; what it appends to the list is printed as well."""
    global failures  # noqa: PLW0603
    facts: list[str] = []
    try:
        yield facts
    except Exception as error:  # noqa: BLE001
        failures += 1
        print(f"FAIL {title}: {type(error).__name__}: {error}")
        for line in log.read_text("utf-8", "replace").splitlines()[-25:] if log and log.exists() else ():
            print(f"     | {line}")
    else:
        print(f"ok   {title}{': ' * bool(facts)}{', '.join(facts)}")
    sys.stdout.flush()


def true(statement: object, otherwise: object) -> None:
    """Raises ValueError that shows `otherwise`, unless the statement is true."""
    if not statement:
        raise ValueError(str(otherwise))


class Assistant:
    """Home Assistant in the Debian, asked by its own API."""

    def __init__(self) -> None:
        self.log = DEBIAN.with_name("home-assistant.log")
        self._token = ""
        folder = DEBIAN / "opt" / "config"
        subprocess.run(["rm", "-rf", folder, self.log], check=True)
        folder.mkdir()
        (folder / "configuration.yaml").write_text(SETTINGS)

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/chroot", DEBIAN, "/opt/ha/bin/hass", "--config", "/opt/config", "--skip-pip"],
                env={"PATH": "/opt/ha/bin:/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def ask(self, path: str, document: Any = None, form: dict[str, str] | None = None) -> Any:
        """The answer to a GET, or to a POST of a JSON document or a form: JSON, or the bytes of anything else."""
        content = json.dumps(document).encode() if document is not None else None
        kind = "application/json"
        if form:
            content, kind = urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded"
        headers = {"Content-Type": kind, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
        asked = urllib.request.Request(f"http://{HOST}:{ASSISTANT_PORT}{path}", content, headers)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                found, kind = answer.read(), answer.headers.get_content_type()
        except urllib.error.HTTPError as error:
            raise ValueError(f"{path}: {error.code} {error.read()[:500]!r}") from error
        return json.loads(found) if kind == "application/json" else found

    def up(self) -> bool:
        """Whether it has started."""
        try:
            return self.ask("/api/config")["state"] == "RUNNING" if self._token else bool(self.ask("/api/onboarding"))
        except (OSError, ValueError):
            return False

    def sign_in(self) -> None:
        """As its first user, as a browser does it."""
        place = f"http://{HOST}:{ASSISTANT_PORT}/"
        user = {"client_id": place, "name": "Owner", "username": "owner", "password": "owner", "language": "en"}
        code = self.ask("/api/onboarding/users", user)["auth_code"]
        token = self.ask("/auth/token", form={"grant_type": "authorization_code", "code": code, "client_id": place})
        self._token = token["access_token"]

    def integrate(self, handler: str, *answers: dict[str, Any]) -> dict[str, Any]:
        """Adds an integration by its own dialog; the answers go into one form after the other."""
        flow = self.ask("/api/config/config_entries/flow", {"handler": handler, "show_advanced_options": True})
        for answer in answers:
            flow = self.ask(f"/api/config/config_entries/flow/{flow['flow_id']}", answer)
        true(flow["type"] == "create_entry", flow)
        return flow

    def says(self, expression: str) -> Any:
        """The value of an expression of its templates."""
        found = self.ask("/api/template", {"template": f"{{{{ ({expression}) | tojson }}}}"})
        return json.loads(found) if isinstance(found, bytes) else found

    def state(self, entity: str) -> dict[str, Any]:
        """The state of an entity, with its attributes; empty while there is none."""
        return next((each for each in self.ask("/api/states") if each["entity_id"] == entity), {})

    def picture(self, entity: str) -> bytes:
        """The picture of a camera or image; empty while there is none."""
        try:
            found = self.ask(f"/api/{entity.split('.')[0]}_proxy/{entity}")
        except ValueError:
            return b""
        return found if found.startswith(b"\xff\xd8") else b""

    def entities(self, integration: str) -> list[str]:
        """The ids of what an integration has made."""
        return sorted(self.says(f"integration_entities('{integration}')"))


def whole(assistant: Assistant) -> list[str]:
    """All entities of the device, once all of them have a state; empty until then."""
    wanted = sorted(
        f"{domain}.front_door_{name.lower().replace(' ', '_')}" for domain, names in ENTITIES.items() for name in names
    )
    found = assistant.entities("mqtt")
    true(set(found) <= set(wanted), f"{found} instead of {wanted}")
    states = [assistant.state(each).get("state", "unavailable") for each in wanted]
    return wanted if found == wanted and "unavailable" not in states else []


def states(assistant: Assistant) -> set[str]:
    """The states of the device's entities."""
    return {assistant.state(each)["state"] for each in assistant.entities("mqtt")}


def check_entities(assistant: Assistant) -> None:
    with check("every entity of the device is there", assistant.log):
        found = until(lambda: whole(assistant), PATIENCE)
        true(found, f"only {assistant.entities('mqtt')}")
        for entity in found:
            state = assistant.state(entity)
            kind = state["attributes"].get("device_class")
            print(f"     {entity:40} {state['state'][:32]:34} {kind or ''}")
            if entity.startswith("binary_sensor"):
                name = entity.removeprefix("binary_sensor.front_door_")
                true(kind == CLASSES[name], f"{entity}: {kind}")
                if name != "problem":
                    true(state["state"] == ("on" if name == "fire_alarm" else "off"), state)
    with check("the device has its name, its maker and its page") as facts:
        names = ("name", "manufacturer", "model", "sw_version", "configuration_url")
        asked = ", ".join(f"device_attr('event.front_door_decision', '{each}')" for each in names)
        name, maker, model, version, page = assistant.says(f"[{asked}]")
        facts.extend([name, maker, model, version, page])
        true((name, maker) == ("Front door", "Face Appliance") and model and version, facts)
        true(page.startswith("http://face-appliance-") and page.endswith(f".local:{PORT}/"), page)


def check_door(assistant: Assistant, client: Client) -> None:
    with check("a decision is an event, with its reason and person", assistant.log) as facts:

        def decided() -> dict[str, Any] | None:
            answer = client.ask("POST", "/access/decide", body({"nonce": secrets.token_hex(16)}))
            true(answer.status == 200, answer.content)
            decision = answer.document["decision"]
            event = until(lambda: shown_of(assistant, decision["id"]), 10)
            return event if decision["result"] == "granted" else None

        event = until(decided, PATIENCE)
        true(event, "no decision is granted, and shown")
        assert event
        facts.extend(event[each] for each in ("event_type", "reason", "person", "direction"))
        true(facts == ["granted", "granted", "hopper", "in"], facts)
        true("token" not in event, event)
    with check("camera and image show pictures") as facts:
        for entity in ("camera.front_door_camera", "image.front_door_last_decision"):
            facts.append(f"{len(until(lambda entity=entity: assistant.picture(entity), 10) or b'')} bytes")
        true("0 bytes" not in facts, facts)


def shown_of(assistant: Assistant, decision: str) -> dict[str, Any] | None:
    """What the event entity shows of a decision."""
    attributes = assistant.state("event.front_door_decision").get("attributes", {})
    return attributes if attributes.get("decision") == decision else None


def check_generic_camera(assistant: Assistant, key: str) -> None:
    with check("a generic camera shows the device's picture, with the key as password", assistant.log) as facts:
        address = f"http://{ADDRESS}:{PORT}/camera/frame.jpg"
        given = {"still_image_url": address, "username": "any", "password": key}
        more = {"framerate": 2, "verify_ssl": True, "authentication": "basic"}
        assistant.integrate("generic", {**given, "advanced": more}, {"confirmed_ok": True})
        (entity,) = until(lambda: assistant.entities("generic"), PATIENCE)
        picture = until(lambda: assistant.picture(entity), 10)
        true(picture, "no picture")
        facts.extend([entity, f"{len(picture)} bytes"])


def check_restarts(assistant: Assistant, listener: Listener) -> None:
    """With the announcement that the broker keeps deleted, only a new one makes the entities again."""
    (topic,) = {each for each, *_ in listener.heard if each.startswith("homeassistant/device/")}
    with check("after a start of Home Assistant the device announces itself again", assistant.log) as facts:
        listener.publish(topic, "", retain=True)
        true(until(lambda: b"" in listener.on(topic)), "not deleted")
        heard, begin = len(listener.heard), time.monotonic()
        with assistant:
            true(until(assistant.up, PATIENCE), "it does not start")
            true(until(lambda: whole(assistant), PATIENCE), assistant.entities("mqtt"))
            since = [(each, payload) for each, payload, _ in listener.heard[heard:]]
            birth = since.index(("homeassistant/status", b"online"))
            true(topic in [each for each, _ in since[birth:]], "not announced after the birth message")
            facts.append(f"{time.monotonic() - begin:.0f} s")


def main() -> int:
    """Everything in turn; returns the exit status."""
    assistant = Assistant()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "state").mkdir()
        key = keys.add(folder / "state" / keys.FILE, "first", [keys.Scope.LIVE])
        hopper = (ROOT / "appliance" / "camera" / "demonstration" / "grace_hopper.jpg").read_bytes()
        film(folder / "film", hopper)
        with Mosquitto(folder) as broker, Listener(broker.port) as listener:
            settings = DEVICE.format(folder=folder, width=WIDTH, height=HEIGHT, broker=broker.port)
            pins = {"GPIOZERO_PIN_FACTORY": "mock"}
            with Child(folder, settings, ("--port", str(PORT)), environment=pins, forked=False) as device:
                client = device.ready()
                add(client, "hopper", "Grace Hopper")
                assert_enrolled(client.post("/people/hopper/templates", hopper))
                with assistant:
                    with check("Home Assistant starts, and connects to the broker", assistant.log) as facts:
                        true(until(assistant.up, PATIENCE), "it does not start")
                        assistant.sign_in()
                        true(until(assistant.up, PATIENCE), "it does not finish its start")
                        facts.append(assistant.ask("/api/config")["version"])
                        assistant.integrate("mqtt", {"broker": HOST, "port": broker.port})
                    check_entities(assistant)
                    check_door(assistant, client)
                    check_generic_camera(assistant, key)
                check_restarts(assistant, listener)
                with assistant, check("a device that stops is unavailable", assistant.log):
                    true(until(lambda: assistant.up() and whole(assistant), PATIENCE), "not there")
                    true(device.terminate() == 0, device.log)
                    true(until(lambda: states(assistant) == {"unavailable"}), states(assistant))
    print("all ok" if not failures else f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
