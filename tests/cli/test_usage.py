"""Help, wrong usage, wrong configuration, and a reader who has enough: exit status and output, without a traceback."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import appliance
from appliance import __version__
from appliance.cli import options
from appliance.cli.main import function_of, main
from appliance.config import Config


def test_version_and_help(run):
    assert run("--version").stdout.strip() == __version__
    shown = run("--help")
    assert shown.returncode == 0
    for command in (
        "serve",
        "discover",
        "keys",
        "detect",
        "compare",
        "liveness",
        "evaluate",
        "selftest",
        "bench",
    ):
        assert re.search(rf"^ +{command} +\S", shown.stdout, re.MULTILINE), command


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "discover",
        "keys add",
        "keys list",
        "keys revoke",
        "detect",
        "compare",
        "liveness",
        "evaluate",
        "calibrate similarity",
        "calibrate liveness",
        "selftest",
        "bench",
    ],
)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    assert "--config FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("detect",),
        ("compare", "one.jpg"),
        ("liveness",),
        ("evaluate", "verification"),
        ("evaluate", "age", "folder"),
        ("evaluate", "pose", "folder", "--workers", "0"),
        ("detect", "a.jpg", "--minsize", "0"),
        ("detect", "a.jpg", "--detectcount", "many"),
        ("serve", "--port", "http"),
        ("selftest", "--loud"),
        ("discover", "--timeout", "0"),
        ("discover", "--timeout", "nan"),
        ("bench", "everything"),
        ("bench", "--requests", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_said_on_standard_error(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("usage: ")) == ("", True)


def test_one_drawing_of_two_photos_is_wrong_usage(run):
    done = run("detect", "a.jpg", "b.jpg", "--picture", "c.png")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "--picture takes one photo\n")


@pytest.mark.parametrize(
    "line",
    ["--help", "people --help", "people add", "policy explain --faces -1", "detect", "calibrate similarity --fmr 1"],
)
def test_help_and_wrong_usage_load_no_numpy_or_pictures(environment, line):
    program = (
        "import sys; from appliance.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'cv2', 'numpy', 'PIL', 'pydantic', 'ai_edge_litert', 'tflite_runtime'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split()],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=True,
    )
    assert done.stdout.endswith("[]\n")


def test_every_command_has_a_function():
    def functions(parser):
        for action in parser._subparsers._group_actions if parser._subparsers else ():
            for each in action.choices.values():
                if run := each.get_default("run"):
                    yield run
                yield from functions(each)

    found = list(functions(options.parser()))
    assert len(found) > 25
    for run in found:
        assert callable(function_of(run)), run


@pytest.mark.parametrize("command", [("serve", "--print-config"), ("detect", "a.jpg")], ids=" ".join)
def test_a_wrong_configuration_is_78_in_every_command(run, tmp_path, command):
    path = tmp_path / "appliance.toml"
    path.write_text("[server]\nport = -1\nspeed = 1\n", "utf-8")
    done = run(*command, "--config", path)
    assert (done.returncode, done.stdout) == (78, "")
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["server.port", "server.speed"]


def test_print_config_prints_what_is_in_effect(run, tmp_path):
    path = tmp_path / "appliance.toml"
    path.write_text('[server]\nport = 8000\n[log]\nlevel = "error"\n', "utf-8")
    done = run("serve", "--config", path, "--host", "0.0.0.0", "--print-config")
    assert (done.returncode, done.stderr) == (0, "")
    printed = Config.model_validate(tomllib.loads(done.stdout))
    assert (printed.server.port, printed.server.host, printed.log.level) == (8000, "0.0.0.0", "error")


@pytest.mark.parametrize(
    ("flags", "command"),
    [((), ("serve", "--print-config")), (("-u",), ("serve", "--print-config")), (("-u",), ("compare", "{}", "{}"))],
    ids=str,
)
def test_a_reader_who_is_gone_is_no_error(environment, photos, quick, flags, command):
    arguments = [part.format(photos / "hopper.jpg") for part in command]
    process = subprocess.Popen(
        [sys.executable, *flags, "-m", "appliance", *arguments, "--config", str(quick)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    process.stdout.close()
    told = [line for line in process.stderr.read().splitlines() if not line.startswith("INFO: ")]
    process.stderr.close()
    assert (process.wait(timeout=60), told) == (0, [])


def test_a_reader_who_takes_one_line_of_many_is_no_error(environment, photos, quick):
    many = [str(photos / "hopper.jpg")] * 12
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "detect", "--json", "--config", str(quick), *many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline().startswith('{"file"')
    process.stdout.close()
    told = [line for line in process.stderr.read().splitlines() if not line.startswith("INFO: ")]
    process.stderr.close()
    assert (process.wait(timeout=60), told) == (0, [])


def test_without_the_lab_its_commands_say_how_to_get_them(tmp_path):
    packages = tmp_path / "packages"
    packages.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "face_appliance_lab" not in each.name:
            (packages / each.name).symlink_to(each)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(appliance.__file__).parents[1]), str(packages)]),
    }
    for arguments in (("evaluate", "all", "pictures", "--judge"), ("bench", "--quick"), ("--help",)):
        command = [sys.executable, "-S", "-m", "appliance", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment, check=False
        )
        said = done.stdout + done.stderr
        assert "pip install ./scripts/lab" in " ".join(said.split())
        assert (done.returncode, said.count("\n")) == (2, 1) or arguments == ("--help",)
