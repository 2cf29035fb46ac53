"""The commands about the device itself: serve, discover, keys."""

import argparse
import ast
import errno
import inspect
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache, partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import config, keys, state
from appliance.config import Config
from appliance.keys import Scope
from appliance.sections import Section

if TYPE_CHECKING:
    from appliance.lan import Appliance

log = logging.getLogger(__name__)

DEFAULT_SCOPES = (Scope.RECOGNISE, Scope.LIVE)
"""Scopes of a key that is created without --scope."""

ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # engines are the parallelism; a thread pool of its own costs 20 MB
    "OPENCV_FOR_THREADS_NUM": "1",  # likewise; waking a pool is a sixth of the camera loop's time
    "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT": "2",  # seconds instead of 10 until a silent camera is noticed
}
"""Read by OpenBLAS and OpenCV when they are loaded."""


def serve(options: argparse.Namespace, settings: Config) -> int:
    """Runs the device until a signal ends it; does not return, except with the exit status of a failed start."""
    if options.print_config:
        print(commented(settings), end="")
        return 0
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from appliance.machine import Machine

    try:
        reread = partial(reread_config, options.config, settings)
        machine = Machine(settings, demonstrate=options.demonstration, reread=reread)
    except (OSError, ValueError) as error:
        hint = "; choose another one by --port or server.port" if getattr(error, "errno", 0) == errno.EADDRINUSE else ""
        print(f"cannot listen on {settings.server.host}:{settings.server.port}: {error}{hint}", file=sys.stderr)
        return 1
    with state.occupied(state.folder(settings.state.folder), Path(sys.prefix)):
        status = machine.run()
    logging.shutdown()
    os._exit(status)  # a thread may still be in the TFLite runtime, where Python's own exit would abort it


def reread_config(path: Path | None, before: Config) -> Config | None:
    """The configuration as it is now, None if it is invalid; the log has what has changed since the start. What the command
    line overrides stays as it was.
    """
    try:
        after = config.load(path, {"server": {name: getattr(before.server, name) for name in ("host", "port")}})
    except config.ConfigError as error:
        log.error("configuration: not reloaded: %s", "; ".join(str(error).splitlines()))
        return None
    changes = tuple(state.changes(before.model_dump(mode="json"), after.model_dump(mode="json")))
    at_once = tuple(f"door.{key}:" for key in after.door.rules)
    for change in changes or ["nothing has changed since the start"]:
        state.audit_log.info("configuration: %s%s", change, "" if change.startswith(at_once) else ", after a restart")
    return after


def commented(settings: Config) -> str:
    """The effective configuration as TOML, each key with its description; keys without a value are commented out."""
    import tomlkit  # needed here only

    document = tomlkit.document()
    for name, section in settings:
        table = tomlkit.table()
        kind: type[Section] = type(section)
        for key, description in _descriptions(kind).items():
            table.add(tomlkit.comment(description))
            value = getattr(section, key)
            if value is None:
                table.add(tomlkit.comment(f"{key} ="))
            elif isinstance(value, Section):
                inline = tomlkit.inline_table()
                inline.update(_plain(value))
                table.add(key, inline)
            else:
                table.add(key, _plain(value))
        table.add(tomlkit.nl())
        document.add(tomlkit.comment(kind.__doc__ or ""))
        document.add(name, table)
    return tomlkit.dumps(document).strip() + "\n"


@cache
def _descriptions(section: type[Section]) -> dict[str, str]:
    """Each key and the text below it in the source. pydantic's own `use_attribute_docstrings` would read it at every start."""
    (table,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(table, ast.ClassDef)
    return {
        ast.unparse(key.target): " ".join(ast.literal_eval(text.value).split())
        for key, text in pairwise(table.body)
        if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


def _plain(value: Any) -> Any:
    """A value as TOML represents it."""
    match value:
        case Path():
            return str(value)
        case Section():
            return {key: _plain(each) for key, each in value if each is not None}
        case tuple():
            return [_plain(each) for each in value]
    return value


def discover(options: argparse.Namespace, _settings: Config) -> int:
    """Prints the appliances that answer on the LAN; the exit status."""
    from appliance import lan

    try:
        found = lan.discover(options.timeout)
    except OSError as error:
        print(f"LAN: {error.strerror}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
    elif found:
        _print_table(found)
    else:
        print(f"no appliance answered within {options.timeout:g} s", file=sys.stderr)
    return 0


def _print_table(found: "Sequence[Appliance]") -> None:
    """One row per appliance, without line breaks when standard output is no terminal; nothing in it is markup."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    of_a_fleet = any("fleet" in each.txt for each in found)
    table = Table(
        "name", "address", "API / SDK", "state", "auth", "TLS", *(["fleet"] if of_a_fleet else []), box=SIMPLE
    )
    for fleet, devices in groupby(sorted(found, key=_fleet), _fleet):
        for each in devices:
            api, sdk, ready, auth, tls = (each.txt.get(key, "?") for key in ("api", "sdk", "st", "auth", "tls"))
            urls, secure = "\n".join(each.urls()), each.txt.get("fp", "?") if tls == "1" else "no"
            table.add_row(each.name, urls, f"{api} / {sdk}", ready, auth, secure, *([fleet[1]] if of_a_fleet else []))
        table.add_section()
    Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 1000).print(table)


def _fleet(appliance: "Appliance") -> tuple[bool, str]:
    """What the table is sorted by, beside the name: those without a fleet come last."""
    return "fleet" not in appliance.txt, appliance.txt.get("fleet", "")


def add_key(options: argparse.Namespace, settings: Config) -> int:
    """Creates a key and prints it. Raises KeysError, OSError."""
    scopes = options.scopes or DEFAULT_SCOPES
    token = keys.add(_keys_file(settings), options.name, scopes)
    print(f"The key of {options.name} ({', '.join(scopes)}); it cannot be shown again:", file=sys.stderr)
    print(token)
    return 0


def list_keys(options: argparse.Namespace, settings: Config) -> int:
    """Prints the keys. Raises KeysError."""
    found = [keys.record(key) for key in keys.read(_keys_file(settings))]
    if options.json:
        print(json.dumps(found))
        return 0
    for key in found:
        print(f"{key['name']:<24} {' '.join(key['scopes']):<36} {key['created']}")
    return 0


def revoke_key(options: argparse.Namespace, settings: Config) -> int:
    """Revokes a key. Raises KeysError, OSError."""
    keys.revoke(_keys_file(settings), options.name)
    print(f"revoked: {options.name}", file=sys.stderr)
    return 0


def _keys_file(settings: Config) -> Path:
    return state.folder(settings.state.folder) / keys.FILE
