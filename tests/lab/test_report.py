"""What counts as passed, and what is written to a file."""

import json
import math

import pytest
from lab.report import Finding, percentage, print_table, unjudged

from appliance.calibration.rates import Rate


def test_without_a_bound_nothing_is_judged() -> None:
    assert Finding("q", "m", 7).passed
    assert not Finding("q", "m", 7).judged


def test_a_value_on_its_bound_passes() -> None:
    assert Finding("q", "m", 0.3, at_most=0.3).passed
    assert Finding("q", "m", 0.3, at_least=0.3).passed


def test_a_value_over_or_under_its_bound_fails() -> None:
    assert not Finding("q", "m", 0.31, at_most=0.3).passed
    assert not Finding("q", "m", 0.29, at_least=0.3).passed


def test_what_could_not_be_measured_fails() -> None:
    assert not Finding("q", "m", math.nan, at_most=1).passed


def test_a_rate_becomes_percent_with_its_bounds() -> None:
    finding = percentage("q", "FMR", Rate(0, 500), at_most=0.3)
    assert (finding.measure, finding.value, finding.interval, finding.passed) == ("FMR (0/500)", 0.0, (0.0, 0.6), True)


def test_json_has_no_infinities_and_no_nan() -> None:
    record = Finding("q", "m", math.nan, at_most=1).as_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["value"], record["at_least"], record["at_most"], record["passed"]) == (None, None, 1, False)


def test_json_of_what_is_not_judged() -> None:
    assert Finding("q", "m", 2).as_json()["passed"] is None


def test_a_finding_is_a_line_of_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([percentage("verification", "TMR at 0.5", Rate(98, 100), at_least=99)])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "TMR at 0.5 (98/100)" in line)
    assert [column for column in ("98 %", "≥ 99", "FAIL") if column in line] == ["98 %", "≥ 99", "FAIL"]


def test_without_bounds_there_is_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(unjudged([percentage("verification", "TMR at 0.5", Rate(98, 100), at_least=99)]))
    out = capsys.readouterr().out
    assert "98 %" in out
    assert not any(word in out for word in ("wanted", "FAIL", "pass", "≥"))


def test_why_there_is_no_value_stands_in_its_place() -> None:
    finding = Finding("q", "TMR at FMR 0.1 %", math.nan, "%", note="too few")
    assert finding.texts[0] == "too few"
    assert Finding("q", "m", math.nan, "%").texts[0] == "none"
    assert finding.as_json()["note"] == "too few"
    assert "note" not in Finding("q", "m", 2).as_json()


def test_names_of_folders_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([Finding("q", "APCER [/red] at 0.5", 1)])
    assert "APCER [/red] at 0.5" in capsys.readouterr().out
