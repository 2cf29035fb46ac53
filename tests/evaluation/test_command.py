"""What the command does with what it is asked for: exit status, lines of complaint, bounds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import labelled
import pytest
from devices import Child

from appliance import config, keys
from appliance.evaluation import command
from appliance.evaluation.asked import CutFace, FoundFace, ScoredFace, UnexpectedAnswerError
from appliance.evaluation.command import Wanted, run
from appliance.in_process import InProcess
from appliance.keys import Scope

QUICK = '[engine]\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n'

NOBODY_LISTENS = "http://127.0.0.1:9"
"""The port of `discard`, which nothing serves any more."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(QUICK, "utf-8")
    return InProcess(config.load(path, {}), 1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, portrait: bytes, hopper: bytes) -> Path:
    folder = tmp_path_factory.mktemp("data")
    labelled.poses(
        folder / "pose",
        {"jane.jpg": portrait, "cut.jpg": portrait[:3000]},
        dict.fromkeys(("jane.jpg", "cut.jpg"), (0, 0, 0)),
    )
    labelled.sequences(
        folder / "liveness", {"real": [labelled.filmed(portrait, 1)], "print": [labelled.filmed(hopper, 2)]}
    )
    return folder


def none() -> Any:
    raise AssertionError("no engine is needed")


@pytest.mark.parametrize(
    ("question", "options", "told"),
    [
        ("detection", {"device": NOBODY_LISTENS}, "detection: the HTTP API gives no scores"),
        ("pose", {"data": Path("nowhere")}, "nowhere: no such folder"),
        ("all", {"data": Path(__file__).parent}, "none of the folders verification, detection"),
        ("pose", {"json": Path("nowhere/record.json")}, "--json: nowhere: no such folder"),
        ("pose", {"answers": Path("nowhere/answers")}, "--answers: nowhere: no such folder"),
        ("pose", {"key": "fa_x"}, "--key: only a running device asks for one"),
        ("pose", {"device": "ftp://device"}, "--device: ftp://device is not http://HOST:PORT"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    tree: Path, capsys: pytest.CaptureFixture[str], question: str, options: dict[str, Any], told: str
) -> None:
    assert run(Wanted(**{"question": question, "data": tree, "workers": 1, **options}), none) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), told in err) == ("", 1, True)


def test_a_device_that_does_not_answer(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Wanted("pose", tree / "pose", 1, device=NOBODY_LISTENS), none) == 1
    assert capsys.readouterr().err == "pose: Connection refused\n"


def test_a_key_opens_a_device(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    token = keys.add(tmp_path / "state" / keys.FILE, "door", [Scope.RECOGNISE])
    with Child(tmp_path, f"{QUICK}engines = 1\n[access]\nloopback = false\n") as guarded:
        device = f"http://127.0.0.1:{guarded.ready().port}"
        assert run(Wanted("pose", tree / "pose", 2, device=device), none) == 1
        assert capsys.readouterr().err.startswith("pose: the device refuses: it wants a key")
        assert run(Wanted("pose", tree / "pose", 2, device=device, key=token), none) == 0
        assert "faces not found (1/2)" in capsys.readouterr().out


def test_a_picture_that_cannot_be_read_is_a_face_not_found(
    tree: Path, engine: InProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Wanted("pose", tree / "pose", 2), lambda: engine) == 0
    assert "faces not found (1/2)" in capsys.readouterr().out


def test_a_missed_bound_is_a_failure_only_when_judged(
    tree: Path, engine: InProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = Wanted("liveness", tree / "liveness", 1)
    assert run(wanted, lambda: engine) == 0
    assert "FAIL" not in capsys.readouterr().out
    judged = Wanted("liveness", tree / "liveness", 1, judge=True)
    status, out = run(judged, lambda: engine), capsys.readouterr().out
    assert status == int("FAIL" in out)
    assert "pass" in out


def test_a_question_without_a_folder_is_left_out_unless_it_is_judged(
    tree: Path, engine: InProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Wanted("all", tree, 1), lambda: engine) == 0
    assert f"verification: left out, there is no folder {tree / 'verification'}\n" in capsys.readouterr().err
    assert run(Wanted("all", tree, 1, judge=True), lambda: engine) == 1
    out, err = capsys.readouterr()
    assert f"verification: {tree / 'verification'}: no such folder\n" in err
    assert "FAIL" in out


def test_a_record_that_cannot_be_written(tree: Path, engine: InProcess, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Wanted("pose", tree / "pose", 1, json=tree), lambda: engine) == 1
    assert capsys.readouterr().err == f"{tree}: Is a directory\n"


class Broken:
    """An engine whose models do not work."""

    def facts(self) -> Mapping[str, Any]:
        return {}

    def faces(self, picture: bytes, **query: int) -> list[FoundFace]:
        raise UnexpectedAnswerError("INF-06 FaceSDK - Initialize Error. (damaged)", "INF-06")

    def aligned_faces(self, picture: bytes, **query: int) -> list[CutFace]:
        raise NotImplementedError

    def scored_faces(self, picture: bytes, **query: int) -> list[ScoredFace]:
        raise NotImplementedError

    def similarity(self, image_a: bytes, image_b: bytes) -> float:
        raise NotImplementedError

    def liveness(self, frames: Sequence[bytes], suffix: str = ".jpg") -> float | None:
        raise NotImplementedError


def test_an_engine_that_does_not_work_is_no_face_not_found(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Wanted("pose", tree / "pose", 1), Broken) == 1
    assert capsys.readouterr().err == "pose: INF-06 FaceSDK - Initialize Error. (damaged)\n"


def test_errors_are_one_line() -> None:
    assert command.one_line(OSError(28, "No space left on device", "answers")) == "answers: No space left on device"
    assert command.one_line(ValueError("two\nlines")) == "two lines"
    assert command.one_line(TimeoutError()) == "TimeoutError"
