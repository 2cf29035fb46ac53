"""What is said while people stand before the camera, and what comes of it."""

import pytest

from appliance.calibration.points import REAL, CalibrationError, Rounds
from appliance.calibration.statistics import Attacks
from appliance.cli import calibrate
from appliance.cli.calibrate import Device, InUse, NoJudgement, from_rounds, progress_text

MODEL = "a" * 64
IN_USE = InUse(MODEL, "liveness.tflite", 0.0, None)
SHIPPED = Attacks(model=MODEL, file="liveness.tflite", species={"print": (-9.0, -8.0), "replay": (-7.0,)})


def rounds(**sequences):
    return Rounds(model=MODEL, sequences=sequences)


def told(found):
    return list(calibrate.lines(found))


def test_progress_is_described_in_words():
    assert progress_text(REAL, [], 0.0, NoJudgement.FACE) == "real: 0 sequences · no face"
    assert progress_text(REAL, [1.0, -1.0, 0.0], 0.0, 0.0) == "real: 3 sequences, 67 % live now"
    assert progress_text("print", [-1.0], 0.0, NoJudgement.PICTURE).endswith("0 % live now · no picture yet")


def test_real_people_alone_with_the_bundled_attacks():
    found = from_rounds(IN_USE, rounds(real=(-3.0, *range(19))), SHIPPED, 0.05, 0.05)
    assert told(found) == [
        "liveness.tflite, from camera: 20 real sequences",
        "  threshold (log odds): 0.0000, before: 0.0000",
        "  BPCER: 5 % [0.888 … 23.6], 1 of 20 (wanted: at most 5 %)",
        "  APCER print (bundled): 0 % [at most 100 %, rule of three], 0 of 2 (wanted: at most 5 %)",
        "  APCER replay (bundled): 0 % [at most 100 %, rule of three], 0 of 1 (wanted: at most 5 %)",
        "60 sequences of as many people are enough to show the BPCER: run the command again to add a round",
        "no attack was tried here, so the APCER of this camera is not known: add `--attack print` and `--attack replay`",
    ]


def test_the_shipped_threshold_is_lowered_only_when_the_attacks_were_tried():
    real = (-2.0,) * 5 + (1.0,) * 20
    print_, replay = (-9.0,) * 20, (-7.0,) * 20
    found = from_rounds(IN_USE, rounds(real=real, print=print_), SHIPPED, 0.05, 0.05)
    assert found.points[0].entry.threshold == 0
    assert any("rejects 20 % of real people instead of 5 %; it is lowered only after" in note for note in found.notes)
    found = from_rounds(IN_USE, rounds(real=real, print=print_, replay=replay), SHIPPED, 0.05, 0.05)
    assert found.points[0].entry.threshold == pytest.approx(-4.5)


def test_attacks_of_this_camera_stand_beside_the_bundled_ones():
    found = from_rounds(IN_USE, rounds(real=(5.0, *range(6, 25)), print=(1.0, 0.0)), SHIPPED, 0.04, 0.05)
    (point,) = found.points
    assert point.entry.threshold == pytest.approx(3)
    assert set(point.entry.measured) == {"bpcer", "apcer print", "apcer print (bundled)", "apcer replay (bundled)"}
    assert point.entry.counts == {"real_sequences": 20, "print_sequences": 2}


def test_the_cost_of_rejecting_attacks_is_reported():
    found = from_rounds(IN_USE, rounds(real=tuple(map(float, range(20))), replay=(4.5,)), SHIPPED, 0.05, 0.05)
    assert "keeping the APCER costs a BPCER of 25 % instead of 5 %" in found.notes
    assert any(line.endswith("5 of 20 (wanted: at most 5 % and NOT kept)") for line in told(found))


def test_an_operating_point_that_turns_most_people_away_is_none():
    with pytest.raises(CalibrationError, match="19 of 25 real people would be rejected"):
        from_rounds(IN_USE, rounds(real=(-15.0,) * 19 + (1.0,) * 6), SHIPPED, 0.05, 0.05)


def test_without_bundled_attacks_the_shipped_threshold_stays():
    found = from_rounds(IN_USE, rounds(real=(-1.0,) * 9 + (1.0,) * 11), None, 0.05, 0.05)
    assert found.points[0].entry.threshold == 0
    assert set(found.points[0].entry.measured) == {"bpcer"}


@pytest.mark.parametrize("url", ["https://door", "door:9297", "http://", ""])
def test_what_is_no_address_of_a_device_is_refused(url):
    with pytest.raises(CalibrationError, match="is not http://HOST:PORT"):
        Device(url, None)
