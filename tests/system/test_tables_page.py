"""The page's tables, and the page of an invitation, in a real browser."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from bodies import jpeg, opened
from browser import DESKTOP, PHONE, Visit, accessible, payload, watching
from client import Client
from people import add, assert_all
from PIL.Image import Resampling
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A device without a camera that knows a person without pictures."""
    folder = tmp_path_factory.mktemp("tables")
    with watching(folder, f'driver = "none"\n[gallery]\nkey_file = "{folder}/site.key"\n') as child:
        found = child.ready()
        add(found, "ada", "Ada Lovelace")
        yield found


def test_a_table_is_checked_imported_and_exported(visit: Visit, client: Client, hopper: bytes) -> None:
    table = "id;name;photos\ngrace;Grace Hopper;hopper 1.JPG\nnone;None;none.jpg\n\nada;Ada Lovelace;\n"
    with visit(client, DESKTOP, path="/door#people") as page:
        page.locator("#tables summary").click()
        page.locator("#table-files").set_input_files(
            [payload(table.encode(), "people.csv", "text/csv"), payload(hopper, "Hopper 1.jpg")]
        )
        expect(page.locator("#table-state")).to_have_text("3 rows · 1 photo")
        page.locator("#table-check").click()
        expect(page.locator("#table-state")).to_have_text("Checked: 1 added · 1 refused · 1 unchanged", timeout=30_000)
        expect(page.locator("#table-results li")).to_have_text(
            [
                "Row 5, ada: unchanged",
                "Row 3, none · none.jpg: There is no photo of this name.",
                "Row 2, grace: added",
            ]
        )
        assert len(assert_all(client.get("/people"))) == 1

        page.locator("#table-import").click()
        expect(page.locator("#table-state")).to_have_text("Imported: 1 added · 1 refused · 1 unchanged", timeout=30_000)
        expect(page.locator("#known summary")).to_have_count(2)
        accessible(page)
        with page.expect_download() as saved:
            page.locator("#table-save").click()
        rows = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text("utf-8-sig"))))
        assert [(row["row"], row["id"], row["reason"]) for row in rows] == [
            ("2", "grace", ""),
            ("3", "none", "no_such_photo"),
            ("5", "ada", ""),
        ]
        with page.expect_download() as exported:
            page.locator("#people-table").click()
        assert "grace,Grace Hopper" in Path(exported.value.path()).read_text("utf-8-sig")


PREVIEWED = """() => {
    const canvas = document.querySelector("#preview"), send = document.querySelector("#send").getBoundingClientRect();
    const { width, height } = canvas.getBoundingClientRect();
    return [
        document.documentElement.scrollWidth <= innerWidth,
        Math.abs(width / height - canvas.width / canvas.height) < 0.02,
        height <= 0.51 * innerHeight && width >= 0.5 * innerWidth,
        send.left >= 0 && send.right <= innerWidth,
    ];
}"""
"""Whether the photo is seen whole and undistorted, at most half as high as the screen, and the button is within its width."""


def enlarged(picture: bytes, size: tuple[int, int]) -> bytes:
    """The picture with the pixels of a phone's camera."""
    return jpeg(opened(picture).resize(size, Resampling.NEAREST))


def test_a_person_who_is_invited_enrols_on_a_phone(visit: Visit, client: Client, portrait: bytes) -> None:
    with visit(client, DESKTOP, path="/door#people") as page:
        page.locator("#known summary", has_text="Ada").click()
        page.locator("#known details[open]").get_by_role("button", name="Invite").click()
        expect(page.get_by_role("dialog")).to_contain_text("A phone cannot reach this address")
        shown = page.get_by_role("dialog").locator("pre")
        assert shown.evaluate("(each) => each.scrollWidth <= each.clientWidth"), "the link is seen whole"
        page.get_by_role("dialog").get_by_role("button", name="Copy").click()
        link = shown.inner_text()
    path = "/enrol/" + link.rpartition("/")[2]
    with visit(client, PHONE, path=path, refusals=True) as page:
        expect(page.locator("#words")).to_contain_text("Ada Lovelace, you can enrol here until")
        accessible(page)
        expect(page.locator("#photo")).to_be_disabled()
        page.get_by_label("I agree").check()
        page.locator("#photo").set_input_files(payload(b"no picture"))
        expect(page.locator("#outcome")).to_contain_text("not a picture")
        for size in ((360, 740), (412, 915), PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            for shape in ((3024, 3979), (3979, 3024)):
                page.locator("#photo").set_input_files(payload(enlarged(portrait, shape)))
                expect(page.locator("#preview")).to_have_js_property("width", round(shape[0] * 1600 / 3979))
                expect(page.locator("#send")).to_be_in_viewport(ratio=1)
                assert page.evaluate(PREVIEWED) == [True] * 4, (size, shape)
        page.locator("#photo").set_input_files(payload(portrait))
        page.get_by_role("button", name="Send photo").click()
        expect(page.locator("#words")).to_contain_text("Thank you", timeout=30_000)
        page.reload()
        expect(page.locator("#words")).to_contain_text("This link is no longer valid")
    (ada,) = (person for person in assert_all(client.get("/people")) if person["id"] == "ada")
    assert len(ada["templates"]) == 1
