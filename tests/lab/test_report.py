"""What counts as passed, and what is written to a file."""

import json
import math

from lab.report import Finding, as_json, percentage, print_table, unjudged, value_text
from rich.console import Console

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
    (record,) = as_json([Finding("q", "m", math.nan, at_most=1)])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["value"], record["at_least"], record["at_most"], record["passed"]) == (None, None, 1, False)


def test_json_of_what_is_not_judged() -> None:
    assert as_json([Finding("q", "m", 2)])[0]["passed"] is None


def test_a_finding_is_a_line_of_eighty_columns() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        print_table([percentage("verification", "TMR at 0.5", Rate(98, 100), at_least=99)], console)
    (line,) = (line for line in capture.get().splitlines() if "TMR at 0.5 (98/100)" in line)
    assert [column for column in ("98 %", "≥ 99", "FAIL") if column in line] == ["98 %", "≥ 99", "FAIL"]


def test_without_bounds_there_is_no_verdict() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        print_table(unjudged([percentage("verification", "TMR at 0.5", Rate(98, 100), at_least=99)]), console)
    assert "98 %" in capture.get()
    assert not any(word in capture.get() for word in ("wanted", "FAIL", "pass", "≥"))


def test_why_there_is_no_value_stands_in_its_place() -> None:
    finding = Finding("q", "TMR at FMR 0.1 %", math.nan, "%", note="too few")
    assert value_text(finding) == "too few"
    assert value_text(Finding("q", "m", math.nan, "%")) == "none"
    assert as_json([finding])[0]["note"] == "too few"
    assert "note" not in as_json([Finding("q", "m", 2)])[0]


def test_names_of_folders_are_no_markup() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        print_table([Finding("q", "APCER [/red] at 0.5", 1)], console)
    assert "APCER [/red] at 0.5" in capture.get()
