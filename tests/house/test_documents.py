"""The README and the pages of `docs/`: their commands run as printed, their settings are valid, their links have targets.

A page is one session in a clone: `sh` runs its blocks in order, beside a demonstration device of its own. Three things differ
from what is printed, because tests run side by side: the port, the folder `/tmp/` and the path of the command `appliance`. The
device and the commands have the settings below.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from devices import Child
from elsewhere import ELSEWHERE, SYSTEM_TEST
from pages import PAGES, ROOT, Block, agrees, blocks, commands, inline

from appliance import config

ADDRESS = "http://127.0.0.1:9297"

SETTINGS = '[engine]\ndetector = "float16"\nliveness = "float16"\n[camera]\nfps = 6\n'
"""The printed numbers are those of float16; a busy computer may find that int8 is faster. Six frames are enough."""

SESSION = """set -eua
[ ! -e {saved} ] || . {saved}
{commands}
export -p >{saved}
"""
"""The variables of a block are there in the next one, as in one terminal."""

README_LINES = 250


def is_elsewhere(block: Block) -> bool:
    """Whether it is listed as not run here. Raises AssertionError when only a part of it is."""
    listed = [command for command in commands(block) if command in ELSEWHERE]
    assert listed in ([], commands(block)), f"{block.page}: only {listed} of these are listed:\n{block.text}"
    assert listed or "sudo " not in block.text, f"{block.page}: root is needed, and it is not listed:\n{block.text}"
    return bool(listed)


class Session:
    """One terminal beside one device."""

    def __init__(self, child: Child, folder: Path) -> None:
        self._port = child.listening().port
        self._folder = folder
        self._environment = {
            **os.environ,
            "APPLIANCE_CONFIG": str(child.log_file.with_name("config.toml")),
            "STATE_DIRECTORY": str(child.state),
            "XDG_CONFIG_HOME": str(child.log_file.parent / "config"),
        }

    def prints(self, block: Block) -> str:
        """What the commands of a block print."""
        script = (
            block.text.replace(ADDRESS, f"http://127.0.0.1:{self._port}")
            .replace("/tmp/", f"{self._folder}/")
            .replace(".venv/bin/appliance", str(Path(sys.executable).parent / "appliance"))
        )
        done = subprocess.run(
            ["sh", "-c", SESSION.format(saved=self._folder / "saved", commands=script)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=self._environment,
            check=False,
        )
        assert done.returncode == 0, f"{block.page}:\n{block.text}{done.stderr}"
        return done.stdout


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    (tmp_path / "device").mkdir()
    (tmp_path / "terminal").mkdir()
    with Child(tmp_path / "device", SETTINGS, ("--port", "0", "--demonstration")) as child:
        child.ready()
        child.logged(r"pictures of \d+ x \d+")
        yield Session(child, tmp_path / "terminal")


@pytest.mark.timeout(300)  # ten programs are started one after the other, beside other tests
@pytest.mark.parametrize("page", [page for page in PAGES if any(not is_elsewhere(b) for b in blocks(page, "sh"))])
def test_the_commands_of_a_page_print_what_it_shows(page: str, session: Session) -> None:
    for block in blocks(page, "sh"):
        if not is_elsewhere(block):
            printed = session.prints(block)
            assert block.answer is None or agrees(block.answer, printed), f"{block.text}{printed}"


def test_every_command_that_is_run_elsewhere_is_on_a_page() -> None:
    shown = {command for page in PAGES for block in blocks(page, "sh") for command in commands(block)}
    assert set(ELSEWHERE) - shown == set()


def test_the_system_test_reads_the_pages_for_what_it_runs_as_printed(root: Path) -> None:
    checks = (root / "scripts" / "system_test.d" / "checks.py").read_text("utf-8")
    printed = re.search(r"^PRINTED = (\{.*?^\})", checks, re.MULTILINE | re.DOTALL)
    assert printed is not None
    run = {
        command
        for page, begin in ast.literal_eval(printed[1]).values()
        for block in blocks(page, "sh")
        if block.text.startswith(begin)
        for command in commands(block)
    }
    assert {line for line, reason in ELSEWHERE.items() if reason is SYSTEM_TEST} - run == set()


def test_a_shown_answer_is_compared_as_a_whole() -> None:
    assert agrees('{"a":0.123, … "t":"2026-11-26T09:46:30Z"}\n', '{"a":0.1234,"b":[1],"t":"2027-01-01T00:00:00Z"}')
    assert not agrees('{"a":0.123}', '{"a":0.223}')
    assert not agrees('{"a":0.123}', '{"a":0.123,"b":1}')
    assert not agrees('{"a":"x1"}', '{"a":"x2"}')


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page, "toml")], ids=lambda b: b.text[:20]
)
def test_the_settings_of_a_page_are_read(block: Block, tmp_path: Path) -> None:
    (tmp_path / "page.toml").write_text(block.text, "utf-8")
    assert config.load(tmp_path / "page.toml", {}) != config.load(None, {})


def test_every_other_block_has_a_test() -> None:
    """The console block is test_policy_page.py's, the Python blocks are those of tests/api/test_door.py,
    tests/clients/test_client_page.py and tests/outputs/test_receiver_page.py.
    """
    assert [(page, len(blocks(page, "console"))) for page in PAGES if blocks(page, "console")] == [("docs/door.md", 1)]
    found = {page: len(blocks(page, "python")) for page in PAGES}
    assert {page: count for page, count in found.items() if count} == {"docs/api.md": 1, "docs/door.md": 2}
    languages = {
        language
        for page in PAGES
        for language in re.findall(r"^```(\w+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    }
    assert languages <= {
        "sh",
        "text",
        "toml",
        "console",
        "python",
        "yaml",
        "nginx",
    }  # yaml: test_compreface.py, and Prometheus' own


def mentioned(page: str) -> Iterator[str]:
    """The commands of this project on a page: those in its sentences, and those that are run elsewhere."""
    lines = [command for block in blocks(page, "sh") if is_elsewhere(block) for command in commands(block)]
    for span in (*inline(page), *lines):
        for command in span.split("; "):
            plain = re.sub(r"^(?:sudo |EXTRA=tflite |\.venv/bin/)+", "", command)
            if re.match(r"(?:appliance|scripts/\w+)(?: |$)", plain):
                yield plain


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    (command,) = entry_points(group="console_scripts", name="appliance")
    with pytest.raises(SystemExit) as ended:
        command.load()([*words, "--help"])
    assert ended.value.code == 0, words
    return capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_that_a_page_mentions_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in mentioned(page):
        program, *words = shlex.split(command.replace("…", ""))
        if program == "appliance":
            acts = list(words)
            while acts and not re.fullmatch(r"[a-z-]*[a-z]", acts[-1]):
                acts.pop()
            acts = [
                word
                for index, word in enumerate(acts)
                if all(re.fullmatch(r"[a-z][a-z-]*", w) for w in acts[: index + 1])
            ]
            known = help_of(acts, capsys)
        else:
            script = ROOT / program
            assert os.access(script, os.X_OK), command
            if program not in ("scripts/install", "scripts/build_models"):
                continue
            known = script.read_text("utf-8")
        for option in (word.partition("=")[0] for word in words if word.startswith("--") and word != "--help"):
            assert option in known, command


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", [*PAGES, "models/CARDS.md"])
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("page", [*PAGES, "models/CARDS.md", "CHANGELOG.md"])
def test_the_sentences_of_a_page_name_who_acts(page: str) -> None:
    sentences = re.sub(r"^```.*?^```$|`[^`\n]+`", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\b(?:nobody|somebody|whoever|told)\b", sentences, re.IGNORECASE) == []


def test_the_readme_is_short(root: Path) -> None:
    assert len((root / "README.md").read_text("utf-8").splitlines()) <= README_LINES
