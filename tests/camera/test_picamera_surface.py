"""Whatever the door, and the double that stands in for picamera2, use of it: the real one has it.

Its source is read, never imported: it needs a Raspberry Pi's packages.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from appliance.camera import picamera

DOUBLES = Path(__file__).parents[1] / "doubles"
DOOR = ast.parse(Path(picamera.__file__).read_text("utf-8"))

OBJECTS = {
    "Picamera2": "Picamera2",
    "picamera2": "Picamera2",
    "camera": "Picamera2",
    "self._camera": "Picamera2",
    "request": "CompletedRequest",
    "libcamera": "libcamera",
    "controls": "libcamera.controls",
}
"""What the names in the door stand for that have no type there."""

SETTINGS = picamera.controls("manual", 1.0, 1, 1.0)

BEYOND_THE_SOURCE = {"libcamera.controls.AfModeEnum.Manual", "libcamera.controls.AfModeEnum.Continuous"}
"""Used, and not by picamera2 itself, whose source is all that can be had here: test_on_a_pi.py asks libcamera."""


@dataclass(frozen=True)
class Function:
    """What can be called, and how."""

    keywords: dict[str, str | None]
    decorators: frozenset[str]

    @classmethod
    def read(cls, node: ast.FunctionDef) -> "Function":
        plain = [*node.args.posonlyargs, *node.args.args]
        defaults = [*[None] * (len(plain) - len(node.args.defaults)), *node.args.defaults, *node.args.kw_defaults]
        keywords = {
            argument.arg: default and ast.unparse(default)
            for argument, default in zip([*plain, *node.args.kwonlyargs], defaults, strict=True)
            if argument.arg != "self"
        }
        return cls(keywords, frozenset(ast.unparse(each).split(".")[-1] for each in node.decorator_list))


@dataclass
class Class:
    """What its objects have."""

    functions: dict[str, Function] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, node: ast.ClassDef) -> "Class":
        found = cls()
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and "overload" not in Function.read(each).decorators:
                found.functions.setdefault(each.name, Function.read(each))
        for each in ast.walk(node):
            if (
                isinstance(each, ast.Attribute)
                and isinstance(each.ctx, ast.Store)
                and ast.unparse(each.value) == "self"
            ):
                found.attributes.add(each.attr)
        return found

    @property
    def names(self) -> set[str]:
        return self.functions.keys() | self.attributes


@cache
def reference() -> Path:
    """The folder of the real picamera2's source."""
    folder = Path(sys.prefix) / "reference" / "picamera2"
    if not folder.is_dir():
        pytest.fail(f"the source of the real picamera2 is not in {folder.parent}: run the tests with scripts/test")
    return folder


@cache
def real() -> dict[str, Class]:
    """Classes of the real picamera2."""
    return {name: found for module in ("picamera2", "request") for name, found in classes(reference() / f"{module}.py")}


@cache
def real_libcamera() -> set[str]:
    """What the real picamera2 uses of libcamera: dotted names, and with `(name=` keywords."""
    return {
        name
        for path in sorted(reference().rglob("*.py"))
        for name in libcamera_names(ast.parse(path.read_text("utf-8")))
    }


@cache
def real_strings(function: str = "") -> set[str]:
    """Every string in the real picamera2, or in one of its functions."""
    return {
        node.value
        for path in sorted(reference().rglob("*.py"))
        for root in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(root, ast.FunctionDef) and function in ("", root.name)
        for node in ast.walk(root)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def classes(path: Path) -> Iterator[tuple[str, Class]]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, Class.read(node)


def libcamera_names(tree: ast.Module) -> Iterator[str]:
    """Dotted names that begin in libcamera, each with those that it begins with."""
    imported = {
        alias.asname or alias.name: f"libcamera.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "libcamera"
        for alias in node.names
    } | {"libcamera": "libcamera"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, _, rest = ast.unparse(node).partition(".")
            if first in imported:
                yield imported[first] + (f".{rest}" if rest else "")
        if isinstance(node, ast.Call):
            first, _, rest = ast.unparse(node.func).partition(".")
            if first in imported:
                called = imported[first] + (f".{rest}" if rest else "")
                yield from (f"{called}({keyword.arg}=" for keyword in node.keywords if keyword.arg)


def uses() -> Iterator[tuple[str, str]]:
    """Class and attribute of everything that the door takes from an object of picamera2 or libcamera."""
    for node in ast.walk(DOOR):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in OBJECTS:
            yield OBJECTS[ast.unparse(node.value)], node.attr
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr":
            yield OBJECTS[ast.unparse(node.args[0])], ast.literal_eval(node.args[1])


def calls() -> Iterator[tuple[str, str, int, set[str]]]:
    """Class, method, number of positional arguments and keywords of each call of the door's."""
    for node in ast.walk(DOOR):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = OBJECTS.get(ast.unparse(node.func.value))
            if owner:
                yield owner, node.func.attr, len(node.args), set(keywords(node))


def keywords(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.arg
        else:
            yield from keys(assigned(ast.unparse(keyword.value)))


def assigned(name: str) -> ast.Dict:
    """The dictionary that the door gives a name to."""
    for node in ast.walk(DOOR):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name and isinstance(node.value, ast.Dict):
            return node.value
    raise AssertionError(f"{name} is no dictionary")


def keys(node: ast.Dict) -> set[str]:
    return {key.value for key in node.keys if isinstance(key, ast.Constant)}


def function(name: str) -> ast.FunctionDef:
    return next(node for node in ast.walk(DOOR) if isinstance(node, ast.FunctionDef) and node.name == name)


def test_every_name_without_a_type_is_known() -> None:
    untyped = {"self._camera"}
    for node in ast.walk(DOOR):
        if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) == "Any":
            untyped.add(node.arg)
        if isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset:
            untyped |= {alias.name for alias in node.names}
        if isinstance(node, ast.withitem) and node.optional_vars:
            untyped.add(ast.unparse(node.optional_vars))
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Any":
            untyped.add(ast.unparse(node.target))
    assert untyped == OBJECTS.keys()


def test_every_use_of_picamera2_is_of_something_there() -> None:
    found = {use for use in uses() if use[0] in real()}
    assert {name for _, name in found} >= {
        "captured_request",
        "make_array",
        "notifyme_w",
        "close",
        "global_camera_info",
    }
    assert {f"{owner}.{name}" for owner, name in found if name not in real()[owner].names | {"__new__"}} == set()


def test_every_call_of_picamera2_can_be_made() -> None:
    found = [call for call in calls() if call[0] in real()]
    assert {"wait", "camera_num", "buffer_count", "transform"} <= set().union(*(names for *_, names in found))
    for owner, name, positional, names in found:
        if name == "__new__":
            continue
        called = real()[owner].functions[name]
        assert names <= called.keywords.keys(), f"{owner}.{name}"
        assert positional <= len(called.keywords), f"{owner}.{name}"
        needed = {key for key, default in called.keywords.items() if default is None}
        assert needed <= names | set(list(called.keywords)[:positional]), f"{owner}.{name}"


def test_every_class_is_imported_from_where_it_is() -> None:
    imported = {
        alias.name
        for node in ast.walk(DOOR)
        if isinstance(node, ast.ImportFrom) and node.module == "picamera2"
        for alias in node.names
    }
    given = {
        alias.name
        for node in ast.parse((reference() / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported
    assert imported <= given & real().keys()


def test_streams_are_asked_for_in_the_words_that_are_understood() -> None:
    streams = {
        keyword.arg: keys(keyword.value)
        for node in ast.walk(function("_start"))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in ("main", "lores") and isinstance(keyword.value, ast.Dict)
    }
    assert streams == {"main": {"size", "format"}, "lores": {"size", "format"}}
    assert set().union(*streams.values()) <= real_strings("_make_initial_stream_config")
    assert {"size", "format"} <= real_strings("_update_stream_config"), "where they are read back from"


@pytest.mark.parametrize("name", ["_start", "read", "open"])
def test_every_key_and_name_is_one_of_picamera2s(name: str) -> None:
    """Subscripts and the arguments of `get` and `make_array`."""
    found = {
        node.value
        for root in ast.walk(function(name))
        if isinstance(root, ast.Subscript)
        or (isinstance(root, ast.Call) and ast.unparse(root.func).split(".")[-1] in ("get", "make_array"))
        for node in ([root.slice] if isinstance(root, ast.Subscript) else root.args)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    }
    assert found
    assert found <= real_strings()
    assert picamera.USB in real_strings("global_camera_info")


def test_every_use_of_libcamera_is_known() -> None:
    used = {f"{owner}.{name}" for owner, name in uses() if owner.startswith("libcamera")}
    used |= {f"{owner}.{name}({each}=" for owner, name, _, names in calls() for each in names if "libcamera" in owner}
    assert "libcamera.Transform(hflip=" in used
    assert used <= real_libcamera()
    assert {
        f"libcamera.controls.{name}Enum" for name, value in SETTINGS.items() if isinstance(value, str)
    } <= real_libcamera()


def test_controls_are_called_by_their_names() -> None:
    """Of those that picamera2 itself names; it never sets the lens."""
    controls = {name.rpartition(".")[2] for name in real_libcamera() if name.startswith("libcamera.controls.")}
    wanted = {*SETTINGS, *keys(assigned("wanted"))} - {"LensPosition"}
    assert wanted == {"AfMode", "ExposureTime", "AnalogueGain", "FrameDurationLimits"}
    assert wanted <= controls | real_strings()


@pytest.mark.parametrize("path", sorted((DOUBLES / "picamera2").glob("*.py")), ids=lambda path: path.stem)
def test_the_double_has_nothing_that_the_real_one_has_not(path: Path) -> None:
    for name, double in classes(path):
        if name == "Job":  # its own way to wait; nobody sees it
            continue
        assert {each for each in double.names if not each.startswith("_")} <= real()[name].names, name
        for method, called in double.functions.items():
            if method.startswith("_") and method != "__init__":
                continue
            there = real()[name].functions[method]
            assert called.decorators == there.decorators, method
            assert called.keywords == {key: there.keywords[key] for key in called.keywords}, method
            assert list(called.keywords) == list(there.keywords)[: len(called.keywords)], method


def test_the_double_has_all_that_the_door_uses() -> None:
    double = {name: found for path in (DOUBLES / "picamera2").glob("*.py") for name, found in classes(path)}
    assert {(owner, name) for owner, name in uses() if owner in double and name not in double[owner].names} == {
        ("Picamera2", "__new__")
    }


def test_the_double_of_libcamera_has_only_what_is_known_of_it() -> None:
    module = ast.parse((DOUBLES / "libcamera.py").read_text("utf-8"))
    assert {name for node in module.body if isinstance(node, ast.ClassDef) for name in members(node)} - {
        *real_libcamera(),
        *BEYOND_THE_SOURCE,
    } == set()


def members(node: ast.ClassDef, within: str = "libcamera.") -> Iterator[str]:
    """Dotted names of a class and of what is in it; fields of a dataclass as keywords."""
    yield within + node.name
    for each in node.body:
        if isinstance(each, ast.ClassDef):
            yield from members(each, f"{within}{node.name}.")
        elif isinstance(each, ast.AnnAssign):
            yield f"{within}{node.name}({ast.unparse(each.target)}="
        elif isinstance(each, ast.Assign):
            yield f"{within}{node.name}.{ast.unparse(each.targets[0])}"
