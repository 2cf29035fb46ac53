"""The bundled statistics: what they say, that they are of the shipped models and, where they are, of the labelled pictures."""

import tomllib
from pathlib import Path

import appliance_models
import numpy as np
import pytest
from lab import statistics as recording
from lab.statistics import LOOSEST, tabulated

from appliance.calibration import statistics
from appliance.calibration.points import CalibrationError
from appliance.calibration.statistics import Statistics, compared
from appliance.cli.photos import PhotoEngine, listed
from appliance.config import Config
from appliance.vision.manifest import ModelStore, Role

SHA = "a" * 64


@pytest.fixture(scope="module")
def shipped():
    return Statistics.read(appliance_models.FOLDER)


@pytest.fixture(scope="module")
def pairs():
    """Of 60 people with three pictures each, some of whom look alike."""
    random = np.random.default_rng(5)
    people = random.normal(size=(60, 12))
    person = np.repeat(np.arange(60), 3)
    vectors = people[person] + 0.4 * random.normal(size=(180, 12))
    return compared((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person)


def test_every_model_that_may_be_chosen_has_statistics(shipped):
    store = ModelStore.open(appliance_models.FOLDER)
    assert {file.sha256 for file in store.candidates(Role.EMBEDDER, "auto")} <= set(shipped.impostors)
    assert {file.sha256 for file in store.models if file.role is Role.LIVENESS} == set(shipped.attacks)


def test_the_table_counts_what_reaches_each_cosine(pairs):
    impostors, genuine = pairs
    table = tabulated(SHA, "file", impostors, genuine)
    assert table.false_matches == tuple(int((impostors.scores >= c).sum()) for c in table.cosine)
    assert table.true_matches == tuple(int((genuine.scores >= c).sum()) for c in table.cosine)
    assert (table.people, table.pictures) == (60, 180)
    assert table.false_matches[0] <= LOOSEST * table.impostor_pairs
    assert table.false_matches[-1] == 0


def test_a_rate_is_kept_by_the_least_cosine_that_keeps_it(pairs):
    table = tabulated(SHA, "file", *pairs)
    for fmr in (0.1, 0.01, 0.0005):
        row = table.row(fmr)
        assert table.false_match_rate(row).value <= fmr
        assert row == 0 or table.false_match_rate(row - 1).value > fmr


def test_too_few_pairs_are_refused_in_one_line(pairs):
    table = tabulated(SHA, "file", *pairs)
    with pytest.raises(
        CalibrationError, match=r"FMR 0.0001 needs 30,000 pairs of different people, .* have 15,930: "
    ) as caught:
        table.row(1e-4)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_again(pairs, tmp_path):
    table = tabulated(SHA, "file", *pairs)
    (tmp_path / statistics.IMPOSTORS).write_text(recording.written("similarity", [table]), "utf-8")
    assert Statistics.read(tmp_path).impostors == {SHA: table}
    assert Statistics.read(tmp_path).attacks == {}


@pytest.mark.parametrize("content", ["", "[[model]]\nfile = 3\n", "model = 1\n", "[["])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / statistics.ATTACKS).write_text(content, "utf-8")
    with pytest.raises(CalibrationError, match=statistics.ATTACKS):
        Statistics.read(tmp_path)


def test_a_table_whose_columns_do_not_fit_is_damage(pairs, tmp_path):
    table = tabulated(SHA, "file", *pairs)
    for change in ({"cosine": table.cosine[::-1]}, {"true_matches": table.true_matches[1:]}):
        broken = table.model_copy(update=change)
        (tmp_path / statistics.IMPOSTORS).write_text(recording.written("similarity", [broken]), "utf-8")
        with pytest.raises(CalibrationError, match=r"are not ascending|differ in length"):
            Statistics.read(tmp_path)


def test_neither_a_name_nor_a_picture_nor_an_embedding_is_in_them():
    for name in (statistics.IMPOSTORS, statistics.ATTACKS):
        tables = tomllib.loads((appliance_models.FOLDER / name).read_text("utf-8"))["model"]
        texts = [value for table in tables for value in table.values() if isinstance(value, str)]
        assert sorted(set(texts)) == sorted({table[key] for table in tables for key in ("model", "file")})


def test_the_manifest_s_operating_point_is_that_of_the_statistics(shipped):
    store = ModelStore.open(appliance_models.FOLDER)
    for file in store.candidates(Role.EMBEDDER, "auto"):
        table = shipped.impostors[file.sha256]
        at = table.cosine[table.row(file.operating_point.fmr)]
        assert at == pytest.approx(file.operating_point.cosine, abs=0.01)


@pytest.mark.nightly
@pytest.mark.data
def test_the_impostors_are_those_of_the_pictures(shipped, data: Path):
    """Of some of the pictures: all of them take minutes."""
    folders = [data / "calibration", data / "verification" / "images"]
    photos = listed(folders)
    engine = PhotoEngine(Config.model_validate({"engine": {"detector": "float16", "embedder": "float16"}}))
    way = engine.comparators.fast
    table = shipped.impostors[way.model]
    faces = engine.faces(listed(folders[:1])[:120])
    assert table.pictures <= len(photos) <= table.pictures + 5
    assert table.people <= len({photo.person for photo in photos}) <= table.people + 5
    impostors, _ = compared(engine.embeddings(faces)[way], faces.people())
    row = table.row(0.01)
    assert np.mean(impostors.scores >= table.cosine[row]) == pytest.approx(0.01, rel=0.35)


@pytest.mark.data
def test_the_attacks_are_those_of_the_pictures(shipped, data: Path):
    store = ModelStore.open(appliance_models.FOLDER)
    (file,) = store.candidates(Role.LIVENESS, "float16")
    engine = recording.liveness_engine(store, file)
    species = shipped.attacks[file.sha256].species
    lines = (data / "liveness" / "sequences.csv").read_text("utf-8").splitlines()[1:]
    labels = {line.split(",")[0]: line.split(",")[1] for line in lines}
    assert {name: len(odds) for name, odds in species.items()} == {
        name: sum(label == name for label in labels.values()) for name in ("print", "replay")
    }
    for name in ("print", "replay"):
        for sequence in [each for each, label in labels.items() if label == name][::5]:
            frames = [(data / "liveness" / sequence / f"{number}.jpg").read_bytes() for number in range(1, 5)]
            odds = recording.odds(engine, frames)
            assert min(abs(odds - each) for each in species[name]) < 0.2
