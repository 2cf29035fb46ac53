"""The configuration: strict, all mistakes at once, and printed as it will be read."""

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import config, sections, wires
from appliance.access.policy import ClockState, Rules
from appliance.access.schedule import Schedule
from appliance.cli.device import commented
from appliance.config import Config, ConfigError

SECTIONS = Config.model_fields

schedules = st.fixed_dictionaries(
    {"groups": st.lists(st.sampled_from(["staff", "cleaners"]), min_size=1).map(tuple)},
    optional={
        "days": st.lists(st.sampled_from(["mon", "sun"]), min_size=1).map(tuple),
        "begin": st.times().map("{:%H:%M}".format),
        "end": st.times().map("{:%H:%M}".format) | st.just("24:00"),
    },
)

configs = st.fixed_dictionaries(
    {},
    optional={
        "server": st.fixed_dictionaries(
            {},
            optional={
                "host": st.text(min_size=1, max_size=20),
                "port": st.integers(0, 65535),
                "front_port": st.integers(0, 65535),
                "max_body_mib": st.integers(1, 64),
                "max_megapixels": st.floats(0.001, 200),
                "decoded_mib": st.one_of(st.just("auto"), st.integers(16, 65_536)),
                "queue": st.integers(0, 256),
                "patience_s": st.floats(0.001, 30),
                "connections": st.integers(8, 4096),
            },
        ),
        "engine": st.fixed_dictionaries(
            {},
            optional={
                "models": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(
                    Path
                ),
                "engines": st.one_of(st.just("auto"), st.integers(1, 16)),
                "threads": st.integers(1, 16),
                "detector": st.sampled_from(["auto", "int8", "float16"]),
                "embedder": st.sampled_from(["auto", "float16"]),
            },
        ),
        "liveness": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["multi", "single"])}),
        "camera": st.fixed_dictionaries(
            {"source": st.just(Path("films"))},
            optional={
                "driver": st.sampled_from(["auto", "picamera", "v4l2", "replay", "demonstration", "none"]),
                "device": st.just(Path("/dev/video2")),
                "width": st.integers(80, 2048).map(lambda half: 2 * half),
                "fps": st.floats(1, 120),
                "rotation": st.sampled_from([0, 90, 180, 270]),
                "mirror": st.booleans(),
                "autofocus": st.sampled_from(["continuous", "manual"]),
                "exposure_us": st.integers(1, 8_333),  # the longest at the most frames a second
            },
        ),
        "live": st.fixed_dictionaries(
            {}, optional={"viewers": st.integers(0, 64), "analysis_fps": st.floats(0.01, 60)}
        ),
        "access": st.fixed_dictionaries(
            {},
            optional={
                "open": st.booleans(),
                "loopback": st.booleans(),
                "hosts": st.lists(st.sampled_from(["door.lan", "appliance"])).map(tuple),
                "origins": st.lists(st.sampled_from(["https://door.example", "http://[::1]:80"])).map(tuple),
                "restricted": st.lists(st.sampled_from(["/faces", "/alignedfaces", "/similarity"])).map(tuple),
                "expires": st.dates(),
            },
        ),
        "door": st.fixed_dictionaries({}, optional={"schedules": st.lists(schedules, max_size=2).map(tuple)}),
        "inputs": st.fixed_dictionaries(
            {},
            optional={
                "contact": st.sampled_from(
                    [{"pin": 5, "normally": "closed"}, {"pin": 53, "normally": "open", "pull": "down"}]
                ),
                "debounce_s": st.floats(0, 1),
            },
        ),
        "lan": st.fixed_dictionaries(
            {},
            optional={
                "enabled": st.booleans(),
                "name": st.text(
                    st.characters(exclude_characters=".\x7f", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=15
                ),
            },
        ),
        "state": st.fixed_dictionaries({}, optional={"folder": st.just(Path("state"))}),
        "log": st.fixed_dictionaries({}, optional={"level": st.sampled_from(["debug", "info", "warning", "error"])}),
    },
)


@pytest.fixture
def written(tmp_path):
    """Writes a configuration file and returns its path."""

    def write(text):
        path = tmp_path / "appliance.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def mistakes(path, overrides=None):
    with pytest.raises(ConfigError) as caught:
        config.load(path, overrides or {})
    return str(caught.value).splitlines()


def test_without_a_file_the_defaults_hold():
    settings = config.load(None, {})
    assert settings == Config()
    assert (settings.server.host, settings.server.port, settings.server.max_body_mib) == ("127.0.0.1", 9297, 8)


def test_an_empty_file_leaves_the_defaults(written):
    assert config.load(written(""), {}) == Config()


def test_a_file_sets_what_it_names_and_nothing_else(written):
    settings = config.load(
        written(
            '[server]\nport = 8000\n[engine]\nengines = 2\nmodels = "m"\n[access]\nexpires = 2030-12-31\n'
            'restricted = ["/faces"]\n'
        ),
        {},
    )
    assert settings.server == Config().server.model_copy(update={"port": 8000})
    assert (settings.engine.engines, settings.engine.models) == (2, Path("m"))
    assert (settings.access.expires, settings.access.restricted) == (date(2030, 12, 31), ("/faces",))


def test_the_command_line_is_above_the_file(written):
    path = written('[server]\nport = 8000\nhost = "::1"\n')
    settings = config.load(path, {"server": {"port": 1234}})
    assert (settings.server.port, settings.server.host) == (1234, "::1")
    assert config.load(None, {"server": {"port": 1234}}).server.port == 1234
    assert config.load(path, {"server": {}}).server.port == 8000


def test_the_environment_is_above_the_file_and_below_the_command_line(written, monkeypatch):
    variables = {
        "SERVER__PORT": "1234",
        "SERVER__HOST": "0.0.0.0",
        "CAMERA__ROTATION": "90",
        "CAMERA__MIRROR": "true",
        "LAN__NAME": "Side door",
        "ACCESS__HOSTS": '["door.lan"]',
        "DOOR__SCHEDULES": '[{groups = ["staff"]}]',
        "INPUTS__CONTACT": '{pin = 5, normally = "closed"}',
        "MQTT__USERNAME": '"1234"',
        "CONFIG": "read elsewhere",
    }
    for name, text in variables.items():
        monkeypatch.setenv(f"APPLIANCE_{name}", text)
    settings = config.load(written("[server]\nport = 8000\nqueue = 3\n"), {"server": {"host": "::1"}})
    assert (settings.server.host, settings.server.port, settings.server.queue) == ("::1", 1234, 3)
    assert (settings.camera.rotation, settings.camera.mirror, settings.lan.name) == (90, True, "Side door")
    assert (settings.access.hosts, settings.mqtt.username) == (("door.lan",), "1234")
    assert settings.door.schedules[0].groups == ("staff",)
    assert settings.inputs.contact is not None
    assert settings.inputs.contact.pin == 5


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("SERVER__PROT", "1", "server.prot: unknown key (got 1), in the environment variable APPLIANCE_SERVER__PROT"),
        ("SEVER__PORT", "1", "sever: unknown key, in the environment variable APPLIANCE_SEVER__PORT"),
        (
            "SERVER__PORT",
            "many",
            "server.port: must be a whole number (got 'many'), in the environment variable APPLIANCE_SERVER__PORT",
        ),
        ("SERVER__PORT", "1\n[camera]\nfps = 1", "server.port: must be a whole number"),
        ("CAMERA__MIRROR", "yes", "camera.mirror: "),
        ("WEBHOOK__SECRET_FILE", "whsec_hunter2", "webhook.secret_file: this must be the name of a file"),
    ],
)
def test_the_environment_is_checked_like_the_file(monkeypatch, name, text, line):
    monkeypatch.setenv(f"APPLIANCE_{name}", text)
    (mistake,) = mistakes(None)
    assert mistake.startswith(line)
    assert "hunter2" not in mistake


@given(st.dictionaries(st.text(), st.text()))
def test_any_environment_can_be_read(variables):
    tables = config.from_environment({f"APPLIANCE_{name}": text for name, text in variables.items()})
    assert all(tables.values())


def test_the_command_line_is_checked_like_the_file():
    (mistake,) = mistakes(None, {"server": {"port": 70_000}})
    assert mistake.startswith("server.port: ")


def test_all_mistakes_are_reported_at_once_each_with_its_path(written):
    told = mistakes(
        written(
            '[server]\nport = "9297"\nqueue = -1\nspeed = 3\n'
            '[engine]\nengines = "many"\nthreads = 0\ndetector = "int4"\n'
            '[access]\nrestricted = ["/faces", "/nowhere"]\nexpires = "soon"\n'
            "[camera]\nwidth = 641\n[telescope]\nwidth = 640\n"
            '[log]\nlevel = "loud"\n'
        )
    )
    assert {line.split(": ")[0] for line in told} == {
        "server.port",
        "server.queue",
        "server.speed",
        "engine.engines",
        "engine.threads",
        "engine.detector",
        "access.restricted.1",
        "access.expires",
        "camera.width",
        "telescope",
        "log.level",
    }
    assert len(told) == 11


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server]\nspeed = 3", "server.speed: unknown key (got 3)"),
        ("[telescope]\nwidth = 3", "telescope: unknown key"),
        ("speed = 3", "speed: unknown key"),
        (
            '[door]\nschedules = {groups = ["staff"]}',
            "door.schedules: must be a list: [{…}] (got {'groups': ['staff']}), in ",
        ),
        ('[server]\ndecoded_mib = "much"', "must be a whole number or must be 'auto' (got 'much'), in "),
        ('[camera]\ndriver = "replay"', 'camera: driver = "replay" needs a source'),
        ("[camera]\nfps = 50\nexposure_us = 30000", "exposure_us = 30000 is longer than a frame at fps = 50"),
        ('[engine]\nengines = "many"', "got 'many'"),
        ("[server]\nport = 70000", "server.port: must be at most 65535 (got 70000), in "),
    ],
)
def test_a_mistake_says_what_was_found(written, text, line):
    (told,) = mistakes(written(text))
    assert line in told


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "host", "5"),
        ("server", "host", '""'),
        ("server", "port", "true"),
        ("server", "port", "80.5"),
        ("server", "port", "80.0"),
        ("server", "port", "-1"),
        ("server", "port", "65536"),
        ("server", "max_body_mib", "0"),
        ("server", "max_body_mib", "65"),
        ("server", "max_megapixels", "0"),
        ("server", "max_megapixels", "201"),
        ("server", "max_megapixels", "nan"),
        ("server", "max_megapixels", '"40"'),
        ("server", "decoded_mib", "15"),
        ("server", "decoded_mib", '"much"'),
        ("server", "queue", "257"),
        ("engine", "embedder", '"int8"'),
        ("server", "patience_s", "0"),
        ("server", "patience_s", "inf"),
        ("server", "patience_s", "31"),
        ("server", "connections", "7"),
        ("engine", "models", "3"),
        ("engine", "engines", "0"),
        ("engine", "engines", "17"),
        ("engine", "engines", "true"),
        ("engine", "threads", "17"),
        ("engine", "detector", '"float32"'),
        ("liveness", "mode", '"MULTI"'),
        ("camera", "driver", '"webcam"'),
        ("camera", "module", "-1"),
        ("camera", "device", "0"),
        ("camera", "width", "1281"),
        ("camera", "height", "100"),
        ("camera", "fps", "0"),
        ("camera", "rotation", "45"),
        ("camera", "autofocus", "true"),
        ("camera", "gain", "0.5"),
        ("camera", "restart_after_s", "1"),
        ("live", "viewers", "-1"),
        ("live", "analysis_fps", "0"),
        ("live", "jpeg_quality", "101"),
        ("access", "restricted", '"/faces"'),
        ("access", "expires", "2030"),
        ("access", "expires", "2030-01-01T10:30:00"),
        ("lan", "enabled", '"yes"'),
        ("lan", "name", '""'),
        ("lan", "name", '"dotted.name"'),
        ("lan", "name", '"two\\nlines"'),
        ("lan", "name", f'"{"é" * 31}"'),
        ("access", "open", '"yes"'),
        ("access", "loopback", "0"),
        ("access", "origins", '"https://door.example"'),
        ("server", "front_port", "65536"),
        ("relay", "pin", "54"),
        ("relay", "pin", '"GPIO17"'),
        ("relay", "pulse_s", "0"),
        ("webhook", "url", '"ftp://door.example"'),
        ("webhook", "url", '"https://"'),
        ("webhook", "url", '"https://door.example:70000/"'),
        ("webhook", "url", '"https://a..b/"'),
        ("webhook", "url", '"https://door.example/a b"'),
        ("webhook", "url", '"https://door.example/#x"'),
        ("webhook", "timeout_s", "0"),
        ("webhook", "waiting", "0"),
        ("mqtt", "host", '"mqtt://broker"'),
        ("mqtt", "host", '"a..b"'),
        ("mqtt", "port", "0"),
        ("mqtt", "username", '""'),
        ("mqtt", "prefix", '"doors/#"'),
        ("mqtt", "prefix", '"$SYS"'),
        ("state", "folder", "3"),
        ("log", "level", '"INFO"'),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused(written, section, key, value):
    told = mistakes(written(f"[{section}]\n{key} = {value}\n"))
    assert [line.split(": ")[0] for line in told] == [f"{section}.{key}"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hosts", "door.lan:80"),
        ("hosts", "*"),
        ("hosts", ""),
        ("origins", "*"),
        ("origins", "null"),
        ("origins", "door.example"),
        ("origins", "https://door.example/"),
        ("origins", "https://*.example"),
        ("origins", "https://a\\r\\nb"),
    ],
)
def test_what_is_no_name_and_no_origin_is_refused(written, key, value):
    told = mistakes(written(f'[access]\n{key} = ["{value}"]\n'))
    assert [line.split(": ")[0] for line in told] == [f"access.{key}.0"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("webhook.url", "https://door:hunter2@door.example/"),
        ("webhook.url", "https://door.example:hunter2/"),
        ("webhook.secret_file", "whsec_hunter2"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(written, key, value):
    section, _, name = key.partition(".")
    (told,) = mistakes(written(f'[{section}]\n{name} = "{value}"\n'))
    assert told.startswith(f"{key}: ")
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("schedule", "line"),
    [
        ('days = ["mon"]', "groups: is missing"),
        ("groups = []", "groups: at least one"),
        ('groups = ["st aff"]', "groups.0: must be of the form "),
        ('groups = "staff"', "groups: must be a list: […]"),
        ('groups = ["staff"], days = []', "days: at least one"),
        ('groups = ["staff"], days = ["mon", "someday"]', "days.1: must be 'mon', 'tue'"),
        ('groups = ["staff"], begin = "24:00"', "begin: a period cannot begin at the end of a day"),
        ('groups = ["staff"], begin = 07:00:00', "begin: a time of day is a string"),
        ('groups = ["staff"], end = "7:00"', "end: a time of day is a string"),
        ('groups = ["staff"], end = "24:01"', "end: a time of day is a string"),
        ('groups = ["staff"], until = "24:00"', "until: unknown key"),
    ],
)
def test_a_wrong_schedule_is_named_by_its_number_and_its_key(written, schedule, line):
    (told,) = mistakes(written(f'[door]\nschedules = [{{groups = ["guests"]}}, {{{schedule}}}]\n'))
    assert told.startswith(f"door.schedules.1.{line}")
    assert told.count("schedules") == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[inputs]\nfire = {pin = 5}", "inputs.fire.normally: is missing"),
        ('[inputs]\nfire = {pin = 5, normally = "shut"}', "inputs.fire.normally: must be 'open' or 'closed'"),
        ('[inputs]\nfire = {pin = 54, normally = "open"}', "inputs.fire.pin: must be at most 53"),
        ('[inputs]\nfire = {pin = 5, normally = "open", bounce = 1}', "inputs.fire.bounce: unknown key"),
        ("[inputs]\nfire = 5", "inputs.fire: must have keys: {…}"),
        (
            '[relay]\npin = 5\n[inputs]\nfire = {pin = 5, normally = "open"}',
            "GPIO 5 can be one of these only: inputs.fire, relay.pin",
        ),
        (
            '[inputs]\nexit = {pin = 6, normally = "open"}\nfire = {pin = 6, normally = "open"}',
            "GPIO 6 can be one of these only: inputs.exit, inputs.fire",
        ),
        ("[relay]\nuntil_opened = true", "relay.until_opened = true needs inputs.contact"),
    ],
)
def test_a_wrong_input_is_named_in_one_line(written, text, line):
    (told,) = mistakes(written(text))
    assert told.startswith(line)


def test_schedules_become_the_policy_s(written):
    text = '[door]\nschedules = [{groups = ["staff"], days = ["sun", "mon"], begin = "22:00", end = "00:00"}]\n'
    settings = config.load(written(text + 'without_clock = "grant"\nclock = "plausible"\n'), {})
    (schedule,) = Rules.of(**settings.door.rules).schedules
    assert schedule == Schedule(("staff",), ("mon", "sun"), 22 * 60, 0)
    relaxed = Rules((schedule,), clock=ClockState.PLAUSIBLE, without_clock=True)
    assert Rules.of(**settings.door.rules) == relaxed


def test_the_default_policy_is_that_of_the_default_configuration():
    assert Rules.of(**Config().door.rules) == Rules()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_is_none_is_refused(written, section):
    for overrides in ({}, {section: {"port": 1}}):
        (told,) = mistakes(written(f"{section} = 3\n"), overrides)
        assert told.startswith(f"{section}: ")


@pytest.mark.parametrize("text", ["= = =", "[server", "port: 3", "[server]\nport = 1\nport = 2", b"\xff\xfe\x00"])
def test_what_is_no_toml_is_refused_with_the_file_s_name(written, text):
    path = written(text)
    (told,) = mistakes(path)
    assert told.startswith(f"{path}: invalid TOML: ")


def test_a_byte_order_mark_is_read_as_if_it_were_not_there(written):
    text = "[server]\nport = 9303\n"
    assert config.load(written(b"\xef\xbb\xbf" + text.encode()), {}) == config.load(written(text), {})


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert mistakes(tmp_path / "missing.toml") == [f"{tmp_path / 'missing.toml'}: No such file or directory"]
    assert mistakes(tmp_path) == [f"{tmp_path}: Is a directory"]


@given(configs)
def test_what_is_printed_is_what_is_read(tmp_path_factory, tables):
    settings = Config.model_validate(tables)
    path = tmp_path_factory.getbasetemp() / "printed.toml"
    path.write_text(commented(settings), "utf-8")
    assert config.load(path, {}) == settings


def test_every_section_and_key_is_printed_with_what_it_means():
    lines = commented(Config()).splitlines()
    source = " ".join("".join(Path(each.__file__).read_text("utf-8") for each in (sections, wires)).split())
    for name in SECTIONS:
        section = getattr(Config(), name)
        heading = lines.index(f"[{name}]")
        assert lines[heading - 2].startswith("# ")
        assert lines[heading - 2].removeprefix("# ") == type(section).__doc__
        for key in type(section).model_fields:
            printed = (n for n, line in enumerate(lines) if line.startswith((f"{key} = ", f"# {key} =")))
            description = lines[next(n for n in printed if n > heading) - 1].removeprefix("# ")
            assert len(description) > 3, key
            assert re.search(f' {key}: (?:(?!""").)*"""{re.escape(description)} ?"""', source), key


def test_a_configuration_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Config().server.port = 1
