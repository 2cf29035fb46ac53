"""The self-test: it names the part that answers wrongly, and is silent when all is well."""

from dataclasses import replace

import appliance_models
import pytest

from appliance.face.types import DetectLimits
from appliance.faults import Fault
from appliance.imaging.codec import EncodedPicture
from appliance.vision import loading, selftest
from appliance.vision.manifest import ModelError, ModelStore, Role

pytestmark = pytest.mark.logs_errors("does not work|no model works|self-test")


@pytest.fixture(scope="module")
def recorded():
    return selftest.read(appliance_models.FOLDER / "selftest.toml")


@pytest.fixture(scope="module")
def picture(portrait):
    return EncodedPicture(portrait, 10**6)


def precisions(choice):
    return {role: chosen.files[0].precision for role, chosen in choice.items()}


@pytest.fixture(scope="module")
def misled(store):
    """The float16 models, of which one role's are fed otherwise than they were trained."""

    def choose(role, **facts):
        models = [model.model_copy(update=facts) if model.role == role else model for model in store.models]
        return loading.choose(replace(store, models=models), dict.fromkeys(Role, "float16"), 1, "strong")

    return choose


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_the_shipped_models_answer_as_recorded(chosen, picture, recorded, precision):
    choice = chosen(precision)
    assert selftest.complaints(loading.build(choice, 1), picture, recorded, precisions(choice)) == {}


@pytest.mark.parametrize("other", [Role.DETECTOR, Role.LIVENESS])
@pytest.mark.parametrize(("most", "one"), [("float16", "int8"), ("int8", "float16")])
def test_so_they_do_when_each_role_has_the_precision_that_is_fastest_for_it(
    chosen, picture, recorded, most, one, other
):
    choice = {**chosen(most), other: chosen(one)[other]}
    assert selftest.complaints(loading.build(choice, 1), picture, recorded, precisions(choice)) == {}


@pytest.mark.parametrize(
    ("role", "facts"),
    [
        (Role.DETECTOR, {"mean": 127.0, "scale": 128.0}),
        (Role.LANDMARKS, {"scale": 1.0}),
        (Role.ALIGNMENT, {"scale": 1.0}),
        (Role.EMBEDDER, {"colour": "RGB"}),
        (Role.EMBEDDER, {"mean": 0.0, "scale": 1.0}),
        (Role.STRONG_EMBEDDER, {"mean": 127.0, "scale": 128.0}),
        (Role.LIVENESS, {"scale": 255.0}),
    ],
    ids=str,
)
def test_the_part_that_answers_otherwise_is_named(misled, picture, recorded, role, facts):
    choice = misled(role, **facts)
    assert list(selftest.complaints(loading.build(choice, 1), picture, recorded, precisions(choice))) == [role]


def test_the_part_is_taken_out_and_the_others_stay(misled, picture, recorded):
    choice = misled(Role.EMBEDDER, scale=1.0)
    proven, engine = loading.proven(choice, picture, recorded, 1)
    assert proven[Role.EMBEDDER].code.text == "INF-07"
    assert "self-test: cosine" in proven[Role.EMBEDDER].detail
    assert [role for role in Role if proven[role] is not choice[role]] == [Role.EMBEDDER]
    (face,) = engine.align(picture, DetectLimits())
    with pytest.raises(Fault, match="INF-07"):
        engine.embed(face)


@pytest.mark.parametrize(("role", "scale"), [(Role.DETECTOR, 1e6), (Role.LANDMARKS, 1.0), (Role.ALIGNMENT, 1.0)])
def test_what_finds_faces_and_points_fails_with_the_other_code(misled, picture, recorded, role, scale):
    proven, engine = loading.proven(misled(role, scale=scale), picture, recorded, 1)
    assert proven[role].code.text == "INF-06"
    with pytest.raises(Fault, match="INF-06"):
        engine.detect(picture, DetectLimits(), precise=role is not Role.ALIGNMENT)


def test_another_portrait_is_noticed(chosen, hopper, recorded):
    choice = chosen("float16")
    other = EncodedPicture(hopper, 10**6)
    assert list(selftest.complaints(loading.build(choice, 1), other, recorded, precisions(choice))) == [Role.DETECTOR]


def test_a_precision_without_recorded_answers_is_a_complaint(chosen, picture, recorded):
    choice = chosen("float16")
    without = {"int8": recorded["int8"]}
    found = selftest.complaints(loading.build(choice, 1), picture, without, precisions(choice))
    assert list(found.values()) == ["no recorded answer for its precision"]


def test_a_role_that_is_known_not_to_work_is_passed_over(chosen, picture, recorded):
    choice = {**chosen("float16"), Role.EMBEDDER: loading.unusable(ModelError("gone"))[Role.EMBEDDER]}
    present = {role: "float16" for role in Role if role != Role.EMBEDDER}
    assert selftest.complaints(loading.build(choice, 1), picture, recorded, present) == {}


def test_every_shipped_precision_is_recorded(recorded):
    assert {model.precision for model in ModelStore.open(appliance_models.FOLDER).models} <= set(recorded)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"= =", b"[float16]\ncorners = 1", b"float16 = 3", b"\xff\xfe", b'[float16]\nembedding = "!"'],
)
def test_a_record_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "selftest.toml"
    if content is not None:
        path.write_bytes(content)
    if content == b"":
        assert selftest.read(path) == {}
        return
    with pytest.raises(ModelError, match=r"selftest\.toml"):
        selftest.read(path)
