"""The commands, as somebody types them: what they print, where, and with which exit status."""

import json
import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from appliance.cli.main import main
from appliance.vision.manifest import Role


@pytest.fixture(scope="module")
def detected(run, photos, quick):
    """Many photos, of which some cannot be read."""
    return run(
        "detect", "--config", quick, "text.jpg", "portrait.jpg", "missing.jpg", "cut.jpg", "hopper.jpg", folder=photos
    )


@pytest.fixture(scope="module")
def detected_json(run, photos, quick):
    return run(
        "detect", "--config", quick, "--json", "text.jpg", "missing.jpg", "portrait.jpg", "hopper.jpg", folder=photos
    )


def complaints(done):
    """Standard error without what the runtime says of itself."""
    return [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]


def test_detect_prints_each_photo_s_faces(detected):
    lines = detected.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["portrait.jpg: 1 face", "hopper.jpg: 1 face"]
    assert re.fullmatch(r" +1 +111\.\d px at \(168\.\d, 63\.\d\) +yaw .* pitch .* roll .* score 0\.\d+", lines[1])


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(detected):
    assert detected.returncode == 1
    told = complaints(detected)
    assert [line.split(": ")[0] for line in told] == ["text.jpg", "missing.jpg", "cut.jpg"]
    assert [("INF-04" in line) for line in told] == [True, False, True]
    assert "No such file" in told[1]


def test_json_has_one_object_a_photo_as_the_api_answers(detected_json):
    answers = [json.loads(line) for line in detected_json.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == ["text.jpg", "missing.jpg", "portrait.jpg", "hopper.jpg"]
    assert [answer["return_msg"]["return_code"] for answer in answers] == ["INF-04", "INF-03", "INF-00", "INF-00"]
    assert detected_json.returncode == 1
    for answer in answers[2:]:
        (face,) = answer["faces"]
        assert answer["count"] == 1
        assert face["box"]["width"] == face["box"]["height"]
        assert len(face["landmark"]["lm_points"]) == 106
        assert set(face["pose"]) == {"yaw", "pitch", "roll"}
        assert 0.5 < face["score"] <= 1


HTTP = {"bottle", "multipart", "prometheus_client", "waitress"}

WITHOUT_HTTP = f"""
import sys
from appliance.cli.main import main
status = main(sys.argv[1:])
sys.exit(status or ", ".join({HTTP!r} & set(sys.modules)) or 0)
"""


def test_detect_imports_no_http(photos, quick):
    command = [sys.executable, "-c", WITHOUT_HTTP, "detect", "--config", quick, photos / "portrait.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, complaints(done)) == (0, [])
    assert "1 face" in done.stdout


def test_detect_draws_into_a_picture(run, photos, quick, tmp_path, hopper):
    out = tmp_path / "drawn.png"
    done = run("detect", "--config", quick, photos / "hopper.jpg", "--picture", out)
    assert (done.returncode, complaints(done)) == (0, [])
    drawn, photo = Image.open(out), Image.open(BytesIO(hopper))
    assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", photo.size)
    differs = np.abs(np.asarray(drawn).astype(int) - np.asarray(photo)).max(axis=2) > 60
    assert differs[113:325, 157:369].any()
    assert not differs[400:].any()


def test_a_picture_that_cannot_be_written_is_named(run, photos, quick, tmp_path):
    done = run("detect", "--config", quick, photos / "hopper.jpg", "--picture", tmp_path / "none" / "drawn.png")
    assert done.returncode == 1
    (told,) = complaints(done)
    assert "drawn.png" in told


def test_sizes_and_count_are_limits(run, photos, quick):
    done = run(
        "detect", "--config", quick, "--minsize", 150, "--detectcount", 1, "portrait.jpg", "hopper.jpg", folder=photos
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert (done.returncode, lines) == (0, ["portrait.jpg: 0 faces", "hopper.jpg: 1 face"])


@pytest.mark.parametrize(("other", "same"), [("portrait.jpg", True), ("hopper.jpg", False)])
def test_compare_tells_whether_two_photos_show_one_person(run, photos, quick, other, same):
    done = run("compare", "--config", quick, photos / "portrait.jpg", photos / other)
    assert (done.returncode, complaints(done)) == (0, [])
    match = re.fullmatch(r"similarity ([01]\.\d{4}) \(0\.5 and above: the same person\)\n", done.stdout)
    assert (float(match[1]) > 0.5) is same


def test_compare_says_why_it_cannot(run, photos, quick):
    done = run("compare", "--config", quick, photos / "portrait.jpg", photos / "missing.jpg")
    (told,) = complaints(done)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"missing\.jpg: No such file", told)


def test_compare_names_the_photo_that_is_none(photos, quick, capsys):
    for first, second in (("text.jpg", "portrait.jpg"), ("portrait.jpg", "text.jpg")):
        assert main(["compare", "--config", str(quick), str(photos / first), str(photos / second)]) == 1
        told = capsys.readouterr().err
        assert f"{photos / 'text.jpg'}: INF-04" in told
        assert "portrait" not in told


@pytest.mark.parametrize("source", ["frames.zip", "frames"])
def test_liveness_judges_a_zip_and_a_folder_alike(run, photos, quick, source):
    done = run("liveness", "--config", quick, photos / source)
    verdict, rests_on = done.stdout.splitlines()
    assert (done.returncode, complaints(done)) == (0, [])
    assert float(re.match(r"confidence ([01]\.\d+) ", verdict)[1]) <= 0.30
    assert "still" in rests_on


@pytest.mark.parametrize(("source", "reason"), [("text.jpg", "INF-22"), (".", "INF-23")])
def test_liveness_says_why_it_cannot(run, photos, quick, source, reason):
    done = run("liveness", "--config", quick, photos / source)
    (told,) = complaints(done)
    assert (done.returncode, done.stdout, reason in told) == (1, "", True)


def test_selftest_has_a_line_for_each_role(run):
    done = run("selftest")
    assert (done.returncode, complaints(done)) == (0, [])
    assert len({line.rindex(" ", 0, line.index(" works")) for line in done.stdout.splitlines()}) == 1
    roles = [re.fullmatch(r"(\w+) +(int8|float16) works", line)[1] for line in done.stdout.splitlines()]
    assert roles == list(Role)


def test_selftest_fails_without_models(run, tmp_path):
    path = tmp_path / "appliance.toml"
    path.write_text(f'[engine]\nmodels = "{tmp_path}"\n', "utf-8")
    done = run("selftest", "--config", path)
    codes = [re.search(r"INF-\d\d", line)[0] for line in done.stdout.splitlines()]
    assert (done.returncode, codes) == (1, ["INF-06"] * 3 + ["INF-07"] * 2)
    assert "Traceback" not in done.stderr
