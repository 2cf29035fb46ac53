"""The client library against real devices: every endpoint, errors, pins, and an event stream that outlives its device."""

import hashlib
import io
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

import pytest
from bodies import zipped
from cameras import Scripted
from certificates import certificate, server_context
from devices import DEVICE_ID, Device, pool, shipped_engine, until
from doors import HEIGHT, WIDTH, head
from face_appliance_client import (
    FaceAppliance,
    NotAdmittedError,
    RefusedError,
    TokenError,
    UnexpectedAnswerError,
    UnreachableError,
)
from face_appliance_client.answers import (
    Connected,
    DoorEvent,
    GalleryEvent,
    OtherEvent,
    PublicKeyAnswer,
)
from prometheus_client.parser import text_string_to_metric_families

from appliance import keys
from appliance.access import token
from appliance.access.factors import FactorRules
from appliance.access.policy import ClockState, Rules
from appliance.events import DoorEvent as Happened
from appliance.events import DoorEventKind, DoorState, GalleryChanged, PanelText
from appliance.imaging.codec import EncodedPicture
from appliance.keys import Scope
from appliance.sections import DoorSection
from appliance.vision.loading import Choice

CLIENT = Path(__file__).parents[2] / "scripts" / "client"

PATIENT = timedelta(minutes=1)
"""Other tests run, too."""

OTHERS = {
    *("/", "/door", "/kiosk", "/fleet", "/key", "/kiosk/events", "/docs", "/openapi.json"),
    *("/similarity", "/liveness/multiframe", "/access/decide/<handle>"),
    *("/feature/masking", "/facefeatures/masking"),
    *("/enrol/<token>", "/enrol/<token>/invitation"),
}
"""What is for the pages alone, besides their files; what has another path as well; and what this device does not offer."""


@pytest.fixture(scope="module")
def device(choice: Choice, hopper: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A device at whose camera Hopper stands, unknown."""
    photo = EncodedPicture(hopper, 10**6).frame(1.0).pixels
    pictures = [head(photo, number) for number in range(61)]
    camera = Scripted(lambda number: pictures[number % 61].copy(), 1 / 15)
    folder = tmp_path_factory.mktemp("client")
    engines = pool(shipped_engine(choice), shipped_engine(choice))
    factors = DoorSection(factors=[{"factors": "face+pin", "groups": ["vault"]}]).rules["factors"]
    rules = Rules(factors=FactorRules.of(factors), clock=ClockState.PLAUSIBLE)
    with Device(engines, source=camera, size=(WIDTH, HEIGHT), gallery=folder, choice=choice, rules=rules) as running:
        assert until(lambda: running.ring.spaced(4, 0.3))
        yield running


@pytest.fixture(scope="module")
def client(device: Device) -> Iterator[FaceAppliance]:
    with FaceAppliance(f"http://127.0.0.1:{device.client.port}") as connected:
        yield connected


def answered(client: FaceAppliance) -> set[tuple[str, str]]:
    """The endpoints that have been asked."""
    families = text_string_to_metric_families(client.metrics())
    return {
        (sample.labels["method"], sample.labels["endpoint"])
        for family in families
        for sample in family.samples
        if sample.name == "appliance_requests_total"
    }


def use_pictures(client: FaceAppliance, portrait: bytes, hopper: bytes) -> None:
    (face,) = client.faces(portrait, minsize=48)
    assert len(face.landmark.lm_points) == 106
    assert face.box.x < face.landmark.lm_points[46].x < face.box.x + face.box.width
    (aligned,) = client.aligned_faces(portrait, detectcount=1)
    assert len(aligned.image_data) == 112 * 112 * 3
    (feature,) = client.features(portrait)
    again = client.feature(aligned.image_data)
    assert (feature.feature_size, len(feature.vector), again.box) == (512, 512, None)
    assert sum(a * b for a, b in zip(feature.vector, again.vector, strict=True)) > 0.99
    assert client.similarity(aligned.image_data, aligned.image_data) > 0.99
    assert client.compare(portrait, hopper).similarity < 0.5
    (pictured,) = client.features_with_images(portrait)
    assert (pictured.image_data, len(pictured.feature_data)) == (aligned.image_data, 2048)
    short = client.feature_bytes(aligned.image_data)
    assert (len(short), client.compare_features(short, pictured.feature_data) > 0.99) == (512, True)
    assert [mask.masked for mask in client.masks(portrait)] == [False]
    with pytest.raises(RefusedError, match="switched_off"):  # liveness.mode = "multi"
        client.single_liveness(portrait)
    frames = io.BytesIO()
    with zipfile.ZipFile(frames, "w") as archive:
        for number in "1234":
            archive.writestr(f"{number}.jpg", portrait)
    assert client.liveness(frames.getvalue()) <= 0.3
    assert [len(found) for found in (client.faces(), client.aligned_faces(), client.identify())] == [1, 1, 1]
    assert 0 <= client.liveness() <= 1

    version, health = client.version(), client.health()
    assert (version.liveness_mode, len(version.models)) == ("MULTI", len({model.file for model in version.models}))
    assert (health.status, health.camera and health.camera["state"]) == ("ok", "ok")
    assert client.frame()[:2] == b"\xff\xd8"
    stream = client.stream()
    assert [next(stream)[:2] for _ in range(3)] == [b"\xff\xd8"] * 3
    stream.close()
    events = client.events()
    assert next(events) == Connected()
    events.close()


def use_people(client: FaceAppliance, hopper: bytes) -> None:
    added = client.add_person("hopper", "Grace Hopper", groups=["navy"], valid_until=date(2099, 12, 31))
    assert (added.groups, added.valid_until, added.templates) == (("navy",), date(2099, 12, 31), ())
    assert abs(added.created - datetime.now(UTC)) < timedelta(minutes=1)
    assert (
        client.replace_person("hopper", "G. Hopper", credential={"format": "26", "facility": 1, "card": 2}).name
        == "G. Hopper"
    )
    changed = client.change_person("hopper", valid_from=date(2026, 1, 1))
    assert (changed.name, changed.valid_from, changed.groups) == ("G. Hopper", date(2026, 1, 1), ())
    assert client.enrol("hopper", hopper).quality.overall > 0.5
    assert client.enrol_from_camera("hopper", allow_mismatch=True).template.source == "camera"
    captures = [client.capture("hopper", hopper, face=(262, 218)), client.capture_from_camera("hopper")]
    confirmed = [client.confirm("hopper", each.capture, allow_mismatch=True).template.source for each in captures]
    assert (confirmed, len(captures[0].face.image_data)) == (["photo", "camera"], 112 * 112 * 3)
    with pytest.raises(RefusedError, match="no_face_there"):
        client.enrol("hopper", hopper, face=(1, 1))
    assert [person.id for person in client.people("HOPP")] == ["hopper"]
    assert client.people("nobody") == ()
    (known,) = client.identify(hopper)
    assert (known.result, known.person.id) == ("identified", "hopper")
    assert len(client.forget("hopper", client.person("hopper").templates[-1].number).templates) == 3


def use_door(client: FaceAppliance) -> None:
    key = client.public_key()
    assert (key.device, client.key_set()["keys"][0]["x"]) == (DEVICE_ID, key.public_key)
    door = client.door(key.public_key, key.device, answer=PATIENT, tolerance=PATIENT)
    decided = [door.decide(), door.decide("out")]
    assert [(each.person, each.direction) for each in decided] == [("hopper", "in"), ("hopper", "out")]
    client.change_person("hopper", groups=["vault"])
    client.set_pin("hopper", "4711")
    assert client.has_pin("hopper")
    assert door.decide(step=lambda step: {"pin": "4711"} if step.kind == "pin" else {}).nonce != decided[0].nonce
    assert door.decide(step=lambda _: {"cancel": True}).reason == "pin_required"
    client.remove_pin("hopper")
    assert not client.has_pin("hopper")
    table = client.people_table("hopper")
    assert [(each.id, each.result) for each in client.import_people(table, dry_run=True)] == [("hopper", "unchanged")]
    alone = client.fleet("hopper")
    assert (alone.fleet, alone.device, alone.devices, alone.people, alone.total) == (None, DEVICE_ID, (), (), 1)
    (refused,) = client.import_people(b"id,name,photos\nx,X,x.jpg\n", zipped({}), on_conflict="skip")
    assert (refused.row, refused.result, refused.reason) == (2, "refused", "no_such_photo")
    assert client.invite("hopper").url.rpartition("/")[0].endswith("/enrol")
    client.withdraw_invitation("hopper")
    assert client.decisions_table(since="2020-01-01", person="hopper").startswith(b"\xef\xbb\xbfsequence,")
    with pytest.raises(RefusedError, match="no_fleet"):
        client.invite_device()
    with pytest.raises(RefusedError, match="relay_unavailable"):
        client.open_door()
    assert [each.reason for each in client.decisions(4)[2:]] == [each.reason for each in reversed(decided)]
    assert client.erase_person("hopper").complete
    tonight = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=6)
    issued = client.issue_pass("Vera Rubin", tonight, single_use=True)
    assert (issued.valid_until, issued.single_use, issued.revoked) == (tonight, True, None)
    assert client.visitor_pass(issued.id) == issued
    assert (client.pass_picture(issued.id)[:5], client.pass_picture(issued.id, "png")[1:4]) == (b"<?xml", b"PNG")
    assert client.revoke_pass(issued.id).revoked
    assert [each.id for each in client.passes()] == [issued.id]


def test_every_endpoint_has_its_typed_method(
    device: Device, client: FaceAppliance, portrait: bytes, hopper: bytes
) -> None:
    use_pictures(client, portrait, hopper)
    use_people(client, hopper)
    use_door(client)
    web = Path(token.__file__).parents[1] / "api" / "web"
    files = {f"/{path.relative_to(web)}" for path in web.rglob("*")}
    assert client.metrics()
    assert {(method, path) for method, path in device.routes if path not in OTHERS | files} - answered(client) == set()


def test_a_person_with_an_id_that_is_no_path(client: FaceAppliance) -> None:
    with pytest.raises(RefusedError) as caught:
        client.person("a/../b?c#d")
    assert caught.value.status == 404


def test_a_refusal_says_why(client: FaceAppliance, portrait: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        client.enrol("nobody-1", portrait)
    error = caught.value
    assert (error.status, error.code, error.reason, error.text) == (
        404,
        "INF-02",
        "no_such_person",
        "No person has this id.",
    )
    assert str(error) == "404 INF-02 no_such_person: No person has this id."
    assert error.request_id


def test_a_key_opens_what_its_scopes_name(choice: Choice, tmp_path: Path) -> None:
    key = keys.add(tmp_path / "keys.json", "client", [Scope.RECOGNISE])
    with Device(pool(), keys=tmp_path / "keys.json", loopback=False, choice=choice) as device:
        url = f"http://127.0.0.1:{device.client.port}"
        with (
            FaceAppliance(url) as without,
            FaceAppliance(url, key="fa_wrong") as wrong,
            FaceAppliance(url, key=key) as client,
        ):
            for each, status in ((without, 401), (wrong, 401), (client, 403)):
                with pytest.raises(NotAdmittedError) as caught:
                    each.people()
                assert caught.value.status == status
            with pytest.raises(NotAdmittedError):  # a stream that is not admitted is not tried again
                next(without.events())
            assert client.version().api_version == "1.0"


def test_what_is_no_device(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with FaceAppliance(f"http://127.0.0.1:{port}") as client, pytest.raises(UnreachableError):
        client.version()

    def answer(content: bytes) -> None:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(content)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        for status in (b"200 OK", b"404 Not Found"):
            thread = threading.Thread(target=answer, args=(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nhi",))
            thread.start()
            with (
                FaceAppliance(f"http://127.0.0.1:{server.getsockname()[1]}") as client,
                pytest.raises(UnexpectedAnswerError),
            ):
                client.version()
            thread.join()


def test_a_door_acts_on_its_own_device_alone(device: Device, client: FaceAppliance) -> None:
    key = client.public_key()
    other = token.Signer.of(b"another device, and its 32 bytes").public.text
    for wrong in (PublicKeyAnswer(key.device, "", other, ""), PublicKeyAnswer("another", "", key.public_key, "")):
        with pytest.raises(TokenError, match="another device"):
            client.door(wrong.public_key, wrong.device, answer=PATIENT, tolerance=PATIENT).decide()


def test_events_go_on_when_the_device_begins_anew(choice: Choice, tmp_path: Path) -> None:
    with Device(pool(), gallery=tmp_path, choice=choice) as device:
        port = device.client.port
        client = FaceAppliance(f"http://127.0.0.1:{port}")
        events = client.events()
        assert next(events) == Connected()
        assert until(lambda: device.broadcast.listeners)
        time = datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC)
        for event in (
            GalleryChanged(3, 5),
            Happened(DoorEventKind.FORCED, time),
            DoorState(open=True, forced=True, held=False, tamper=False, fire=False, relay=None),
            PanelText("Wait", None),
        ):
            device.broadcast.publish(event)
        found: list[Any] = []
        while len(found) < 4:
            event = next(events)
            found += [] if type(event).__name__ == "Health" else [event]
        assert found[:2] == [GalleryEvent(3, 5), DoorEvent("forced", None, time)]
        assert (found[2].open, found[2].relay) == (True, None)
        assert found[3] == OtherEvent("panel", {"kind": "text", "text": "Wait", "seconds": None})
    with Device(pool(), port=port, gallery=tmp_path, choice=choice):
        while next(events) != Connected():
            pass
    client.close()
    assert [event for event in events if isinstance(event, Connected)] == []


@contextmanager
def tls(port: int, folder: Path) -> Iterator[tuple[int, bytes]]:
    """A TLS front of a device, as stunnel is one, for one connection after the other: its port and the digest of its
    certificate.
    """
    files = certificate(folder)
    context = server_context(*files)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                plain, _ = server.accept()
                with (
                    suppress(OSError),
                    context.wrap_socket(plain, server_side=True) as outside,
                    socket.create_connection(("127.0.0.1", port)) as inside,
                ):
                    inside.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 9443\r\n")
                    back = threading.Thread(target=pump, args=(inside, outside))
                    back.start()
                    pump(outside, inside)
                    back.join()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            digest = hashlib.sha256(PEM_cert_to_DER_cert(files[0].read_text("ascii"))).digest()
            yield server.getsockname()[1], digest
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_pinned_certificate_and_no_other(choice: Choice, tmp_path: Path) -> None:
    key = keys.add(tmp_path / "keys.json", "client", [*Scope])
    with (
        Device(pool(), keys=tmp_path / "keys.json", choice=choice) as device,
        tls(device.front_port, tmp_path / "tls") as (port, digest),
    ):
        url, hexadecimal = f"https://127.0.0.1:{port}", digest.hex(":").upper()
        announced = urlsafe_b64encode(digest).decode().rstrip("=")
        for fingerprint in (announced, hexadecimal, f"sha256 Fingerprint={hexadecimal}"):
            with FaceAppliance(url, key=key, fingerprint=fingerprint) as client:
                assert client.version().api_version == "1.0"
        for trust in ({"fingerprint": "0" * 64}, {}):
            with (
                FaceAppliance(url, key=key, **trust) as client,
                pytest.raises(UnreachableError, match=r"(?i)certificate"),
            ):
                client.version()
    for wrong in ("", "short", "g" * 64, "ä"):
        with pytest.raises(ValueError, match="SHA-256"):
            FaceAppliance(url, fingerprint=wrong)
    with pytest.raises(ValueError, match="https"):
        FaceAppliance("http://127.0.0.1", fingerprint=announced)


def test_it_is_built_with_the_products_own_verification(tmp_path: Path) -> None:
    client = tmp_path / "scripts" / "client"
    shutil.copytree(CLIENT, client, symlinks=True)
    leaf = tmp_path / "appliance" / "access" / "token.py"
    leaf.parent.mkdir(parents=True)
    leaf.write_bytes(Path(token.__file__).read_bytes())
    command = [
        sys.executable,
        "-c",
        "import setuptools; setuptools.setup()",
        "build_py",
        "--build-lib",
        tmp_path / "built",
    ]
    subprocess.run(command, cwd=client, check=True, timeout=110, capture_output=True)
    built = tmp_path / "built" / "face_appliance_client"
    assert (built / "decision.py").read_bytes() == leaf.read_bytes()
    assert not (built / "decision.py").is_symlink()
    assert {path.name for path in built.iterdir()} == {path.name for path in (CLIENT / built.name).iterdir()} - {
        "__pycache__"
    }


def test_it_needs_nothing_of_the_product() -> None:
    program = (
        "import sys, face_appliance_client\n"
        "print({name.partition('.')[0] for name in sys.modules} & {'appliance', 'numpy', 'zeroconf', 'pydantic'})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
