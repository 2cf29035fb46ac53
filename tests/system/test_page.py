"""The live page in a real browser, on a device that is a process of its own."""

import json
import re
import shutil
import subprocess
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from bodies import black_png, form, frames, moving, opened
from browser import DESKTOP, FAINT, PHONE, SMALL, Visit, drop, payload, replayed, tabbed, watching
from client import Client
from devices import Child, until
from playwright.sync_api import Locator, Page, expect

from appliance import keys
from appliance.keys import Scope

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

AWKWARD = """it's, "me"; and.jpg"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, seated: str) -> Iterator[Client]:
    """A device that sees somebody."""
    with watching(tmp_path_factory.mktemp("device"), seated) as child:
        client = child.ready()
        assert until(lambda: client.get("/healthz").status == 200)
        yield client


def on_screen(page: Page, selector: str, picture: str) -> list[float]:
    """Where a drawn rectangle is (left, top, width, height), in CSS pixels of the picture that it belongs to."""
    return page.evaluate(
        """([selector, picture]) => {
            const mark = document.querySelector(selector), box = mark.getBBox(), to = mark.getScreenCTM();
            const from = document.querySelector(picture).getBoundingClientRect();
            return [to.e + box.x * to.a - from.x, to.f + box.y * to.d - from.y, box.width * to.a, box.height * to.d];
        }""",
        [selector, picture],
    )


def runs(page: Page) -> bool:
    """Whether the live picture changes."""
    picture = page.locator("#picture")
    before = picture.screenshot()
    return until(lambda: picture.screenshot() != before)


def box_of(face: dict[str, Any], scale: float = 1.0) -> list[float]:
    return [face["box"][key] * scale for key in ("x", "y", "width", "height")]


def outcome(page: Page, endpoint: str) -> Locator:
    return page.locator(f"[data-endpoint={endpoint}] .outcome")


def test_the_overlay_sits_on_the_face(visit: Visit, watched: Client) -> None:
    with visit(watched) as page:
        page.wait_for_selector("#overlay [data-face] .meter.good, #overlay [data-face] .meter.bad")
        for width, height in (DESKTOP, (DESKTOP[0] - 30, DESKTOP[1]), PHONE, (PHONE[0] - 30, PHONE[1])):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(300)
            drawn = on_screen(page, "#overlay .box", "#picture")
            scale = page.locator("#picture").bounding_box()["width"] / 1280

            in_frame = watched.post("/faces", watched.get("/camera/frame.jpg").content).document["faces"][0]
            now = watched.get("/faces").document["faces"][0]
            page.evaluate("overlay.style.visibility = 'hidden'")
            shown = watched.post("/faces?minsize=16", page.locator("#stage").screenshot()).document["faces"][0]
            page.evaluate("overlay.style.visibility = ''")

            side = now["box"]["width"] * scale
            assert drawn == pytest.approx(box_of(now, scale), abs=0.03 * side)
            assert drawn == pytest.approx(box_of(in_frame, scale), abs=0.03 * side)
            assert drawn == pytest.approx(box_of(shown), abs=0.15 * side), "what a person sees"


def test_the_facts_shown_about_a_face(visit: Visit, watched: Client) -> None:
    with visit(watched) as page:
        expect(page.locator("#present [data-face] .verdict")).to_contain_text("%")
        expect(page.locator("#present [data-face]")).to_contain_text("yaw")
        expect(page.locator("#log li").last).to_contain_text(re.compile(r"Face \d+ (appeared|is in view)"))
        assert page.locator("#overlay .points").get_attribute("d").count("M") == 106
        assert page.locator("#overlay .axis").count() == 3
        expect(page.locator("#status")).to_have_text("Everything works")
        expect(page.locator("#demonstration")).to_be_hidden()
        version = watched.get("/version").document
        expect(page.locator("#models tr")).to_have_count(len(version["models"]))
        for said in (version["runtime"]["version"], version["sdk_version"], "1280", "MULTI", "shipped"):
            expect(page.locator("#facts")).to_contain_text(said)


def test_the_api_is_described_on_a_page_that_asks_no_other_host(visit: Visit, watched: Client) -> None:
    asked: list[str] = []
    with visit(watched, path="/docs") as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        expect(page.locator("summary", has_text="POST /people/{identity}/templates/camera")).to_have_count(1)
        page.locator("summary", has_text="POST /similarity/v2").click()
        expect(page.locator("details[open]")).to_contain_text("image_a")
        expect(page.locator("details[open]")).to_contain_text("similarity: number")
    assert asked
    assert all(url.startswith(f"http://127.0.0.1:{watched.port}/") for url in asked), asked


def test_the_models_are_seen_whole_on_a_small_screen(visit: Visit, watched: Client) -> None:
    with visit(watched, (1280, 800), locale="de-DE") as page:
        expect(page.locator("#models tr").nth(1)).to_be_visible()
        assert page.locator(".device .table").evaluate("(each) => each.scrollWidth - each.clientWidth") == 0


POINTS = "async (points) => (await import('/facts.js')).operatingPoints(points)"


@pytest.mark.nightly
def test_operating_points_are_described_in_words(visit: Visit, watched: Client) -> None:
    own = {"source": "device", "ignored": None, "date": "2026-11-26T23:59:59Z", "wanted": {"fmr": 0.001}}
    shipped = {"source": "shipped", "ignored": None, "date": None, "wanted": {}}
    with visit(watched, locale="en-GB") as page:
        words = [
            page.evaluate(POINTS, {"similarity": similarity, "liveness": liveness})
            for similarity, liveness in ((shipped, shipped), (own, shipped), (own, {**shipped, "ignored": "stale"}))
        ]
    assert words == [
        "shipped",
        "similarity calibrated 26 Nov 2026 (FMR 0.1%), liveness shipped",
        "similarity calibrated 26 Nov 2026 (FMR 0.1%), liveness shipped (the calibration is stale)",
    ]


def test_points_can_be_switched_off_with_the_keyboard(visit: Visit, watched: Client) -> None:
    with visit(watched) as page:
        points = page.locator("#overlay .points")
        expect(points).to_be_visible()
        page.focus("#points")
        page.keyboard.press("Space")
        expect(points).to_be_hidden()
        expect(page.locator("#overlay .box")).to_be_visible()
        page.keyboard.press("Space")
        expect(points).to_be_visible()


def test_nothing_runs_while_no_one_looks(visit: Visit, watched: Client) -> None:
    def streams() -> list[str]:
        lines = watched.get("/metrics").content.decode().splitlines()
        return [line.split()[1] for line in lines if line.startswith(("appliance_stream_v", "appliance_event_l"))]

    def look(page: Page, hidden: str) -> None:
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )

    with visit(watched) as page:
        page.wait_for_selector("#overlay .box")
        assert until(lambda: streams() == ["1.0", "1.0"]), streams()
        look(page, "true")
        expect(page.locator("#overlay .box")).to_have_count(0)
        assert until(lambda: streams() == ["0.0", "0.0"]), streams()
        look(page, "false")
        page.wait_for_selector("#overlay .box")
        assert until(lambda: streams() == ["1.0", "1.0"]), streams()


def test_a_photo_is_dropped(visit: Visit, watched: Client, portrait: bytes) -> None:
    with visit(watched) as page:
        drop(page, "[data-endpoint=faces] .drop", payload(portrait))
        expect(outcome(page, "faces")).to_have_text("One face.")
        (face,) = watched.post("/faces", portrait).document["faces"]
        picture = "[data-endpoint=faces] .photo img"
        scale = page.locator(picture).bounding_box()["width"] / opened(portrait).width
        drawn = on_screen(page, "[data-endpoint=faces] .photo .box", picture)
        assert drawn == pytest.approx(box_of(face, scale), abs=0.5)
        shown = json.loads(page.locator("[data-endpoint=faces] .json").text_content())
        assert shown["faces"][0]["box"] == face["box"]
        assert shown["faces"][0]["landmark"]["lm_points"][-1] == "… 104 more"
        expect(page.locator("[data-endpoint=faces] .timing")).to_contain_text("landmarks")

        page.fill("[data-endpoint=faces] [name=minsize]", "500")
        page.keyboard.press("Enter")
        expect(outcome(page, "faces")).to_have_text("No faces.")


@pytest.mark.nightly
def test_aligned_faces_are_drawn_from_their_bytes(visit: Visit, watched: Client, hopper: bytes) -> None:
    with visit(watched) as page:
        page.set_input_files("#alignedfaces-photo", payload(hopper))
        expect(outcome(page, "alignedfaces")).to_have_text("One face.")
        drawn = page.evaluate(
            """() => {
                const canvas = document.querySelector("[data-endpoint=alignedfaces] canvas");
                return [...canvas.getContext("2d").getImageData(0, 0, 112, 112).data];
            }"""
        )
        (face,) = watched.post("/alignedfaces", hopper).document["aligned_faces"]
        pixels = np.array(drawn, np.uint8).reshape(112, 112, 4)
        assert pixels[..., :3].tobytes() == b64decode(face["image_data"])
        assert (pixels[..., 3] == 255).all()


def test_two_photos_are_compared(visit: Visit, watched: Client, portrait: bytes, hopper: bytes) -> None:
    with visit(watched) as page:
        page.set_input_files("#similarity-a", payload(portrait))
        page.set_input_files("#similarity-b", payload(hopper))
        expect(outcome(page, "similarity")).to_contain_text("Different people")
        page.set_input_files("#similarity-b", payload(portrait))
        expect(outcome(page, "similarity")).to_contain_text("The same person")
        crop = b64decode(watched.post("/alignedfaces", portrait).document["aligned_faces"][0]["image_data"])
        headers, body = form({"image_a": crop, "image_b": crop})
        same = watched.post("/similarity/v2", body, headers).document["similarity"]
        assert json.loads(page.locator("[data-endpoint=similarity] .json").text_content())["similarity"] == same


def test_four_pictures_are_zipped_and_judged(visit: Visit, watched: Client, portrait: bytes) -> None:
    pictures = moving(opened(portrait))
    with visit(watched) as page:
        files = [payload(content, f"frame {number}.jpg") for number, content in enumerate(pictures, 9)]
        page.set_input_files("#liveness-frames", files[::-1])
        expect(outcome(page, "liveness")).to_contain_text("ive: ")
        headers, body = form({"images": frames(pictures)})
        confidence = watched.post("/liveness/multiframe", body, headers).document["confidence"]
        shown = page.locator("[data-endpoint=liveness] .json")
        assert json.loads(shown.text_content())["confidence"] == pytest.approx(confidence)

        with page.expect_download() as download:
            page.get_by_role("button", name="Save frames.zip").click()
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == {
                f"{number}.jpg": content for number, content in enumerate(pictures, 1)
            }

        page.set_input_files("#liveness-frames", payload(frames(pictures), "four.zip", "application/zip"))
        expect(page.locator("[data-endpoint=liveness] .curl pre")).to_contain_text("@four.zip")
        assert json.loads(shown.text_content())["confidence"] == pytest.approx(confidence)


def test_the_camera_can_stand_in_for_a_photo(visit: Visit, watched: Client) -> None:
    with visit(watched) as page:
        for endpoint, words in (("faces", "One face."), ("alignedfaces", "One face."), ("liveness", "ive: ")):
            page.click(f"[data-endpoint={endpoint}] .from-camera")
            expect(outcome(page, endpoint)).to_contain_text(words)


def test_errors_are_described_in_words_with_their_code(
    visit: Visit, watched: Client, portrait: bytes, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(9 * 2**20))
    with visit(watched, refusals=True) as page:
        for selector, endpoint, file, said in (
            ("#faces-photo", "faces", payload(b"no picture"), ("INF-04", "complete JPEG or PNG")),
            ("#alignedfaces-photo", "alignedfaces", large, ("INF-01", "smaller file")),
            ("#liveness-frames", "liveness", payload(portrait), ("INF-22", "choose four pictures")),
        ):
            page.set_input_files(selector, file)
            for words in said:
                expect(outcome(page, endpoint)).to_contain_text(words)
        page.set_input_files("#similarity-a", payload(portrait))
        page.set_input_files("#similarity-b", payload(black_png(64, 64)))
        expect(outcome(page, "similarity")).to_have_text("Photo B: no face found.")


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: sudo apt install curl")
def test_the_curl_lines_do_what_the_page_did(visit: Visit, watched: Client, portrait: bytes, tmp_path: Path) -> None:
    archive = frames([portrait] * 4)
    (tmp_path / AWKWARD).write_bytes(portrait)
    (tmp_path / f"{AWKWARD}.zip").write_bytes(archive)
    with visit(watched) as page:
        page.set_input_files("#faces-photo", payload(portrait, AWKWARD))
        page.set_input_files("#alignedfaces-photo", payload(portrait, AWKWARD))
        page.set_input_files("#similarity-a", payload(portrait, AWKWARD))
        page.set_input_files("#similarity-b", payload(portrait, AWKWARD))
        page.set_input_files("#liveness-frames", payload(archive, f"{AWKWARD}.zip", "application/zip"))
        page.fill("[data-endpoint=faces] [name=detectcount]", "3")
        page.keyboard.press("Enter")
        expect(page.locator("[data-endpoint=faces] .curl pre")).to_contain_text("detectcount=3")
        for endpoint, key in (("faces", "faces"), ("alignedfaces", "count"), ("similarity", "similarity"),
                              ("liveness", "confidence")):  # fmt: skip
            line = page.locator(f"[data-endpoint={endpoint}] .curl pre").text_content()
            done = subprocess.run(
                ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True
            )
            shown = json.loads(page.locator(f"[data-endpoint={endpoint}] .json").text_content())
            if key == "faces":
                assert json.loads(done.stdout)[key][0]["box"] == shown[key][0]["box"]
            else:
                assert json.loads(done.stdout)[key] == pytest.approx(shown[key])


def test_the_curl_line_is_copied(visit: Visit, watched: Client, portrait: bytes) -> None:
    def pasted(page: Page) -> str:
        page.fill("#paste", "")
        page.focus("#paste")
        page.keyboard.press("Control+V")
        return page.input_value("#paste")

    with visit(watched, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.set_input_files("#faces-photo", payload(portrait))
        copy, line = (page.locator(f"[data-endpoint=faces] {each}") for each in (".copy", ".curl pre"))
        page.evaluate("document.body.prepend(Object.assign(document.createElement('textarea'), { id: 'paste' }))")
        for modern in (True, False):
            page.evaluate("navigator.clipboard.writeText('something else')")
            if not modern:  # as over plain HTTP from elsewhere
                page.evaluate("delete Navigator.prototype.clipboard")
            copy.click()
            expect(copy).to_have_text("Copied")
            assert until(lambda: pasted(page) == line.text_content()), modern


def test_it_fits_on_a_phone(visit: Visit, watched: Client, portrait: bytes) -> None:
    with visit(watched, PHONE, is_mobile=True, has_touch=True) as page:
        page.wait_for_selector("#overlay .box")
        page.set_input_files("#faces-photo", payload(portrait, "a" * 90 + ".jpg"))
        page.set_input_files("#alignedfaces-photo", payload(portrait))
        page.set_input_files("#similarity-a", payload(portrait))
        page.set_input_files("#similarity-b", payload(portrait))
        page.set_input_files("#liveness-frames", [payload(portrait, f"{number}.jpg") for number in range(4)])
        expect(page.locator(".answer")).to_have_count(4)
        for width, height in (PHONE, SMALL):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]


def test_the_keyboard_reaches_every_control(visit: Visit, watched: Client, portrait: bytes) -> None:
    with visit(watched) as page:
        page.set_input_files("#faces-photo", payload(portrait))
        expect(page.locator(".answer")).to_have_count(1)
        wanted, reached = tabbed(page)
        assert reached == wanted
        nameless = page.locator("main").aria_snapshot()
        assert 'button ""' not in nameless
        assert page.evaluate("[...document.querySelectorAll('input')].every((each) => each.labels.length)")


def test_texts_can_be_read(visit: Visit, watched: Client, portrait: bytes) -> None:
    with visit(watched) as page:
        page.set_input_files("#faces-photo", payload(portrait))
        expect(page.locator(".answer")).to_have_count(1)
        page.evaluate("for (const each of document.querySelectorAll('.notice')) each.hidden = false")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(FAINT) == [], scheme


def test_a_device_without_a_camera_says_so(visit: Visit, tmp_path: Path, portrait: bytes) -> None:
    with watching(tmp_path, 'driver = "none"\n') as child, visit(child.ready()) as page:
        expect(page.locator("#blind")).to_contain_text("This device has no camera.")
        expect(page.locator("#health")).to_contain_text("set camera.driver")
        expect(page.locator("[data-endpoint=faces] .from-camera")).to_be_disabled()
        page.set_input_files("#faces-photo", payload(portrait))
        expect(outcome(page, "faces")).to_have_text("One face.")


@pytest.mark.nightly
def test_a_demonstration_says_so(visit: Visit, tmp_path: Path) -> None:
    with watching(tmp_path, 'driver = "demonstration"\n') as child, visit(child.ready()) as page:
        expect(page.locator("#demonstration")).to_contain_text("This is a stored portrait")
        page.wait_for_selector("#overlay .box")


@pytest.mark.nightly
def test_a_covered_lens_is_described_in_words(visit: Visit, tmp_path: Path) -> None:
    camera = replayed(tmp_path, np.zeros((360, 640, 3), np.uint8))
    with watching(tmp_path, camera) as child, visit(child.listening(), refusals=True) as page:
        expect(page.locator("#health")).to_contain_text("The lens is covered, or it is dark.", timeout=15_000)
        expect(page.locator("#health")).to_contain_text("switch on the light")
        expect(page.locator("#status")).to_have_text("Needs attention", timeout=30_000)
        expect(page.locator("#picture")).to_be_visible()


def test_a_missing_camera_is_reported_in_place_of_the_picture(visit: Visit, tmp_path: Path) -> None:
    camera = f'driver = "replay"\nsource = "{tmp_path / "nothing"}"\n'
    with watching(tmp_path, camera) as child, visit(child.listening(), refusals=True) as page:
        expect(page.locator("#blind")).to_contain_text("There is no camera, or it cannot be opened.", timeout=15_000)
        expect(page.locator("#blind")).to_contain_text("Check its cable")


@pytest.mark.nightly
def test_a_device_that_goes_away_and_comes_back(visit: Visit, tmp_path: Path, seated: str) -> None:
    with watching(tmp_path, seated) as child:
        client = child.ready()
        with visit(client, refusals=True) as page:
            page.wait_for_selector("#overlay .box")
            assert child.terminate() == 0
            expect(page.locator("#unreachable")).to_be_visible(timeout=15_000)
            expect(page.locator("#status")).to_have_text("No answer")
            expect(page.locator("#overlay .box")).to_have_count(0)
            with watching(tmp_path, seated, client.port) as again:
                again.ready()
                expect(page.locator("#unreachable")).to_be_hidden(timeout=15_000)
                page.wait_for_selector("#overlay .box")
                assert runs(page), "the picture runs again"


@pytest.mark.nightly
def test_a_picture_stream_that_ends_is_opened_again(visit: Visit, watched: Client) -> None:
    frame = watched.get("/camera/frame.jpg").content
    part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(frame), frame)
    kind = {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
    with visit(watched) as page:
        assert until(lambda: page.evaluate("picture.width") == 1280), "the first page has its stream"
        streams: list[str] = []
        page.on("response", lambda response: streams.append(response.url) if "stream" in response.url else None)
        page.route("**/camera/stream.mjpg", lambda route: route.fulfill(headers=kind, body=3 * part), times=1)
        page.reload()
        assert until(lambda: page.wait_for_timeout(100) or len(streams) >= 2, 10), streams
        page.wait_for_selector("#overlay .box")
        assert runs(page), "the picture runs again"


@pytest.mark.nightly
def test_more_viewers_than_streams_get_still_pictures(visit: Visit, tmp_path: Path, seated: str) -> None:
    camera = f"{seated}[live]\nviewers = 0\n"
    with watching(tmp_path, camera) as child, visit(child.ready(), refusals=True) as page:
        expect(page.locator("#stream-note")).to_contain_text("one picture per second", timeout=15_000)
        page.wait_for_selector("#overlay .box")
        assert child.ready().post("/faces", page.locator("#stage").screenshot()).document["count"] == 1


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, seated: str) -> Iterator[tuple[Child, str]]:
    """A device that wants a key from everyone, and a key."""
    folder = tmp_path_factory.mktemp("locked")
    token = keys.add(folder / "state" / keys.FILE, "browser", [Scope.RECOGNISE, Scope.LIVE])
    with watching(folder, f"{seated}[access]\nloopback = false\n") as child:
        child.ready()
        yield child, token


def test_the_key_is_asked_for_once(visit: Visit, locked: tuple[Child, str], portrait: bytes) -> None:
    child, token = locked
    with visit(child.ready(), refusals=True) as page:
        expect(page.get_by_role("dialog", name="Key required")).to_be_visible()
        expect(page.locator("#status")).to_have_text("Key required")
        expect(page.locator("#locked code")).to_have_text("appliance keys add NAME --scope recognise --scope live")
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#locked")).to_be_visible()

        page.keyboard.type("fa_" + "A" * 43)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This device does not know this key.")
        page.keyboard.type(f" {token} ")
        page.keyboard.press("Enter")

        expect(page.locator("#locked")).to_be_hidden()
        page.wait_for_selector("#overlay .box")
        expect(page.locator("#status")).to_have_text("Everything works")
        assert until(lambda: page.evaluate("picture.width") == 1280)
        assert token not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
        page.set_input_files("#faces-photo", payload(portrait))
        expect(outcome(page, "faces")).to_have_text("One face.")
        expect(page.locator("[data-endpoint=faces] .curl pre")).to_contain_text("X-API-Key: $KEY")
        kept = page.context.storage_state()

    with visit(child.ready(), storage_state=kept) as page:
        page.wait_for_selector("#overlay .box")
        expect(page.locator("#locked")).to_be_hidden()

    with visit(child.ready(), storage_state=kept, refusals=True) as page:
        page.wait_for_selector("#overlay .box")
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("#locked")).to_be_visible()
        expect(page.locator("#overlay .box")).to_have_count(0)
        assert page.context.cookies() == []
        page.reload()
        expect(page.locator("#locked")).to_be_visible()
    assert token not in child.log


@pytest.mark.nightly
def test_below_a_path_of_a_proxy_the_pages_work_and_stay_signed_in(visit: Visit, tmp_path: Path, seated: str) -> None:
    token = keys.add(tmp_path / "state" / keys.FILE, "browser", [Scope.RECOGNISE, Scope.LIVE])
    below = f'{seated}[access]\nloopback = false\n[server]\nbase_path = "/a/house"\n'
    with watching(tmp_path, below) as child, visit(child.ready(), path="/a/house", refusals=True) as page:
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        page.keyboard.type(token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#overlay .box")
        assert [cookie["path"] for cookie in page.context.cookies()] == ["/a/house"]
        page.get_by_role("link", name="Door").click()
        page.wait_for_url("**/a/house/door#door")
        expect(page.locator("#status")).to_have_text("Everything works")


@pytest.mark.nightly
def test_a_key_of_another_scope_is_refused_in_words(visit: Visit, tmp_path: Path, seated: str) -> None:
    token = keys.add(tmp_path / "state" / keys.FILE, "door", [Scope.RECOGNISE])
    with (
        watching(tmp_path, f"{seated}[access]\nloopback = false\n") as child,
        visit(child.ready(), refusals=True) as page,
    ):
        page.get_by_label("Key", exact=True).fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not have the scope “live”")
        expect(page.locator("#locked")).to_be_visible()


def test_the_question_for_the_key_can_be_read(visit: Visit, locked: tuple[Child, str]) -> None:
    with visit(locked[0].ready(), refusals=True) as page:
        page.get_by_label("Key", exact=True).fill("fa_" + "A" * 43)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_be_visible()
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            for width, height in (DESKTOP, SMALL):
                page.set_viewport_size({"width": width, "height": height})
                assert page.evaluate(FAINT) == [], (scheme, width)
                assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]


@pytest.mark.nightly
def test_a_key_that_is_revoked_is_asked_for_again(visit: Visit, tmp_path: Path, seated: str) -> None:
    file = tmp_path / "state" / keys.FILE
    token = keys.add(file, "browser", [Scope.LIVE])
    with (
        watching(tmp_path, f"{seated}[access]\nloopback = false\n") as child,
        visit(child.ready(), refusals=True) as page,
    ):
        page.get_by_label("Key", exact=True).fill(token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#overlay .box")

        keys.revoke(file, "browser")

        expect(page.locator("#locked")).to_be_visible(timeout=15_000)
        expect(page.locator("#picture")).to_be_hidden()
