"""Peers as real child processes: small ones that speak the protocol, and ones that do not."""

import sys
from pathlib import Path

import numpy as np
import pytest
from lab.bench import peers
from lab.bench.peers import FOLDER, OURS, Entry, Seen, ask, compared, entries
from lab.bench.protocol import Laps
from lab.device import ProgramFailedError
from lab.pictures import upright
from lab.report import Finding

HONEST = """
import os, sys
from lab.bench.protocol import Laps, serve

def look(pixels):
    print("a library talks", os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"])
    laps = Laps()
    laps.lap("detect")
    laps.lap("align")
    return int(pixels.sum()), laps.seconds

serve("honest " + sys.argv[1], look)
"""

FIXED = """
from lab.bench.protocol import serve

serve("fixed", lambda pixels: (pixels.shape[0], {"detect": 0.001, "align": 0.002, "embed": None, "all": 0.004}))
"""


def written(folder: Path, kind: str, program: str) -> Entry:
    path = folder / f"{kind}.py"
    path.write_text(program, "utf-8")
    return Entry(kind, (sys.executable, str(path), "peer"), folder)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.zeros((2, 5, 3), np.uint8)
    pixels[1, 4, 2] = 7
    pixels.tofile(tmp_path / "picture.5.2")
    return tmp_path / "picture.5.2"


def test_a_peer_says_its_name_and_what_it_sees(tmp_path: Path, picture: Path) -> None:
    seen = ask(written(tmp_path, "honest", HONEST), [picture, picture], 3)
    assert (seen.name, seen.faces, seen.milliseconds.shape) == ("honest peer", 14, (2, 4))
    detect, align, embed, every = seen.milliseconds[0]
    assert np.isnan(embed)
    assert 0 <= detect + align <= every < 1000


def test_a_peer_has_one_core_and_one_thread(tmp_path: Path, picture: Path) -> None:
    program = HONEST.replace("int(pixels.sum())", "len(os.sched_getaffinity(0)) * int(os.environ['OMP_NUM_THREADS'])")
    assert ask(written(tmp_path, "lonely", program), [picture], 1).faces == 1


def test_times_of_its_own_are_taken_as_they_are(tmp_path: Path, picture: Path) -> None:
    seen = ask(written(tmp_path, "fixed", FIXED), [picture])
    assert (seen.name, seen.faces) == ("fixed", 2)
    np.testing.assert_array_equal(seen.milliseconds, [[1.0, 2.0, np.nan, 4.0]])


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import sys\nsys.exit('no weights here')", "no weights here"),
        ("print('hello')", "no message"),
        ("", "ended with status 0"),
        (HONEST.replace("    laps = Laps()", "    raise SystemExit('out of memory')"), "status 1: out of memory"),
        ("import json\nprint(json.dumps({1: 1}))", "no message"),
    ],
)
def test_a_peer_that_does_not_answer_is_reported(tmp_path: Path, picture: Path, program: str, complaint: str) -> None:
    with pytest.raises(ProgramFailedError, match=complaint):
        ask(written(tmp_path, "broken", program), [picture])


def test_a_peer_that_hangs_is_ended(tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "TIME_LIMIT", 0.5)
    with pytest.raises(ProgramFailedError, match=r"slow: .*timed out"):
        ask(written(tmp_path, "slow", "import time\ntime.sleep(60)"), [picture])


def test_a_program_that_is_not_there_is_reported(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(ProgramFailedError, match=r"ghost: .*No such file"):
        ask(Entry("ghost", ("./none",), tmp_path), [picture])


def test_peers_are_those_that_a_folder_names(tmp_path: Path) -> None:
    for name in ("one", "two", "conversion"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "peer.toml").write_text(
        '[a]\ncommand = ["bin/python", "x.py"]\n[b]\ncommand = ["node"]\n', "utf-8"
    )
    (tmp_path / "two" / "peer.toml").write_text('[c]\ncommand = ["node", "../y.cjs"]\n', "utf-8")
    assert entries(tmp_path) == [
        Entry("a", (f"{tmp_path}/one/bin/python", "x.py"), tmp_path / "one"),
        Entry("b", ("node",), tmp_path / "one"),
        Entry("c", ("node", "../y.cjs"), tmp_path / "two"),
    ]


@pytest.mark.parametrize("text", ["[a]\n", "[a]\ncommand = 1\n", "a = 1\n", "[a]\ncommand = []\nfast = true\n", "["])
def test_a_file_that_names_none_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "peer.toml").write_text(text, "utf-8")
    with pytest.raises(ProgramFailedError, match=r"peer\.toml: (?s:.*) run scripts/peers again"):
        entries(tmp_path)


def test_without_peers_it_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailedError, match="scripts/peers makes them"):
        entries(tmp_path)


def seen(*every: float, faces: int = 1, embed: float = np.nan) -> Seen:
    return Seen("fixed", faces, np.array([[value, np.nan, embed, value] for value in every]))


def figures(rounds: list[Seen], ours: list[Seen], least: float | None = None) -> dict[str, Finding]:
    return {finding.measure: finding for finding in compared("set", rounds, ours, least)}


def test_rounds_by_hand() -> None:
    ours = [seen(2.0, 4.0), seen(1.0, 3.0), seen(3.0, 3.0)]
    other = [seen(12.0, 12.0), seen(8.0, 8.0), seen(30.0, 30.0, faces=3)]
    # pictures: medians of 2, 1, 3 and of 4, 3, 3, and their mean
    own = figures(ours, ours)
    assert [own[step].value for step in ("detect", "all", "all, over ours")] == [2.5, 2.5, 1.0]
    assert all(np.isnan(own[step].value) for step in ("align", "embed"))
    # rounds: 24 over 6, 16 over 4, 60 over 6
    found = figures(other, ours, 8.0)
    assert (found["all, over ours"].value, found["faces found"].value) == (4.0, 3)
    assert {each.question for each in found.values()} == {"fixed: set"}
    assert [name for name, each in found.items() if not each.passed] == ["all, over ours"]


def test_a_peer_without_an_embedder_is_compared_with_ours_without_one() -> None:
    ours, other = [seen(9.0, embed=4.0)], [seen(10.0)]
    assert figures(other, ours)["all, over ours"].value == 2.0
    assert figures(ours, ours)["all, over ours"].value == 1.0


def test_laps_add_up_to_the_time_that_passed() -> None:
    laps = Laps()
    laps.lap("detect")
    laps.lap("embed")
    assert laps.seconds["align"] is None
    assert laps.seconds["detect"] >= 0
    assert laps.seconds["embed"] >= 0


@pytest.mark.skipif(not list(FOLDER.glob("*/peer.toml")), reason="no peers here: scripts/peers makes them")
def test_real_peers_find_the_face(tmp_path: Path, portrait: bytes) -> None:
    image = upright(portrait)
    raw = tmp_path / f"portrait.{image.width}.{image.height}"
    np.asarray(image).tofile(raw)
    for entry in (OURS, *entries()):
        found = ask(entry, [raw], 1)
        assert found.faces > 0
        assert not (found.milliseconds < 0).any()
