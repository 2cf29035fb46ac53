"""Peers as real child processes: small ones that speak the protocol, and ones that do not."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from lab.bench import peers
from lab.bench.peers import FOLDER, OURS, Entry, PeerFailedError, RawPicture, Score, Seen, entries, running
from lab.bench.protocol import Laps
from lab.pictures import upright

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
def picture(tmp_path: Path) -> RawPicture:
    pixels = np.zeros((2, 5, 3), np.uint8)
    pixels[1, 4, 2] = 7
    pixels.tofile(tmp_path / "picture.rgb")
    return RawPicture(tmp_path / "picture.rgb", 5, 2)


def test_a_peer_says_its_name_and_what_it_sees(tmp_path: Path, picture: RawPicture) -> None:
    with running(written(tmp_path, "honest", HONEST)) as peer:
        seen = peer.look(picture, 3)
        again = peer.look(picture, 1)
    assert (peer.kind, peer.name) == ("honest", "honest peer")
    assert (seen.faces, len(seen.milliseconds), len(again.milliseconds)) == (7, 3, 1)
    for look in seen.milliseconds:
        assert look["embed"] is None
        assert 0 <= look["detect"] + look["align"] <= look["all"] < 1000


def test_a_peer_has_one_core_and_one_thread(tmp_path: Path, picture: RawPicture) -> None:
    program = HONEST.replace("int(pixels.sum())", "len(os.sched_getaffinity(0)) * int(os.environ['OMP_NUM_THREADS'])")
    with running(written(tmp_path, "lonely", program)) as peer:
        assert peer.look(picture, 1).faces == 1


def test_times_of_its_own_are_taken_as_they_are(tmp_path: Path, picture: RawPicture) -> None:
    with running(written(tmp_path, "fixed", FIXED)) as peer:
        assert peer.look(picture, 1) == Seen(2, [{"detect": 1.0, "align": 2.0, "embed": None, "all": 4.0}])


def test_the_child_is_gone_afterwards(tmp_path: Path) -> None:
    with running(written(tmp_path, "fixed", FIXED)) as peer:
        process_id = peer._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("import sys\nsys.exit('no weights here')", "no weights here"),
        ("print('hello')\nimport time\ntime.sleep(60)", "no message"),
        ("", "ended with status 0"),
    ],
)
def test_a_peer_that_does_not_come_up_is_said(tmp_path: Path, program: str, complaint: str) -> None:
    with pytest.raises(PeerFailedError, match=complaint), running(written(tmp_path, "broken", program)):
        pass


def test_a_peer_that_breaks_down_is_said(tmp_path: Path, picture: RawPicture) -> None:
    program = HONEST.replace("    laps = Laps()", "    raise SystemExit('out of memory')")
    with running(written(tmp_path, "broken", program)) as peer:
        for _ in range(2):
            with pytest.raises(PeerFailedError, match="broken: ended with status 1: out of memory"):
                peer.look(picture, 1)


def test_a_peer_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "TIME_LIMIT", 0.5)
    with (
        pytest.raises(PeerFailedError, match="status -9"),
        running(written(tmp_path, "slow", "import time\ntime.sleep(60)")),
    ):
        pass


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(PeerFailedError, match=r"ghost: .*: No such file"),
        running(Entry("ghost", ("./none",), tmp_path)),
    ):
        pass


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
def test_a_file_that_names_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "peer.toml").write_text(text, "utf-8")
    with pytest.raises(PeerFailedError, match=r"peer\.toml: (?s:.*) run scripts/peers again"):
        entries(tmp_path)


def test_without_peers_it_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(PeerFailedError, match="scripts/peers makes them"):
        entries(tmp_path)


def seen(*milliseconds: float, faces: int = 1, embed: float | None = None) -> Seen:
    return Seen(faces, [{"detect": value, "align": None, "embed": embed, "all": value} for value in milliseconds])


def test_scores_by_hand(tmp_path: Path) -> None:
    with running(written(tmp_path, "fixed", FIXED)) as peer:
        ours = Score(peer, [[seen(2.0, 1.0, 9.0), seen(4.0)], [seen(1.0), seen(3.0)], [seen(3.0), seen(3.0)]])
        other = Score(peer, [[seen(12.0), seen(12.0)], [seen(8.0), seen(8.0)], [seen(30.0), seen(30.0, faces=2)]])
        row = other.row("set", ours)
    # pictures: medians of 2, 1, 3 and of 4, 3, 3, and their mean
    assert (ours.step("detect"), ours.step("align")) == ((2 + 3) / 2, None)
    # rounds: 24 over 6, 16 over 4, 60 over 6
    assert (row.times_ours, row.faces, row.name) == (4.0, 3, "fixed")
    assert row.cells() == ["fixed", "12.0", "none", "none", "12.0", "4.00", "3"]


def test_who_has_no_embedder_is_held_against_ours_without_one(tmp_path: Path) -> None:
    with running(written(tmp_path, "fixed", FIXED)) as peer:
        ours, other = Score(peer, [[seen(9.0, embed=4.0)]]), Score(peer, [[seen(10.0)]])
        assert other.row("set", ours).times_ours == 2.0
        assert ours.row("set", ours).times_ours == 1.0


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
    np.asarray(image).tofile(tmp_path / "portrait.rgb")
    raw = RawPicture(tmp_path / "portrait.rgb", image.width, image.height)
    for entry in (OURS, *entries()):
        with running(entry) as peer:
            seen = peer.look(raw, 1)
            assert (peer.kind, seen.faces > 0) == (entry.kind, True)
            assert all(value is None or value >= 0 for value in seen.milliseconds[0].values())
