"""Nothing in the project knows the machine it was written on, and nothing is left for later."""

import os
import re
from pathlib import Path

import pytest

TEXTS = {
    "",
    ".py",
    ".toml",
    ".cfg",
    ".md",
    ".txt",
    ".service",
    ".conf",
    ".html",
    ".js",
    ".mjs",
    ".cjs",
    ".json",
    ".css",
    ".yml",
    ".yaml",
}
ELSEWHERE = re.compile(
    r"^(\.venv.*|\.vm|\.peers|\.git|\.\w+_cache|\.hypothesis|\.cache|__pycache__|node_modules|build|dist|.*\.egg-info)$"
)

MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|root|work|Users|mnt|media)/\w|[A-Z]:\\\\?Users\\")
LATER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")


@pytest.fixture(scope="module")
def texts(root):
    """Every text file of the project, as lines by path."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not ELSEWHERE.match(name)]
        for path in (Path(folder) / name for name in files):
            if path.suffix in TEXTS and path.name != ".git":  # a file in a worktree
                found[str(path.relative_to(root))] = path.read_text("utf-8").splitlines()
    return found


def found_in(texts, pattern):
    return [
        f"{name}:{number}"
        for name, lines in texts.items()
        for number, line in enumerate(lines, 1)
        if pattern.search(line)
    ]


def test_the_texts_are_found(texts):
    assert {"setup.cfg", "README.md", "appliance/cli/main.py", "models/manifest.toml", "scripts/test"} <= set(texts)


def test_no_file_names_a_folder_of_one_machine(texts):
    assert found_in(texts, MACHINE_PATH) == []


def test_nothing_is_left_for_later(texts):
    assert found_in(texts, LATER) == []


def test_the_patterns_find_what_they_look_for():
    folder = "/home"
    assert MACHINE_PATH.search(f'open("{folder}/pi/photo.jpg")')
    assert not MACHINE_PATH.search("GET /faces, /alignedfaces and root/work")
    assert LATER.search("# TO" + "DO: later")
