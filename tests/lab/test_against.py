"""Two builds side by side: here this one and itself."""

import sys
from pathlib import Path

import pytest
from lab.bench import against
from lab.bench.against import ROOT, built, measure, ratio
from lab.bench.parts import QUICK, Bench
from lab.device import Build, ProgramFailedError

from appliance.sections import EngineSection

FLOAT = EngineSection(detector="float16", embedder="float16", liveness="float16", engines=1)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_it_measures_every_path_of_both(tmp_path: Path) -> None:
    bench = Bench.prepared(tmp_path, FLOAT, QUICK)
    findings = [*measure(bench, "HEAD", Build(Path(sys.executable), ROOT))]
    assert [finding.measure.partition(",")[0] for finding in findings] == [
        "idle memory",
        "POST /faces",
        "POST /faces",
        "POST /alignedfaces",
        "POST /alignedfaces",
        "POST /identify",
        "POST /identify",
        "POST /liveness/multiframe",
        "POST /liveness/multiframe",
        "idle camera at 30/s",
        "GET /faces",
        "GET /faces",
        "POST /access/decide",
        "POST /access/decide",
    ]
    for finding in findings:
        assert finding.value > 0
        assert finding.unit == "x"
    assert findings[0].value == pytest.approx(1, abs=0.2)


def test_a_ratio_by_hand() -> None:
    finding = ratio("question", "path", [30.0, 20.0, 40.0], [10.0, 10.0, 10.0])
    assert (finding.measure, finding.value) == ("path: 30 → 10", 3.0)
    assert finding.interval == (2.0, 4.0)
    assert ratio("question", "path", [30.0, 20.0], [10.0, 10.0]).interval is None


def test_a_commit_that_does_not_exist_is_named() -> None:
    with pytest.raises(ProgramFailedError, match=r"git: fatal"):
        built("no-such-commit")


def test_a_commit_is_unpacked_once_and_built_by_its_own_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against, "FOLDER", tmp_path)
    commit = against._output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD").decode().strip()
    folder = tmp_path / f"commit-{commit}"
    (folder / "scripts").mkdir(parents=True)
    (folder / "setup.cfg").touch()  # unpacked already: an environment that takes a minute is not made here
    (folder / "scripts" / "environment").write_text('#!/bin/sh\nset -eu\necho "$0 $1" >&2\nexit "$(cat "$0.status")"\n')
    (folder / "scripts" / "environment").chmod(0o700)
    (folder / "scripts" / "environment.status").write_text("0")
    assert built("HEAD") == Build(folder / ".venv" / "bin" / "python", folder)
    (folder / "scripts" / "environment.status").write_text("3")
    with pytest.raises(ProgramFailedError, match=r"environment: .*scripts/environment \.venv"):
        built("HEAD")
