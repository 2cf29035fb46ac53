"""The engine of this process gives the answers that a device gives over HTTP, to the last digit."""

from collections.abc import Iterator
from pathlib import Path

import labelled
import numpy as np
import pytest
from bodies import jpeg, opened, oriented
from devices import Child
from PIL import Image

from appliance import config
from appliance.evaluation.asked import Asked, UnexpectedAnswerError, UnscoredError
from appliance.evaluation.device import Device
from appliance.in_process import InProcess

QUICK = '[engine]\nengines = 1\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n'


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "config.toml"
    path.write_text(f"{QUICK}[server]\nmax_body_mib = 1\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def here(settings: Path) -> InProcess:
    return InProcess(config.load(settings, {}), 1)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory, settings: Path) -> Iterator[Device]:
    with Child(tmp_path_factory.mktemp("child"), settings.read_text("utf-8")) as child:
        client = child.ready()
        with Device(f"http://127.0.0.1:{client.port}") as device:
            yield device


@pytest.fixture(scope="module")
def pictures(portrait: bytes, hopper: bytes) -> list[bytes]:
    """One person, one who lies on her side by EXIF, two people, nobody."""
    group = Image.new("RGB", (1100, 620), (90, 90, 90))
    group.paste(opened(portrait), (10, 10))
    group.paste(opened(hopper), (560, 10))
    return [portrait, oriented(opened(hopper), 6), jpeg(group), jpeg(Image.new("RGB", (64, 64)))]


def test_they_are_the_same_models(here: InProcess, there: Device) -> None:
    own = dict(here.facts())
    assert set(own.pop("limits")) == {"max_megapixels", "max_body_mib"}
    assert own.items() <= there.facts().items()


@pytest.mark.parametrize("query", [{}, {"minsize": 120, "detectcount": 1}])
def test_faces(here: InProcess, there: Device, pictures: list[bytes], query: dict[str, int]) -> None:
    counts = []
    for picture in pictures:
        mine, theirs = here.faces(picture, **query), there.faces(picture, **query)
        counts.append(len(mine))
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert (a.box.tolist(), a.points.tolist(), a.pose.tolist()) == (
                b.box.tolist(),
                b.points.tolist(),
                b.pose.tolist(),
            )
    assert counts == ([1, 1, 2, 0] if not query else [0, 1, 1, 0])


def test_aligned_faces_are_equal_to_the_byte(here: InProcess, there: Device, pictures: list[bytes]) -> None:
    for picture in pictures:
        mine = [(face.box.tolist(), face.pixels) for face in here.aligned_faces(picture)]
        assert mine == [(face.box.tolist(), face.pixels) for face in there.aligned_faces(picture)]


def test_features_are_equal_to_the_bit(here: InProcess, there: Device, pictures: list[bytes]) -> None:
    counts = []
    for picture in pictures:
        mine, theirs = here.face_features(picture), there.face_features(picture)
        counts.append(len(mine))
        assert [each.box.tolist() for each in mine] == [each.box.tolist() for each in theirs]
        assert [each.feature.tobytes() for each in mine] == [each.feature.tobytes() for each in theirs]
        assert all(np.linalg.norm(each.feature) == pytest.approx(1, abs=1e-6) for each in mine)
    assert counts == [1, 1, 2, 0]


def test_similarity(here: InProcess, there: Device, portrait: bytes, hopper: bytes) -> None:
    a, b = (here.aligned_faces(picture)[0].pixels for picture in (portrait, hopper))
    as_jpeg = jpeg(Image.fromarray(np.frombuffer(b, np.uint8).reshape(112, 112, 3)))
    for pair in ((a, a), (a, b), (a, as_jpeg)):
        assert here.similarity(*pair) == there.similarity(*pair)


def test_liveness(here: InProcess, there: Device, portrait: bytes) -> None:
    films = [labelled.filmed(portrait, number) for number in range(2)]
    films.append([jpeg(Image.new("RGB", (64, 64)))] * 4)
    answers = [here.liveness(film) for film in films]
    assert answers == [there.liveness(film) for film in films]
    assert answers[-1] is None
    assert all(isinstance(answer, float) for answer in answers[:-1])


@pytest.mark.parametrize(
    ("picture", "code"), [(b"no picture", "INF-04"), (b"\xff\xd8\xff" + bytes(2**20), "INF-01")], ids=["text", "large"]
)
def test_what_is_no_picture_is_refused_alike(here: InProcess, there: Device, picture: bytes, code: str) -> None:
    asked: Asked
    for asked in (here, there):
        with pytest.raises(UnexpectedAnswerError) as raised:
            asked.faces(picture)
        assert raised.value.code == code


def test_scores_are_had_in_this_process_alone(here: InProcess, there: Device, portrait: bytes) -> None:
    (scored,), (found,) = here.scored_faces(portrait), here.faces(portrait)
    x, y, width, height = scored.box
    side = max(width, height)
    squared = [x + (width - side) / 2, y + (height - side) / 2, side, side]
    assert found.box == pytest.approx(np.array(squared), abs=1e-4)
    assert 0.5 < scored.score <= 1
    with pytest.raises(UnscoredError, match="gives no scores"):
        there.scored_faces(portrait)
