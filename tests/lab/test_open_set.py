"""Who it is among many: galleries drawn from named people, and the figures of searches in them."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import appliance_models
import labelled
import numpy as np
import pytest
from lab.device import OwnDevice, UnexpectedAnswerError
from lab.evaluate import identification
from lab.evaluate.client import Client
from lab.evaluate.datasets import LayoutError, read_people
from lab.evaluate.identification import (
    DRAWS,
    Draw,
    Picture,
    Search,
    Setting,
    draws,
    enrollable_of,
    figures,
    mistakes,
)
from lab.report import Finding

from appliance.access.identify import Impostors
from appliance.gallery.search import Outcome, Point, Tail
from appliance.sections import GallerySection

SETTING = Setting(Impostors(Tail(0.34, 1e-3, 0.04), Point(0.34, 1e-3)), fpir=0.01, margin=0.05, templates=1)


def picture(name: str, number: int, vector: np.ndarray | None) -> Picture:
    box = None if vector is None else np.array([0.0, 0, 10, 10])
    return Picture(name, Path(f"{name}_{number:04d}.jpg"), box, vector)


def made_up(pictures: Mapping[str, int], seed: int = 0) -> dict[str, list[Picture]]:
    """People each of whose pictures have a cosine of some 0.8 to each other and 0 to everybody else's."""
    random = np.random.default_rng(seed)

    def near(face: np.ndarray) -> np.ndarray:
        vector = face + 0.5 * random.standard_normal(512) / np.sqrt(512)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    people = {}
    for name, count in pictures.items():
        face = random.standard_normal(512) / np.sqrt(512)
        people[name] = [picture(name, number, near(face)) for number in range(1, count + 1)]
    return people


def told(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.measure.partition(" (")[0].rpartition(": ")[2]: finding for finding in findings}


@pytest.mark.parametrize("layout", ["side by side", "a folder each", "below images"])
def test_people_are_known_by_the_names_of_their_pictures(layout: str, tmp_path: Path) -> None:
    root = tmp_path / "images" if layout == "below images" else tmp_path
    for name, numbers in {"Ada_Lovelace": (1, 12), "Bob": (1,)}.items():
        for number in numbers:
            path = root / (name if layout == "a folder each" else "") / f"{name}_{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (root / "README.txt").touch()
    found = {name: [path.name for path in paths] for name, paths in read_people(tmp_path).items()}
    assert found == {"Ada_Lovelace": ["Ada_Lovelace_0001.jpg", "Ada_Lovelace_0012.jpg"], "Bob": ["Bob_0001.jpg"]}


def test_a_folder_without_people_is_reported(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="named after people"):
        read_people(tmp_path)
    with pytest.raises(LayoutError, match="nowhere"):
        read_people(tmp_path / "nowhere")


def test_everyone_is_either_enrolled_or_a_stranger_and_no_picture_is_both() -> None:
    people = made_up({f"several{number}": 3 for number in range(6)} | {f"one{number}": 1 for number in range(8)})
    others = made_up({"other": 2}, seed=1)["other"]
    drawn = list(draws(people, others, 10, SETTING))
    assert len(drawn) == DRAWS
    for draw in drawn:
        templates = {each.path for pictures in draw.enrolled.values() for each in pictures}
        own = {each.picture.path for each in draw.own}
        strangers = {each.picture.path for each in draw.strangers}
        assert sum(name.startswith("several") for name in draw.enrolled) == 6  # those who can be found come first
        assert (len(draw.enrolled), len(templates), len(own), len(strangers)) == (10, 10, 12, 6)
        assert len(templates | own | strangers) == 28
    assert len({tuple(draw.enrolled) for draw in drawn}) > 1
    assert [tuple(draw.enrolled) for draw in draws(people, others, 10, SETTING)] == [tuple(d.enrolled) for d in drawn]


def test_people_are_found_and_strangers_are_not() -> None:
    people = made_up({f"p{number}": 3 for number in range(40)})
    findings = told(figures(1, list(draws(people, [], 20, SETTING)), SETTING))
    values = {name: round(finding.value, 4) for name, finding in findings.items()}
    assert values == {
        "from cosine": pytest.approx(0.34 + 0.04 * np.log(1e-3 / (0.01 / 20)), abs=1e-4),
        "FPIR": 0,
        "FNIR": 0,
        "… unknown": 0,
        "… ambiguous": 0,
        "… taken for another": 0,
        "rank 1": 100,
    }
    assert findings["FPIR"].interval == (0, pytest.approx(300 / 60))
    assert all(findings[name].passed for name in ("FPIR", "FNIR", "rank 1"))


def test_a_picture_without_a_face_is_neither_found_nor_enrolled() -> None:
    people = made_up({"seen": 1, "other": 1})
    people["seen"].append(picture("seen", 2, None))
    people["never"] = [picture("never", 1, None)]
    assert [len(names) for names in enrollable_of(people, 1)] == [1, 1]
    for draw in draws(people, [], 1, SETTING):
        assert [*draw.enrolled] == ["seen"]
        assert draw.enrolled["seen"][0].vector is not None
        assert [(each.outcome, each.first) for each in draw.own] == [(Outcome.UNKNOWN, False)]
        assert {each.picture.name for each in draw.strangers} == {"other"}


def test_each_kind_of_mistake_is_counted_and_shown_once() -> None:
    a, b, stranger = picture("a", 2, None), picture("b", 2, None), picture("x", 1, None)
    enrolled = {"a": (picture("a", 1, None),), "b": (picture("b", 1, None),)}
    identified, unknown, ambiguous = Outcome.IDENTIFIED, Outcome.UNKNOWN, Outcome.AMBIGUOUS
    first = Draw(
        0.4,
        enrolled,
        (Search(a, identified, "b", 0.6, False), Search(b, unknown, "b", 0.3, True)),
        (Search(stranger, identified, "a", 0.5, False), Search(stranger, unknown, "b", 0.2, False)),
    )
    second = Draw(0.4, enrolled, (Search(a, identified, "a", 0.7, True), Search(b, ambiguous, "a", 0.5, False)), ())
    findings = told(figures(1, [first, second], SETTING))
    shares = {name: finding.value for name, finding in findings.items()}
    assert shares == {
        "from cosine": 0.4,
        "FPIR": 50,
        "FNIR": 75,
        "… unknown": 25,
        "… ambiguous": 25,
        "… taken for another": 25,
        "rank 1": 50,
    }
    kinds = mistakes([first, second, first])
    shown = {
        kind.partition(" ")[0]: [(each.text, [path.name for path, _ in each.pictures]) for each in shown]
        for kind, shown in kinds.items()
        if kind != "People identified as another, most alike first"
    }
    assert shown == {
        "Strangers": [("cosine 0.500", ["x_0001.jpg", "a_0001.jpg"])],
        "People": [("unknown", ["b_0002.jpg", "b_0001.jpg"]), ("ambiguous", ["b_0002.jpg", "b_0001.jpg"])],
    }
    (mistaken,) = kinds["People identified as another, most alike first"]
    assert [path.name for path, _ in mistaken.pictures] == ["a_0002.jpg", "b_0001.jpg"]


def test_a_share_of_no_searches_is_noted() -> None:
    draw = next(draws(made_up({"a": 1, "b": 1}), [], 2, SETTING))
    findings = told(figures(1, [draw], SETTING))
    assert (findings["FPIR"].note, findings["FNIR"].note) == ("no searches", "no searches")


@pytest.fixture(scope="module")
def client(own: OwnDevice) -> Iterator[Client]:
    with Client(own.url, workers=2) as asked:
        yield asked


def test_two_people_are_distinguished(client: Client, tmp_path: Path, portrait: bytes, hopper: bytes) -> None:
    for name, content in {"Jane_Roe": portrait, "Grace_Hopper": hopper}.items():
        for number in (1, 2):
            (tmp_path / f"{name}_{number:04d}.jpg").write_bytes(labelled.varied(content, number))
    outcome = identification.measure(client, tmp_path, GallerySection(), appliance_models.FOLDER)
    assert outcome.counts == {"people": 2, "other strangers": 0, "pictures": 4}
    findings = told(outcome.findings)
    assert outcome.findings[0].measure == "1 enrolled: from cosine"
    assert (findings["FPIR"].value, findings["FNIR"].value, findings["rank 1"].value) == (0, 0, 100)
    assert findings["failure to acquire"].value == 0


def test_one_person_alone_cannot_be_distinguished(client: Client, tmp_path: Path, portrait: bytes) -> None:
    (tmp_path / "Jane_Roe_0001.jpg").write_bytes(portrait)
    with pytest.raises(LayoutError, match="fewer than two"):
        identification.measure(client, tmp_path, GallerySection(), appliance_models.FOLDER)


def test_a_device_that_reports_no_operating_point_is_reported(own: OwnDevice, tmp_path: Path) -> None:
    with Client(own.url) as client:
        client.version = {"sdk_version": "0"}  # of a device that is too old
        with pytest.raises(UnexpectedAnswerError, match="operating point"):
            identification.measure(client, tmp_path, GallerySection(), appliance_models.FOLDER)


@pytest.mark.data
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_of_strangers_no_more_than_one_in_a_hundred_is_taken_for_one_of_five_hundred(
    client: Client, data: Path
) -> None:
    """At the shipped setting. Of the people of `verification` fewer than 500 have two pictures, so that others, who cannot be
    looked for, are enrolled, too; the rest of them, and those of `calibration`, are strangers.
    """
    outcome = identification.measure(
        client, data / "verification", GallerySection(), appliance_models.FOLDER, strangers=data / "calibration"
    )
    assert sum("enrolled" in finding.measure for finding in outcome.findings) == 3
    for finding in outcome.findings:
        assert finding.passed, finding
