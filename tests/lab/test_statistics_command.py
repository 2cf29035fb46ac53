"""`appliance statistics`: the bundled statistics, written for other models or from other pictures."""

import shutil
from pathlib import Path

import appliance_models
import labelled
import numpy as np
import pytest

from appliance.calibration.statistics import Statistics
from appliance.cli.main import main
from appliance.vision import selftest


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A copy of the shipped models without their statistics."""
    folder = tmp_path / "models"
    shutil.copytree(
        appliance_models.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__", "impostors.toml", "attacks.toml")
    )
    return folder


@pytest.fixture
def config(models: Path, tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(f'[engine]\nmodels = "{models}"\ndetector = "float16"\nembedder = "float16"\n', "utf-8")
    return path


def test_attacks_are_recorded_by_species(models: Path, config: Path, tmp_path: Path, hopper: bytes) -> None:
    films = {"real": [labelled.filmed(hopper, 0)], "print": [labelled.filmed(hopper, 1)]}
    data = labelled.sequences(tmp_path / "data", films)
    (data / "sequences.csv").write_text("sequence,label\nreal/00,real\nprint/00,print\n", "utf-8")
    assert main(["statistics", "liveness", "--config", str(config), str(data)]) == 0
    attacks = Statistics.read(models).attacks
    assert [sorted(each.species) for each in attacks.values()] == [["print"]] * len(attacks)
    assert len(attacks) >= 1


def test_a_folder_without_sequences_is_named(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statistics", "liveness", "--config", str(config), str(tmp_path)]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith(f"{tmp_path}: neither sequences.csv (sequence, label) nor")
    )


def test_the_answers_of_the_selftest_are_recorded_anew(models: Path) -> None:
    path = models / "selftest.toml"
    shipped = selftest.read(path)
    path.unlink()
    assert main(["statistics", "selftest", str(models)]) == 0
    recorded = selftest.read(path)
    assert recorded.keys() == shipped.keys()
    assert np.allclose(recorded["float16"].points, shipped["float16"].points, atol=2)
    assert recorded["float16"].embedding @ shipped["float16"].embedding > selftest.COSINE
