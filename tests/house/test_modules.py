"""Every module can be imported alone, and says what it is for."""

import ast
import configparser
import json
import subprocess
import sys
from collections import Counter

DRIVER = """
import json, os, sys, traceback
import cv2, numpy, PIL.Image, pydantic  # the slow ones of others, once for all

assert not any(name.split(".")[0] == "appliance" for name in sys.modules)
for layer in json.loads(sys.argv[1]):
    for name in layer:
        child = os.fork()
        if not child:
            try:
                __import__(name)
                status = 0
            except BaseException:
                print(name)
                traceback.print_exc(limit=-1, file=sys.stdout)
                status = 1
            sys.stdout.flush()
            os._exit(status)
        os.waitpid(child, 0)
    for name in layer:
        __import__(name)
"""
"""Imports every module in a process with nothing but the layers below, which cannot import it (import-linter)."""


def layered(modules, root):
    """The names of the modules by layer, the lowest first."""
    settings = configparser.ConfigParser()
    settings.read(root / "setup.cfg", "utf-8")
    layers = settings["importlinter:contract:layers"]["layers"].split("\n")
    rooms = [[""], *(layer.replace(" ", "").split("|") for layer in reversed(layers) if layer)]
    found = [[name for name in modules if (name.split(".")[1:2] or [""])[0] in layer] for layer in rooms]
    assert sum(map(len, found)) == len(modules)
    return found


def is_public(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")


def is_protocol(node):
    return isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)


def test_there_are_modules(modules):
    assert len(modules) > 30


def test_every_module_can_be_imported_alone_and_in_silence(modules, root):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRIVER, json.dumps(layered(modules, root))],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=root,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_module_has_a_docstring(modules):
    assert [name for name, path in modules.items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))] == []


def test_every_public_function_and_class_has_a_docstring(modules):
    silent = [
        f"{name}.{node.name}"
        for name, path in modules.items()
        for node in ast.parse(path.read_text("utf-8")).body
        if is_public(node) and not is_protocol(node) and not ast.get_docstring(node)
    ]
    assert silent == []


def test_a_name_means_one_class(modules):
    names = Counter(
        node.name
        for path in modules.values()
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and is_public(node)
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_errors_are_caught_broadly_in_three_places_at_most(modules):
    broad = [
        f"{name}:{node.lineno}"
        for name, path in modules.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert len(broad) <= 3, broad
