"""Chromium before a device that is a process of its own, and what a person does there."""

import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import pytest
from cameras import noisy
from devices import Child
from playwright.sync_api import Browser, FilePayload, Page, Playwright

from appliance.face.types import Pixels

PROJECT = Path(__file__).parents[1]

QUICK = (
    '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\nrecognition = "fast"\n'
)

FPS = 6
"""Of that camera: as many as a decision and the overlay need; the device and the browser work on each frame."""

DESKTOP, PHONE, SMALL = (1440, 900), (390, 844), (360, 640)

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser")
"""The first is Chromium without windows: a page takes a seventh of the processor time (0.17 s, not 1.2)."""

QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")

Visit = Callable[..., AbstractContextManager[Page]]


def launched(playwright: Playwright) -> Browser:
    """Chromium, of the kind that starts soonest."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("pages are tested in Chromium, which is not here: sudo apt install chromium-headless-shell")
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu", *QUIET])


@contextmanager
def watching(folder: Path, camera: str, port: int = 0) -> Iterator[Child]:
    with Child(folder, f"{QUICK}[camera]\n{camera}", ("--port", str(port))) as child:
        yield child


def replayed(folder: Path, pixels: Pixels) -> str:
    """The configuration of a camera before which nothing changes but its noise."""
    for number in range(7):  # not a multiple of the distance at which a frozen picture is looked for
        picture = cv2.cvtColor(noisy(pixels)(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{number}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    height, width = pixels.shape[:2]
    return f'driver = "replay"\nsource = "{folder}"\nwidth = {width}\nheight = {height}\nfps = {FPS}\n'


def payload(content: bytes, name: str = "photo.jpg", kind: str = "image/jpeg") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


def drop(page: Page, selector: str, *files: FilePayload) -> None:
    """Drops files as a person does: over the zone, then let go."""
    given = [[each["name"], each["mimeType"], b64encode(each["buffer"]).decode()] for each in files]
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, type, content] of files) {
                const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
            }
            return transfer;
        }""",
        given,
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(selector, event, {"dataTransfer": transfer})


def tabbed(page: Page) -> tuple[list[int], list[int]]:
    """Numbers of the controls in sight, in their order, and those that the tabulator reaches, each with its focus seen."""
    wanted = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, summary, [tabindex='0']")]
            .filter((each) => each.checkVisibility() && !each.disabled && each.tabIndex >= 0)
            .filter((each) => each.type !== "radio" || each.checked)
            .map((each, index) => (each.dataset.number = index))"""
    )
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        number, outline = page.evaluate(
            """() => {
                const at = document.activeElement, ring = at.closest(".drop") ?? at;
                return [Number(at.dataset.number), getComputedStyle(ring).outlineStyle];
            }"""
        )
        assert outline != "none", "the focus is seen"
        reached.append(number)
    return wanted, reached


def accessible(page: Page) -> None:
    """axe-core has nothing to say."""
    if page.evaluate("!window.axe"):
        page.evaluate((PROJECT / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    assert page.evaluate(FAINT) == []


FAINT = """() => {
    const light = (channel) => (channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4);
    const parsed = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = parsed(colour).map((channel) => light(channel / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return (parsed(colour)[3] ?? 1) === 1 ? colour : ground(element.parentElement);
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *:not(svg, svg *)")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.disabled) continue;
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return faint;
}"""
"""Texts whose contrast is below 4.5 (WCAG 2, AA)."""
