"""`appliance policy explain`: what each rule says of who might come, and which decided."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from people_of_nowhere import MODEL, face

from appliance.access.challenge import Response
from appliance.access.log import RECORD_FILE, Record
from appliance.access.policy import RULES, ClockState
from appliance.access.reason import Reason
from appliance.access.token import Direction
from appliance.cli import door, options
from appliance.config import load
from appliance.gallery import vault
from appliance.gallery.gallery import FILE, Gallery
from appliance.gallery.people import Person, Source, new_reference
from appliance.gallery.pin import StoredPin
from appliance.gallery.search import Outcome

DOOR = """
[state]
folder = "{folder}"
[gallery]
key_file = "{folder}/key"
[door]
passback_s = 60
schedules = [
    {{groups = ["staff"], days = ["mon", "tue", "wed", "thu", "fri"], begin = "07:00", end = "19:00"}},
    {{groups = ["cleaners"], days = ["fri"], begin = "22:00", end = "06:00"}},
]
"""

THURSDAY = "2026-11-26"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A configured door, before which nobody is known yet."""
    folder = tmp_path_factory.mktemp("door")
    path = folder / "door.toml"
    path.write_text(DOOR.format(folder=folder), "utf-8")
    return path


@pytest.fixture(scope="module")
def ada(tmp_path_factory):
    """Another, at which Ada, of the staff, went in at eight; her last day is in December."""
    folder = tmp_path_factory.mktemp("ada")
    path = folder / "door.toml"
    path.write_text(DOOR.format(folder=folder), "utf-8")
    gallery = Gallery(folder / FILE, vault.make_site_key(folder / "key"))
    person = Person("1815", "Ada", ("staff",), None, date(2026, 12, 31), new_reference(), datetime.now(UTC))
    someone = gallery.add(person).person
    gallery.enrol(person.id, face(0), MODEL, 0.75, Source.PHOTO)
    gallery.set_pin(person.id, StoredPin.of("271828", None))
    gallery.add(replace(person, id="1852", name="Eve", reference=new_reference()))
    gallery.note_passage(someone.reference, "in", datetime.fromisoformat(f"{THURSDAY}T08:00").astimezone())
    gallery.close()
    return path


def parsed(*arguments):
    return options.parser().parse_args(["policy", "explain", *arguments])


@pytest.fixture
def explained(capsys):
    """What a dry run says, as JSON, without the start of a process each time."""

    def explain(path, *arguments):
        assert door.explain(parsed("--json", *arguments), load(path, {})) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out)

    return explain


def files(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_every_rule_is_a_line_and_the_one_that_decided_is_named(run, config):
    done = run("policy", "explain", "--config", config, "--groups", "staff", "--at", f"{THURSDAY}T06:59")
    assert (done.returncode, done.stderr) == (0, "")
    *rows, empty, assumed, end = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == list(RULES)
    assert empty == ""
    assert end == "denied by schedule: outside_schedule (not at this time)"
    assert assumed.endswith("; the clock is synchronised (--clock)")
    (row,) = (row for row in rows if row.startswith("schedule"))
    assert row.split(maxsplit=2)[1:] == [
        "failed",
        "thu 06:59 is in none of: staff: mon tue wed thu fri 07:00-19:00",
    ]


def test_holidays_and_open_periods_are_explained(explained, tmp_path):
    path = tmp_path / "door.toml"
    periods = """
holidays = [2026-11-26]
open_periods = [
    {days = ["thu", "fri"], begin = "09:00", end = "12:00"},
    {days = ["fri"], begin = "12:00", end = "18:00", groups = ["staff"]},
]
"""
    path.write_text(DOOR.format(folder=tmp_path).replace("passback_s = 60", periods), "utf-8")
    for at, reason, state in (
        ("2026-11-26T10:00", "outside_schedule", "the door is locked"),
        ("2026-11-27T10:00", "granted", "the door is open for everyone: thu fri 09:00-12:00"),
        (
            "2026-11-27T12:00",
            "granted",
            "the door is open for everyone, from the first grant on: staff: fri 12:00-18:00",
        ),
        ("2026-11-27T18:00", "granted", "the door is locked"),
    ):
        told = explained(path, "--groups", "staff", "--at", at)
        assert (told["reason"], told["door"]) == (reason, state)
    told = explained(path, "--groups", "staff", "--at", "2026-11-27T10:00", "--clock", "plausible")
    assert told["door"] == "the door is locked"
    step = explained(path, "--groups", "staff", "--at", "2026-11-26T10:00")["steps"]
    assert "holiday 10:00 is in none of" in next(each["text"] for each in step if each["rule"] == "schedule")


def test_what_is_granted_says_so(run, config):
    done = run("policy", "explain", "--config", config, "--groups", "staff", "--at", f"{THURSDAY}T07:00")
    assert done.stdout.splitlines()[-1] == "granted: every rule passed"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--groups", "cleaners,staff"], "granted"),
        (["--groups", "cleaners"], "outside_schedule"),
        (["--groups", "cleaners", "--at", "2026-11-28T05:59"], "granted"),
        (["--groups", "guests"], "no_schedule"),
        ([], "no_schedule"),
        (["--blind"], "camera_blind"),
        (["--full"], "record_unavailable"),
        (["--repeated"], "nonce_repeated"),
        (["--not-followed"], "not_followed"),
        (["--turned"], "not_upright"),
        (["--swapped"], "another_person"),
        (["--faces", "0"], "nobody"),
        (["--faces", "2"], "more_than_one_person"),
        (["--liveness", "0.4"], "not_live"),
        (["--liveness", "off"], "liveness_off"),
        (["--quality", "0.3"], "poor_picture"),
        (["--outcome", "unknown"], "unknown"),
        (["--outcome", "ambiguous"], "ambiguous"),
        (["--groups", "staff", "--clock", "plausible"], "clock_not_synchronised"),
        (["--groups", "staff", "--clock", "unset"], "clock_unset"),
        (["--groups", "staff", "--valid-from", "2026-11-27"], "not_yet_valid"),
        (["--groups", "staff", "--valid-until", "2026-11-25"], "no_longer_valid"),
        (["--groups", "staff", "--last", f"in@{THURSDAY}T07:59:30"], "too_soon"),
        (["--groups", "staff", "--last", f"out@{THURSDAY}T07:59:30"], "granted"),
        (["--groups", "staff", "--last", "never"], "granted"),
        (["--groups", "staff", "--direction", "out", "--last", f"out@{THURSDAY}T07:59:30"], "too_soon"),
    ],
)
def test_whatever_can_be_supposed_decides(explained, config, arguments, reason):
    at = [] if "--at" in arguments else ["--at", f"{THURSDAY}T08:00"]
    told = explained(config, *arguments, *at)
    assert told["reason"] == reason
    assert told["text"] == Reason(reason).text
    assert told["result"] == ("granted" if reason == "granted" else "denied")
    assert [step["rule"] for step in told["steps"]] == list(RULES)


def test_a_person_of_the_gallery_is_explained_and_nothing_is_changed(explained, ada):
    before = files(ada.parent)
    assert explained(ada, "--person", "1815", "--at", f"{THURSDAY}T08:00:59")["reason"] == "too_soon"
    assert explained(ada, "--person", "1815", "--at", f"{THURSDAY}T08:01")["reason"] == "granted"
    assert explained(ada, "--person", "1815", "--at", "2027-01-01T08:00")["reason"] == "no_longer_valid"
    told = explained(ada, "--person", "1815", "--at", "2027-01-01T08:00", "--valid-until", "2027-01-31")
    assert told["reason"] == "granted"
    assert {path: content for path, (_, content) in before.items()} == {
        path: content for path, (_, content) in files(ada.parent).items()
    }


def test_an_unknown_person_is_reported_in_one_line(run, ada, config):
    done = run("policy", "explain", "--config", ada, "--person", "1853")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "1853" in done.stderr
    done = run("policy", "explain", "--config", config, "--person", "1815")
    assert (done.returncode, done.stderr) == (1, "1815: there is no gallery here yet\n")
    assert not (config.parent / FILE).exists()
    assert not (config.parent / "key").exists()


def test_a_device_without_liveness_says_so(explained, tmp_path):
    path = tmp_path / "single.toml"
    path.write_text('[liveness]\nmode = "single"\n', "utf-8")
    assert explained(path)["reason"] == "liveness_off"
    path.write_text('[liveness]\nmode = "single"\n[door]\nwithout_liveness = "grant"\n', "utf-8")
    told = explained(path)
    assert told["result"] == "granted"
    assert [step["rule"] for step in told["steps"] if step["mark"] == "relaxed"] == ["liveness"]


def test_without_a_time_it_is_now_by_this_clock(explained, tmp_path):
    path = tmp_path / "door.toml"
    path.write_text(DOOR.format(folder=tmp_path), "utf-8")
    told = explained(path)
    assert abs(datetime.fromisoformat(told["now"]) - datetime.now(UTC)) < timedelta(minutes=1)
    ahead = Record(tmp_path / RECORD_FILE, lambda: datetime.now(UTC) + timedelta(days=1))
    ahead.append("decision", {})
    assert explained(path)["clock"] in ("unset", "synchronised")  # it was later already


@pytest.mark.parametrize(
    "arguments",
    [
        ["--person", "1815", "--groups", "staff"],
        ["--at", "tomorrow"],
        ["--liveness", "2"],
        ["--liveness", "on"],
        ["--quality", "-1"],
        ["--faces", "-1"],
        ["--outcome", "maybe"],
        ["--direction", "up"],
        ["--clock", "late"],
        ["--last", "in"],
        ["--last", "in@noon"],
        ["--groups", "a b"],
        ["--valid-from", "soon"],
    ],
)
def test_what_cannot_be_supposed_is_wrong_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_the_words_are_those_of_the_rules():
    assert tuple(Direction) == options.DIRECTIONS
    assert tuple(ClockState) == options.CLOCKS
    assert tuple(Outcome) == options.OUTCOMES
    assert (*Response, options.NONE) == options.RESPONSES


@pytest.mark.parametrize(
    ("arguments", "reason", "text"),
    [
        ([], "granted", "always: passed"),
        (["--challenge", "none"], "challenge_required", "always: none yet"),
        (["--challenge", "lost"], "challenge_failed", "always: lost"),
        (["--challenge", "not_asked"], "challenge_limit", "always: too many failed ones"),
    ],
)
def test_the_end_of_a_challenge_is_explained(ada, explained, tmp_path, arguments, reason, text):
    path = tmp_path / "door.toml"
    head, _, _ = ada.read_text("utf-8").partition("schedules")
    path.write_text(f'{head}challenge = "always"\n', "utf-8")
    said = explained(path, *arguments, "--at", f"{THURSDAY}T12:00", "--last", "never")
    assert said["reason"] == reason
    assert {step["rule"]: step["text"] for step in said["steps"]}["challenge"] == text


@pytest.mark.parametrize(
    ("arguments", "reason", "text"),
    [
        (["--person", "1815"], "granted", "face+pin: the PIN is right"),
        (["--person", "1815", "--pin", "none"], "pin_required", "face+pin: no PIN yet"),
        (
            ["--person", "1815", "--pin", "slowed"],
            "pin_slowed",
            "face+pin: after too many wrong PINs it was not compared",
        ),
        (["--person", "1852", "--outcome", "identified"], "pin_unset", "face+pin: the person has no PIN"),
        (["--groups", "staff"], "granted", "face+pin: the PIN is right"),
        (["--groups", "guests"], "granted", "face|pin: the face is enough"),
        (["--groups", "guests", "--outcome", "unknown", "--pin", "right"], "granted", "face|pin: the PIN is right"),
        (["--groups", "staff", "--outcome", "unknown", "--pin", "right"], "wrong_pin", "face+pin: an id and a PIN"),
        (["--outcome", "unknown"], "pin_instead", "nothing to judge"),
    ],
)
def test_the_factors_of_a_person_are_explained(ada, explained, tmp_path, arguments, reason, text):
    table = '[{factors = "face+pin", groups = ["staff"], days = ["thu"]}, {factors = "face|pin"}]'
    path = tmp_path / "door.toml"
    head, _, _ = ada.read_text("utf-8").partition("schedules")
    path.write_text(f"{head}factors = {table}\n", "utf-8")
    said = explained(path, *arguments, "--at", f"{THURSDAY}T12:00", "--last", "never")
    assert said["reason"] == reason
    assert said["steps"][-1]["text"].startswith(text)


def test_a_person_without_templates_is_not_recognised(explained, ada):
    at = ["--at", f"{THURSDAY}T12:00", "--last", "never"]
    told = explained(ada, "--person", "1852", *at)
    assert told["reason"] == "unknown"
    assert told["assumed"][0].startswith("1852 is not recognised, because they have no templates")
    assert explained(ada, "--person", "1852", "--outcome", "identified", *at)["result"] == "granted"


def test_what_is_assumed_is_told_with_the_option_that_would_say_it(explained, ada):
    told = explained(ada, "--person", "1815", "--last", "never", "--clock", "synchronised")
    assert told["assumed"] == [
        "the face is recognised (--outcome)",
        "the picture is of a living person (--liveness)",
    ]
    said = ["--outcome", "identified", "--liveness", "1", "--clock", "unset"]
    assert explained(ada, *said)["assumed"] == []
