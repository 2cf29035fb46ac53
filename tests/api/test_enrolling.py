"""Enrolment over HTTP: from photographs and from the camera, what is asked of people, and what is refused."""

import base64
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import doors
import numpy as np
import pytest
from bodies import group, jpeg, opened, png
from cameras import HEIGHT, WIDTH, Scripted, noisy, on_canvas
from client import Answer, Client
from devices import Device, pool, shipped_engine, until
from document import assert_refusal, assert_success
from people import add, assert_all, assert_enrolled, assert_one, assert_refused
from PIL import Image, ImageDraw, ImageFilter

from appliance.access.enrol import PHOTO_TEXTS, TEXTS, Prompt
from appliance.face.types import Pixels
from appliance.vision.loading import Choice

CAMERA = "/people/x/templates/camera"

NOBODY = png(Image.new("RGB", (640, 480), "grey"))


@pytest.fixture
def device(choice: Choice, tmp_path: Path) -> Iterator[Device]:
    with Device(pool(shipped_engine(choice), shipped_engine(choice)), gallery=tmp_path, choice=choice) as running:
        yield running


@pytest.fixture
def client(device: Device) -> Client:
    add(device.client, "eileen")
    return device.client


@pytest.fixture(scope="module")
def waiting(choice: Choice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a device where somebody waits to be enrolled, in vain."""
    folder = tmp_path_factory.mktemp("waiting")
    with Device(pool(shipped_engine(choice)), gallery=folder, choice=choice) as running:
        add(running.client, "x")
        yield running.client
        assert assert_one(running.client.get("/people/x"))["templates"] == []


def enrol(client: Client, identity: str, picture: bytes, query: str = "") -> dict[str, object]:
    return assert_enrolled(client.post(f"/people/{identity}/templates{query}", picture))


def code_of(prompt: str) -> str:
    """That there is no face is said of a picture without one alone."""
    return "INF-17" if prompt == "nobody" else "APP-01"


def varied(picture: bytes, degrees: float = 4, quality: int = 85) -> bytes:
    """Another picture of the same person."""
    return jpeg(opened(picture).rotate(degrees, fillcolor=(90, 100, 110)), quality=quality)


def test_a_turned_photograph_is_refused(client: Client, portrait: bytes) -> None:
    for degrees in (90, 180, 270):
        answer = client.post("/people/eileen/templates", jpeg(opened(portrait).rotate(degrees, expand=True)))
        assert assert_refused(answer, 400, "APP-01", "not_upright") == PHOTO_TEXTS[Prompt.NOT_UPRIGHT]
    assert assert_one(client.get("/people/eileen"))["templates"] == []


def smaller(picture: bytes, factor: float) -> bytes:
    image = opened(picture)
    return jpeg(image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS))


def changed(change: Callable[[Pixels], object]) -> Callable[[bytes], bytes]:
    """A picture whose pixels are other ones."""

    def of(picture: bytes) -> bytes:
        return jpeg(Image.fromarray(np.clip(change(np.asarray(opened(picture))), 0, 255).astype(np.uint8)))

    return of


def darkened(pixels: Pixels) -> object:
    return pixels * 0.08 + np.random.default_rng(0).normal(0, 2.5, pixels.shape)


def lit_from_one_side(pixels: Pixels) -> object:
    return pixels * np.where(np.arange(pixels.shape[1]) < pixels.shape[1] * 0.44, 0.1, 1)[:, np.newaxis]


def with_glasses(portrait: Image.Image) -> Image.Image:
    """Dark glasses over the eyes of the portrait, which are at (204, 101) and (246, 103)."""
    draw = ImageDraw.Draw(portrait)
    for x, y in ((204, 101), (246, 103)):
        draw.ellipse((x - 19, y - 11, x + 19, y + 17), (18, 18, 20))
    return portrait


SPOILT: dict[Prompt, Callable[[bytes], bytes]] = {
    Prompt.NOBODY: lambda _: NOBODY,
    Prompt.CLOSER: lambda picture: smaller(picture, 0.35),
    Prompt.FARTHER: lambda picture: jpeg(opened(picture).crop((200, 0, 512, 512))),
    Prompt.HOLD_STILL: lambda picture: jpeg(opened(picture).filter(ImageFilter.GaussianBlur(6))),
    Prompt.MORE_LIGHT: changed(darkened),
    Prompt.LESS_LIGHT: changed(lambda pixels: pixels * 2.0),
    Prompt.EVEN_LIGHT: changed(lit_from_one_side),
    Prompt.COVERED: lambda picture: jpeg(with_glasses(opened(picture))),
}


def test_a_photograph_becomes_a_template(client: Client, portrait: bytes) -> None:
    found = enrol(client, "eileen", portrait)

    template = found["template"]
    assert (template["source"], template["pictured"], template["usable"]) == ("photo", False, True)
    assert found["quality"]["overall"] == template["quality"] > 0.9
    assert found["warnings"] == []
    assert assert_one(client.get("/people/eileen"))["templates"] == [template]


def test_a_person_has_several_templates_up_to_a_number(client: Client, portrait: bytes) -> None:
    numbers = [enrol(client, "eileen", varied(portrait, degrees))["template"]["number"] for degrees in range(5)]

    assert numbers == sorted(set(numbers))
    answer = client.post("/people/eileen/templates", portrait)
    assert "most_templates" in assert_refused(answer, 409, "APP-01", "too_many_templates")

    left = assert_one(client.ask("DELETE", f"/people/eileen/templates/{numbers[1]}"))["templates"]
    assert [template["number"] for template in left] == [numbers[0], *numbers[2:]]
    again = client.ask("DELETE", f"/people/eileen/templates/{numbers[1]}")
    assert_refused(again, 404, "INF-02", "no_such_template")
    assert enrol(client, "eileen", portrait)["template"]["number"] > numbers[-1]


def test_an_unknown_person_cannot_be_enrolled(client: Client, portrait: bytes) -> None:
    for path in ("/people/nobody/templates", "/people/nobody/templates/camera"):
        assert_refused(client.post(path, portrait), 404, "INF-02", "no_such_person")


def test_a_picture_of_another_person_is_refused_unless_it_is_allowed(
    client: Client, portrait: bytes, hopper: bytes
) -> None:
    enrol(client, "eileen", portrait)

    answer = client.post("/people/eileen/templates", hopper)

    assert_refused(answer, 409, "APP-01", "not_the_same_person")
    assert len(assert_one(client.get("/people/eileen"))["templates"]) == 1
    enrol(client, "eileen", hopper, "?allow_mismatch=1")


def test_a_duplicate_is_refused_unless_it_is_allowed(client: Client, portrait: bytes) -> None:
    enrol(client, "eileen", portrait)
    add(client, "twin")

    answer = client.post("/people/twin/templates", varied(portrait))

    assert_refused(answer, 409, "APP-01", "duplicate", person="eileen")
    assert assert_one(client.get("/people/twin"))["templates"] == []
    found = enrol(client, "twin", varied(portrait), "?allow_duplicate=1")
    assert found["warnings"] == [{"kind": "duplicate", "person": "eileen"}]


def test_others_are_no_reason_for_a_warning(client: Client, portrait: bytes, hopper: bytes) -> None:
    enrol(client, "eileen", portrait)
    add(client, "grace")

    assert enrol(client, "grace", hopper)["warnings"] == []


@pytest.mark.parametrize("prompt", SPOILT)
def test_the_flaw_of_a_photograph_is_reported(waiting: Client, portrait: bytes, prompt: Prompt) -> None:
    answer = waiting.post("/people/x/templates", SPOILT[prompt](portrait))

    assert assert_refused(answer, 400, code_of(prompt), prompt.value) == PHOTO_TEXTS[prompt]


def faces_of(answer: Answer, reason: str) -> list[dict[str, float]]:
    """The boxes in a refusal, from the left."""
    faces = answer.document["faces"]
    assert_refused(answer, 400, "INF-17" if reason == "no_face_there" else "APP-01", reason, faces=faces)
    assert all(set(face) == {"x", "y", "width", "height"} for face in faces)
    return sorted(faces, key=lambda face: face["x"])


def centre(face: dict[str, float]) -> str:
    return f"{face['x'] + face['width'] / 2:.1f},{face['y'] + face['height'] / 2:.1f}"


def test_of_several_people_in_a_photograph_a_point_says_who_is_meant(
    client: Client, portrait: bytes, hopper: bytes
) -> None:
    photo = jpeg(group([opened(portrait), opened(hopper)], [512, 400]))
    left, right = faces_of(client.post("/people/eileen/templates", photo), "more_than_one")
    add(client, "grace")

    enrol(client, "eileen", photo, f"?face={centre(left)}")
    enrol(client, "grace", photo, f"?face={centre(right)}")

    for picture, identity in ((portrait, "eileen"), (hopper, "grace")):
        assert client.post("/identify", picture).document["faces"][0]["person"]["id"] == identity


def test_a_point_beside_every_face_is_refused(client: Client, portrait: bytes) -> None:
    (face,) = faces_of(client.post("/people/eileen/templates?face=1,1", portrait), "no_face_there")
    assert face["x"] > 1
    for point in ("", "12", "a,b", "1,2,3", "-1,2", "nan,nan", "1e3,2"):
        answer = client.post(f"/people/eileen/templates?face={point}", portrait)
        assert_refused(answer, 400, "INF-02", "invalid_face")
    assert assert_one(client.get("/people/eileen"))["templates"] == []


def captured(client: Client, identity: str, picture: bytes) -> str:
    """The name of a capture."""
    found = assert_success(
        client.post(f"/people/{identity}/captures", picture), "capture", "face", "quality", status=201
    )
    assert len(base64.b64decode(found["face"]["image_data"])) == 112 * 112 * 3
    return str(found["capture"])


def test_a_capture_becomes_a_template_once_it_is_confirmed(client: Client, portrait: bytes) -> None:
    name = captured(client, "eileen", portrait)
    add(client, "grace")
    assert assert_one(client.get("/people/eileen"))["templates"] == []

    answer = client.ask("POST", f"/people/grace/captures/{name}/confirm")
    assert_refused(answer, 404, "INF-02", "no_such_capture")
    found = assert_enrolled(client.ask("POST", f"/people/eileen/captures/{name}/confirm"))

    assert found["template"]["source"] == "photo"
    assert assert_one(client.get("/people/eileen"))["templates"] == [found["template"]]
    assert client.ask("POST", f"/people/eileen/captures/{name}/confirm").status == 404


def test_a_capture_that_was_refused_can_be_confirmed_again(client: Client, portrait: bytes) -> None:
    enrol(client, "eileen", portrait)
    add(client, "twin")
    confirm = f"/people/twin/captures/{captured(client, 'twin', varied(portrait))}/confirm"

    assert_refused(client.ask("POST", confirm), 409, "APP-01", "duplicate", person="eileen")
    assert_enrolled(client.ask("POST", f"{confirm}?allow_duplicate=1"))


def test_a_much_smaller_second_person_in_a_photograph_does_not_matter(
    client: Client, portrait: bytes, hopper: bytes
) -> None:
    enrol(client, "eileen", jpeg(group([opened(portrait), opened(hopper)], [1024, 160])))


def test_what_is_no_picture_is_refused_as_everywhere(waiting: Client, portrait: bytes) -> None:
    assert_refusal(waiting.post("/people/x/templates", b"hello"), 400, "INF-04")
    assert_refusal(waiting.post("/people/x/templates", portrait[:5000]), 400, "INF-04")
    assert_refusal(waiting.post("/people/x/templates", b""), 400, "INF-03")
    assert_refusal(waiting.ask("POST", "/people/x/templates"), 400, "INF-01")


def test_of_one_person_enrolled_as_many_at_once_one_is_the_first(client: Client, portrait: bytes) -> None:
    ids = [f"p{number}" for number in range(8)]
    for identity in ids:
        add(client, identity)

    with ThreadPoolExecutor(8) as threads:
        asked = threads.map(lambda identity: client.post(f"/people/{identity}/templates", portrait), ids)
        reasons = [answer.document.get("reason") for answer in asked]

    assert sorted(map(str, reasons)) == ["None"] + ["duplicate"] * 7
    assert sum(len(person["templates"]) for person in assert_all(client.get("/people"))) == 1


def test_enrolments_at_once_are_all_kept(client: Client, portrait: bytes, hopper: bytes) -> None:
    add(client, "grace")
    pictures = [("eileen", varied(portrait, n)) for n in range(5)] + [("grace", varied(hopper, n)) for n in range(5)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: enrol(client, *each), pictures))

    people = assert_all(client.get("/people"))
    assert [len(person["templates"]) for person in people] == [5, 5]
    assert len({template["number"] for person in people for template in person["templates"]}) == 10


class Filmed:
    """A device before a scripted camera, in a room where somebody waits to be enrolled."""

    def __init__(
        self, choice: Choice, folder: Path, *, alive: bool = False, size: tuple[int, int] = (WIDTH, HEIGHT)
    ) -> None:
        self.camera = Scripted(noisy(np.full((HEIGHT, WIDTH, 3), 120, np.uint8)), 1 / 30)
        self.device = Device(
            pool(shipped_engine(choice)),
            source=self.camera,
            size=size,
            gallery=folder,
            choice=choice,
            alive=alive,
        )

    def shows(self, pixels: Pixels) -> None:
        """From the next frames on."""
        self.camera.picture = noisy(pixels)
        seen = self.camera.count
        assert until(lambda: self.camera.count > seen + 2)
        assert until(lambda: self.device.client.get("/healthz").status == 200)


@pytest.fixture
def filmed(choice: Choice, tmp_path: Path) -> Iterator[Filmed]:
    made = Filmed(choice, tmp_path)
    with made.device:
        add(made.device.client, "x")
        yield made


def test_who_stands_before_the_camera_is_enrolled(filmed: Filmed, portrait: bytes) -> None:
    filmed.shows(on_canvas(portrait))

    found = assert_enrolled(filmed.device.client.ask("POST", "/people/x/templates/camera", b""))

    assert found["template"]["source"] == "camera"
    front = filmed.device.client.ask("POST", "/people/x/templates/camera?pose=front")
    assert assert_enrolled(front)["template"]["number"] > found["template"]["number"]


@pytest.mark.parametrize("pose", ["left", "right", "up", "down"])
def test_who_looks_ahead_is_asked_to_turn(filmed: Filmed, portrait: bytes, pose: str) -> None:
    filmed.shows(on_canvas(portrait))

    answer = filmed.device.client.ask("POST", f"/people/x/templates/camera?pose={pose}")

    prompt = {"left": "turn_left", "right": "turn_right", "up": "look_up", "down": "look_down"}[pose]
    assert assert_refused(answer, 400, code_of(prompt), prompt) == TEXTS[Prompt(prompt)]


def test_the_camera_asks_for_one_person_close_enough(filmed: Filmed, portrait: bytes, hopper: bytes) -> None:
    ask = "/people/x/templates/camera"
    both = np.where(np.arange(WIDTH)[:, np.newaxis] < WIDTH / 2, on_canvas(portrait, left=0), on_canvas(hopper, left=1))
    far = cv2.copyMakeBorder(on_canvas(portrait, WIDTH // 2, HEIGHT // 2), 90, 90, 160, 160, cv2.BORDER_REPLICATE)
    cut = np.roll(on_canvas(portrait, left=0), -150, axis=1)
    cut[:, -150:] = 120
    for pixels, prompt in (
        (np.full((HEIGHT, WIDTH, 3), 120, np.uint8), "nobody"),
        (both.astype(np.uint8), "more_than_one"),
        (far, "closer"),
        (cut, "farther"),
        (cv2.GaussianBlur(on_canvas(portrait), (0, 0), 4), "hold_still"),
    ):
        filmed.shows(pixels)
        answer = filmed.device.client.ask("POST", ask)
        assert assert_refused(answer, 400, code_of(prompt), prompt) == TEXTS[Prompt(prompt)]


@pytest.mark.parametrize("pose", ["", "LEFT", "back", "front,left"])
def test_an_impossible_pose_is_refused(filmed: Filmed, pose: str) -> None:
    answer = filmed.device.client.ask("POST", f"/people/x/templates/camera?pose={pose}")

    assert "front" in assert_refused(answer, 400, "INF-02", "invalid_pose")


def test_the_person_at_the_camera_is_captured_and_confirmed(filmed: Filmed, portrait: bytes) -> None:
    filmed.shows(on_canvas(portrait))
    client = filmed.device.client

    found = assert_success(client.ask("POST", "/people/x/captures/camera"), "capture", "face", "quality", status=201)
    template = assert_enrolled(client.ask("POST", f"/people/x/captures/{found['capture']}/confirm"))["template"]

    assert template["source"] == "camera"


def test_stored_pictures_enrol_nobody(filmed: Filmed, portrait: bytes) -> None:
    filmed.camera.stored = True
    filmed.shows(on_canvas(portrait))
    assert filmed.device.client.get("/healthz").document["camera"]["stored"] is True
    for path in ("templates", "captures"):
        answer = filmed.device.client.ask("POST", f"/people/x/{path}/camera")
        assert_refused(answer, 409, "APP-01", "stored_pictures")


def test_a_photograph_before_the_camera_is_not_alive(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    """The same still again and again, as a screen shows it; what makes somebody live is in the next test."""
    made = Filmed(choice, tmp_path, alive=True)
    still = on_canvas(portrait)
    made.camera.picture = lambda _: still.copy()
    with made.device as device:
        add(device.client, "x")
        assert until(lambda: made.camera.count > 40)

        answer = device.client.ask("POST", "/people/x/templates/camera")

        assert assert_refused(answer, 400, "APP-01", "not_live") == TEXTS[Prompt.NOT_LIVE]
        assert assert_one(device.client.get("/people/x"))["templates"] == []


def test_a_head_that_moves_is_alive(choice: Choice, tmp_path: Path, hopper: bytes) -> None:
    photo = np.asarray(opened(hopper))
    made = Filmed(choice, tmp_path, alive=True, size=(doors.WIDTH, doors.HEIGHT))
    made.camera.picture, made.camera.period = lambda number: doors.head(photo, number), 1 / 15
    with made.device as device:
        add(device.client, "x")

        assert until(lambda: device.client.ask("POST", CAMERA).status == 201)

        (template,) = assert_one(device.client.get("/people/x"))["templates"]
        assert template["source"] == "camera"


def test_a_moving_person_is_asked_to_hold_still(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    made = Filmed(choice, tmp_path, alive=True)
    places = [on_canvas(portrait, left=left) for left in (0.2, 0.8)]
    made.camera.picture, made.camera.period = lambda number: places[number // 10 % 2].copy(), 1 / 30
    with made.device as device:
        add(device.client, "x")
        assert until(lambda: made.camera.count > 40)

        answers = [device.client.ask("POST", CAMERA) for _ in range(3)]

        assert {answer.document["reason"] for answer in answers} == {"hold_still"}


def test_a_device_without_a_camera_cannot_enrol_with_it(client: Client) -> None:
    assert_refusal(client.ask("POST", "/people/eileen/templates/camera"), 503, "INF-08")


def test_nothing_of_anyone_is_in_the_log_or_in_clear_on_the_disk(
    choice: Choice, tmp_path: Path, portrait: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        client = device.client
        (face,) = assert_success(client.post("/facefeatures", portrait), "count", "face_features")["face_features"]
        add(client, "staff-4711", "Eileen Collins")
        enrol(client, "staff-4711", portrait)
        client.post("/people/staff-4711/templates", NOBODY)
        assert client.post("/identify", portrait).document["faces"][0]["person"]["id"] == "staff-4711"
        written = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("gallery.db*")))
        client.ask("DELETE", "/people/staff-4711")
    template = base64.b64decode(face["feature_data"])
    assert written.startswith(b"SQLite format 3")
    for secret in (b"4711", b"Eileen", template[:16], template[1024:1040], portrait[1000:1016]):
        assert secret not in written
        assert secret not in caplog.text.encode()
    assert face["feature_data"][:24] not in caplog.text
    assert "template 1 enrolled (photo) by key -" in caplog.text


def test_a_damaged_gallery_is_reported_and_still_recognises_people(
    choice: Choice, tmp_path: Path, portrait: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        add(device.client, "x")
        enrol(device.client, "x", portrait)
        add(device.client, "y")
    with sqlite3.connect(tmp_path / "gallery.db") as database:
        database.execute("UPDATE people SET sealed = zeroblob(100) WHERE number = 2")
    database.close()

    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        health = device.client.get("/healthz")
        assert health.status == 503
        assert [(each["part"], each["state"]) for each in health.document["reasons"]] == [
            ("gallery", "gallery_damaged")
        ]
        assert [person["id"] for person in assert_all(device.client.get("/people"))] == ["x"]
        assert device.client.post("/identify", portrait).document["faces"][0]["person"]["id"] == "x"
        for answer in (
            device.client.post("/people/x/templates", portrait),
            device.client.ask("DELETE", "/people/x"),
        ):
            assert_refused(answer, 503, "INF-08", "gallery_damaged")
            assert answer.headers["Retry-After"]


@pytest.mark.logs_errors("the gallery cannot be opened")
def test_a_gallery_without_its_key_is_locked_until_it_is_back(choice: Choice, tmp_path: Path, portrait: bytes) -> None:
    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice) as device:
        add(device.client, "x")
    key = tmp_path / "site.key"
    away = key.rename(tmp_path / "away.key")

    with Device(pool(shipped_engine(choice)), gallery=tmp_path, choice=choice, hurry=10.0) as device:
        client = device.client
        reasons = client.get("/healthz").document["reasons"]
        assert [reason["state"] for reason in reasons] == ["gallery_locked"]
        assert str(tmp_path) not in str(reasons)
        for answer in (
            client.get("/people"),
            client.get("/people/x"),
            client.post("/people/x/templates", portrait),
            client.post("/identify", portrait),
        ):
            assert_refused(answer, 503, "INF-08", "gallery_locked")
        assert client.post("/faces", portrait).status == 200
        assert not key.exists()

        away.rename(key)
        assert until(lambda: client.get("/healthz").status == 200)
        assert [person["id"] for person in assert_all(client.get("/people"))] == ["x"]
