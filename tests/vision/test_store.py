"""The model folder: a manifest that is believed in nothing that cannot be proven."""

import hashlib
import shutil
from pathlib import Path

import appliance_models
import pytest
import tomlkit

from appliance.vision.manifest import HOPELESS, ModelError, ModelStore, Role, fastest

FILE = "liveness_int8.tflite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the manifest and one small model."""
    for name in ("manifest.toml", FILE):
        shutil.copy(appliance_models.FOLDER / name, tmp_path / name)
    return tmp_path


def model_named(store, file):
    return next(model for model in store.models if model.file == file)


def edit(folder, change):
    """Rewrites the manifest after `change` was made to its tables."""
    path = folder / "manifest.toml"
    document = tomlkit.parse(path.read_text("utf-8"))
    change(document)
    path.write_text(tomlkit.dumps(document), "utf-8")


def test_every_shipped_file_is_the_one_the_manifest_names():
    store = ModelStore.open(appliance_models.FOLDER)
    assert all(store.content(model) for model in store.models)
    shipped = {path.name for path in appliance_models.FOLDER.glob("*.tflite")}
    assert {model.file for model in store.models} == shipped


def test_every_role_is_shipped_in_float16_and_every_file_says_where_it_is_from():
    store = ModelStore.open(appliance_models.FOLDER)
    assert {model.role for model in store.models if model.precision == "float16"} == set(Role) - {Role.STRONG_HEAD}
    assert all(model.licence and model.source and model.name for model in store.models)


def test_the_content_is_the_file_s(folder):
    store = ModelStore.open(folder)
    assert store.content(model_named(store, FILE)) == (folder / FILE).read_bytes()


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_one_changed_bit_is_noticed(folder, place):
    content = bytearray((folder / FILE).read_bytes())
    content[place] ^= 1
    (folder / FILE).write_bytes(content)
    store = ModelStore.open(folder)
    wrong = hashlib.sha256(content).hexdigest()
    with pytest.raises(ModelError, match=f"{FILE}: sha256 is {wrong}"):
        store.content(model_named(store, FILE))


@pytest.mark.parametrize("content", [b"", b"short"])
def test_so_is_a_file_cut_short(folder, content):
    (folder / FILE).write_bytes(content)
    store = ModelStore.open(folder)
    with pytest.raises(ModelError, match="sha256"):
        store.content(model_named(store, FILE))


def test_a_missing_file_is_named(folder):
    (folder / FILE).unlink()
    store = ModelStore.open(folder)
    with pytest.raises(ModelError, match=f"{FILE}: No such file"):
        store.content(model_named(store, FILE))


def test_a_folder_in_place_of_a_file_is_named(folder):
    (folder / FILE).unlink()
    (folder / FILE).mkdir()
    store = ModelStore.open(folder)
    with pytest.raises(ModelError, match=FILE):
        store.content(model_named(store, FILE))


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"manifest\.toml"):
        ModelStore.open(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"model = 3", b"[model]", b"[[model]]", b"= = =", b"\xff\xfe", b"[[other]]\nx = 1"]
)
def test_a_manifest_that_is_none_is_refused(folder, content):
    (folder / "manifest.toml").write_bytes(content)
    with pytest.raises(ModelError, match=r"manifest\.toml"):
        ModelStore.open(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("role", "oracle"),
        ("precision", "int4"),
        ("colour", "CMYK"),
        ("height", "112"),
        ("width", 112.5),
        ("mean", "0"),
        ("sha256", 5),
        ("surprise", 1),
    ],
)
def test_a_wrong_value_is_named(folder, key, value):
    edit(folder, lambda document: document["model"][0].update({key: value}))
    with pytest.raises(ModelError, match=key):
        ModelStore.open(folder)


@pytest.mark.parametrize("key", ["role", "file", "sha256", "precision", "height", "colour", "scale", "licence", "gate"])
def test_a_missing_value_is_named(folder, key):
    edit(folder, lambda document: document["model"][0].remove(key))
    with pytest.raises(ModelError, match=key):
        ModelStore.open(folder)


@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_a_precision_chooses_its_files(precision):
    store = ModelStore.open(appliance_models.FOLDER)
    assert {model.precision for model in store.candidates(Role.LIVENESS, precision)} == {precision}
    assert len(store.candidates(Role.DETECTOR, precision)) == 6


def test_a_precision_that_is_not_shipped_is_refused_with_those_that_are():
    store = ModelStore.open(appliance_models.FOLDER)
    with pytest.raises(ModelError, match=r"no landmarks model in precision int8 \(there is: float16\)"):
        store.candidates(Role.LANDMARKS, "int8")


def test_a_role_without_models_is_refused(folder):
    edit(folder, lambda document: [document["model"].pop(0) for _ in range(12)])
    with pytest.raises(ModelError, match=r"no detector model in precision auto \(there is: none\)"):
        ModelStore.open(folder).candidates(Role.DETECTOR, "auto")


@pytest.mark.parametrize("passing", [{"float16"}, {"int8", "float16"}])
def test_auto_takes_what_passed_its_accuracy_gate_and_the_rest_is_there_for_who_asks(folder, passing):
    def decide(document):
        for model in document["model"]:
            model["gate"]["passed"] = model["precision"] in passing

    edit(folder, decide)
    store = ModelStore.open(folder)
    assert {model.precision for model in store.candidates(Role.LIVENESS, "auto")} == passing
    assert {model.precision for model in store.candidates(Role.LIVENESS, "int8")} == {"int8"}


def test_the_fastest_precision_is_found_by_its_smallest_input():
    models = ModelStore.open(appliance_models.FOLDER).candidates(Role.DETECTOR, "auto")
    asked = {}

    def seconds(model, hopeless):
        asked[model.precision, model.width] = hopeless
        return {"int8": 0.002, "float16": 0.003}[model.precision]

    assert fastest(models, seconds) == ("int8", {"int8": 0.002, "float16": 0.003})
    assert asked == {("float16", 320): float("inf"), ("int8", 320): 0.003 * HOPELESS}

    asked.clear()
    assert fastest([model for model in models if model.precision == "int8"], seconds) == ("int8", {"int8": 0.002})
    assert asked == {("int8", 320): 0.0}, "there is nothing to choose: it is run once"
