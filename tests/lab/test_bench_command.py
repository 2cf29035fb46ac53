"""`appliance bench` as a user runs it: a real child process, a record, a page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.bench import command
from lab.bench.parts import QUICK, Extent
from lab.report import Finding

from appliance.cli.options import parser

PEER = """
from lab.bench.protocol import serve

serve("always slower", lambda pixels: (1, {"detect": 1.0, "align": 1.0, "embed": None, "all": 2.0}))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the choice by measurement a device starts in half the time."""
    path = tmp_path_factory.mktemp("config") / "quick.toml"
    path.write_text('[engine]\ndetector = "float16"\nembedder = "float16"\nliveness = "float16"\n', "utf-8")
    return path


@pytest.fixture(scope="module")
def run(config: Path) -> Run:
    def finished(*arguments: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "appliance", "bench", "--quick", "--config", config, *arguments]
        return subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=100, check=False)

    return finished


@pytest.fixture(scope="module")
def outcome(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Stages and a comparison, with a peer of our own, on the bundled pictures."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "peers" / "slow").mkdir(parents=True)
    (folder / "peers" / "slow" / "peer.py").write_text(PEER, "utf-8")
    written = f"[dlib]\ncommand = {json.dumps([sys.executable, 'peer.py'])}\n"
    (folder / "peers" / "slow" / "peer.toml").write_text(written, "utf-8")
    options = ["--compare", "--peers", folder / "peers", "--json", folder / "record.json"]
    return run("stages", *options), folder


@pytest.fixture(scope="module")
def record(outcome: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((outcome[1] / "record.json").read_text("utf-8"))
    return read


def test_it_ends_well_and_shows_tables(outcome: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, folder = outcome
    assert done.returncode == 0, done.stderr
    for measure in ("decode: p50", "embed: p99", "stages of /liveness/multiframe", "always slower"):
        assert measure in done.stdout
    assert (folder / "record.json").is_file()


def test_the_record_tells_of_the_machine(record: dict[str, Any]) -> None:
    assert set(record) == {"program", "board", "runtime", "models", "findings"}
    assert set(record["board"]) == set(command.board())
    assert record["board"]["cores"] >= 1
    assert record["board"]["memory_mb"] > 100
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\dZ", record["board"]["date"])
    chosen = [model for model in record["models"] if model["file"].startswith(("detector", "liveness"))]
    assert {model["precision"] for model in chosen} == {"float16"}
    assert set(record["runtime"]) == {"name", "version"}


def test_the_record_has_every_stage(record: dict[str, Any]) -> None:
    title = "stages of /identify"
    values = {finding["measure"]: finding["value"] for finding in record["findings"] if finding["question"] == title}
    for stage in ("decode", "detect", "landmarks", "align", "embed", "total"):
        assert 0 < values[f"{stage}: p50"] <= values[f"{stage}: p99"]
    assert values["detect: p50"] < values["total: p50"]


def test_a_quick_run_judges_nothing(record: dict[str, Any]) -> None:
    assert {finding["passed"] for finding in record["findings"]} == {None}


def test_the_record_has_the_peers(record: dict[str, Any]) -> None:
    peers: dict[str, dict[str, Any]] = {}
    for finding in record["findings"]:
        name, _, pictures = finding["question"].partition(": ")
        if pictures.startswith("portraits"):
            peers.setdefault(name, {})[finding["measure"]] = finding["value"]
    (_, ours), (name, other) = peers.items()
    assert (ours["all, over ours"], ours["faces found"]) == (1.0, 2)
    assert ours["embed"] > 0
    # it has no embedder, so ours is not counted either
    times = pytest.approx(2000 / (ours["all"] - ours["embed"]))
    assert name == "always slower"
    assert other == {
        "detect": 1000.0,
        "align": 1000.0,
        "embed": None,
        "all": 2000.0,
        "all, over ours": times,
        "faces found": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["start", "--against", "nowhere"], "bench: git: fatal: Needed a single revision\n"),
        (["--compare", "--peers", "nowhere"], "bench: nowhere has no peers: scripts/peers makes them\n"),
    ],
)
def test_what_cannot_be_done_is_reported_in_one_line(
    run_here: Run, config: Path, arguments: list[str], complaint: str
) -> None:
    done = run_here("bench", "--quick", "--config", config, *arguments)
    told = "".join(line for line in done.stderr.splitlines(True) if "machine is busy" not in line)
    assert (done.returncode, done.stdout, told) == (1, "", complaint)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("bench", list(command.PARTS)),
        ("bench all --compare", list(command.PARTS)),
        ("bench start", ["start"]),
        ("bench --compare", []),
        ("bench --against HEAD", []),
        ("bench camera --compare", ["camera"]),
    ],
)
def test_which_parts_run(line: str, parts: list[str]) -> None:
    assert command.parts_of(parser().parse_args(line.split())) == parts


def test_every_part_can_be_named() -> None:
    for part in command.PARTS:
        assert parser().parse_args(["bench", part]).part == part


def test_how_much_is_measured() -> None:
    assert command.extent_of(parser().parse_args(["bench"])) == Extent()
    assert command.extent_of(parser().parse_args(["bench", "--quick"])) == QUICK
    more = command.extent_of(parser().parse_args(["bench", "--requests", "7", "--frames", "9"]))
    assert (more.mixed, more.frames, more.rounds) == (7, 9, Extent().rounds)


def test_errors_are_judged_in_a_quick_run_too() -> None:
    findings = [Finding("faces", "ratio", 9.0, at_most=1.35), Finding("faces", "errors", 1, at_most=0)]
    assert command.judged(findings, quick=False) == findings
    ratio, errors = command.judged(findings, quick=True)
    assert (ratio.judged, errors.passed) == (False, False)


def test_a_busy_machine_is_reported() -> None:
    assert command.board()["processor"]
    assert command.warning(command.BUSY) == ""
    assert command.warning(2.25) == "this machine is busy (load 2.25): the figures are doubtful"
