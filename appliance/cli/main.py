"""The command line: serve, keys, people, discover, detect, compare, liveness, evaluate, calibrate, bench, selftest."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import __version__, config, keys, state
from appliance.benchmark.options import add_bench
from appliance.cli.calibrate_options import add_liveness, add_similarity
from appliance.cli.door_options import add_explain, add_list, add_verify, add_verify_decision
from appliance.cli.people_options import add_people
from appliance.config import Config, ConfigError
from appliance.evaluation.options import add_evaluate
from appliance.faults import Fault
from appliance.keys import KeysError, Scope

if TYPE_CHECKING:
    from appliance.face.types import DetectLimits
    from appliance.lan import Found

EX_CONFIG = 78
"""Exit status for a configuration that cannot be used (sysexits.h); systemd does not restart on it."""

CONFIG_VARIABLE = "APPLIANCE_CONFIG"
"""Names the configuration where nothing else does: an installed device's commands go by its own."""

DEFAULT_SCOPES = (Scope.RECOGNISE, Scope.LIVE)
"""Of a key that is made without saying what it opens."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."""
    options = _parser().parse_args(arguments)
    try:
        settings = config.load(options.config, {"server": _given(options, "host", "port")})
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    logging.basicConfig(
        level=settings.log.level.upper() if options.command == "serve" else logging.ERROR,
        format="%(levelname)-7s %(name)s: %(message)s",
    )
    state.audit_log.setLevel(logging.INFO)  # whatever log.level is
    if options.command != "serve":  # it has its own way to end
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup has it
                signal.signal(
                    number, lambda number, _: sys.exit(128 + number)
                )  # so that nothing temporary is left behind
    run: Callable[[argparse.Namespace, Config], int] = options.run
    try:
        status = run(options, settings)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has enough; Python would complain of it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("appliance", description="Face recognition on this device.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def positive(text: str) -> int:
        number = int(text)
        if number < 1:
            raise ValueError
        return number

    def seconds(text: str) -> float:
        number = float(text)
        if not 0 < number <= 60:
            raise ValueError
        return number

    def command(
        name: str, run: Callable[[argparse.Namespace, Config], int], summary: str, group: Any = commands
    ) -> argparse.ArgumentParser:
        added = group.add_parser(name, help=summary, description=summary)
        added.add_argument(
            "--config",
            type=Path,
            default=os.environ.get(CONFIG_VARIABLE),
            metavar="FILE",
            help=f"TOML file; without it that of ${CONFIG_VARIABLE}, else the defaults hold",
        )
        added.set_defaults(run=run)
        assert isinstance(added, argparse.ArgumentParser)
        return added

    serve = command("serve", _serve, "Answer the HTTP API.")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="TCP port to listen on; 0 takes a free one")
    serve.add_argument(
        "--demonstration", action="store_true", help="show the bundled pictures when no camera is configured or found"
    )
    serve.add_argument("--print-config", action="store_true", help="print the effective configuration and stop")
    discover = command("discover", _discover, "List the appliances of the LAN.")
    discover.add_argument("--json", action="store_true", help="as JSON, with all that they say of themselves")
    discover.add_argument(
        "--timeout", type=seconds, default=3.0, metavar="SECONDS", help="how long to listen (default 3)"
    )
    summary = "Make, list and revoke API keys; a running device notices by itself."
    acts = commands.add_parser("keys", help=summary, description=summary)
    group = acts.add_subparsers(dest="act", required=True, metavar="ACT")
    add = command("add", _add_key, "Make a key and print it: it cannot be shown again.", group)
    add.add_argument("name", metavar="NAME", help="whose key it is, for the log")
    add.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        type=Scope,
        choices=list(Scope),
        help="what it opens; may be given again (default: recognise and live)",
    )
    listing = command("list", _list_keys, "List the keys.", group)
    listing.add_argument("--json", action="store_true", help="as JSON")
    revoke = command("revoke", _revoke_key, "Forget a key; whoever has it is out.", group)
    revoke.add_argument("name", metavar="NAME")
    detect = command("detect", _detect, "Find the faces in photos.")
    detect.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    detect.add_argument("--minsize", type=positive, default=48, metavar="PX", help="smallest face (default 48)")
    detect.add_argument("--maxsize", type=positive, metavar="PX", help="largest face")
    detect.add_argument("--detectcount", type=positive, default=10, metavar="N", help="most faces a photo (default 10)")
    detect.add_argument(
        "--json", action="store_true", help="one JSON object a photo, as POST /faces answers, and each face's score"
    )
    detect.add_argument("--picture", type=Path, metavar="OUT.png", help="draw boxes, points and pose axes (one photo)")
    compare = command("compare", _compare, "Compare the largest faces of two photos.")
    compare.add_argument("photos", nargs=2, type=Path, metavar="PHOTO")
    liveness = command("liveness", _liveness, "Judge four frames: a zip, or a folder, with the pictures 1 to 4.")
    liveness.add_argument("source", type=Path, metavar="ZIP_OR_FOLDER")
    selftest = command("selftest", _selftest, "Check that the models here give the recorded answers.")
    selftest.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    add_evaluate(command("evaluate", _evaluate, "Measure accuracy on labelled pictures."), positive)
    add_bench(command("bench", _bench, "Measure speed, start and memory here."), positive)
    _add_rooms(commands, command, positive)
    return parser


def _add_rooms(commands: Any, command: Callable[..., argparse.ArgumentParser], positive: Callable[[str], int]) -> None:
    """The commands that have acts of their own."""
    _add_calibrate(commands, command)
    _add_people(commands, command)
    _add_door(commands, command, positive)


def _add_calibrate(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    summary = "Find this device's own meaning of 0.5; a running device notices by itself."
    kinds = commands.add_parser("calibrate", help=summary, description=summary)
    group = kinds.add_subparsers(dest="kind", required=True, metavar="KIND")
    summary = "The cosine at which two faces are one person's."
    add_similarity(command("similarity", _calibrate_similarity, summary, group))
    summary = "From when on somebody before this device's camera is alive."
    add_liveness(command("liveness", _calibrate_liveness, summary, group))


def _add_door(commands: Any, command: Callable[..., argparse.ArgumentParser], positive: Callable[[str], int]) -> None:
    summary = "Who may pass: what the configured rules say."
    acts = commands.add_parser("policy", help=summary, description=summary)
    group = acts.add_subparsers(dest="act", required=True, metavar="ACT")
    add_explain(command("explain", _explain_policy, "Which rule decides: a dry run that changes nothing.", group))
    summary = "The record of decisions."
    acts = commands.add_parser("decisions", help=summary, description=summary)
    group = acts.add_subparsers(dest="act", required=True, metavar="ACT")
    add_list(command("list", _list_decisions, "The newest entries, newest first.", group), positive)
    add_verify(command("verify", _verify_decisions, "Whether it is whole; exit status 1 when it is not.", group))
    summary = "Check a device's decision, as a door does; exit status 0 when it is granted."
    add_verify_decision(command("verify-decision", _verify_decision, summary))


def _add_people(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    summary = "Look after who is known; a running device notices by itself."
    acts = commands.add_parser("people", help=summary, description=summary)
    group = acts.add_subparsers(dest="act", required=True, metavar="ACT")
    add_people(lambda name, what: command(name, _people, what, group))


def _serve(options: argparse.Namespace, settings: Config) -> int:
    if options.print_config:
        print(config.commented(settings), end="")
        return 0
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # engines are the parallelism; a pool of its own costs 20 MB
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")  # likewise; of a camera's loop, waking a pool is a sixth
    os.environ.setdefault(
        "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2"
    )  # seconds; a silent camera is noticed sooner than in 10
    from appliance.machine import Machine

    try:
        machine = Machine(settings, demonstrate=options.demonstration)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except (OSError, ValueError) as error:
        print(f"cannot listen on {settings.server.host}:{settings.server.port}: {error}", file=sys.stderr)
        return 1
    status = machine.run()
    logging.shutdown()
    os._exit(status)  # a thread may still be inside the TFLite runtime, and Python's own way out would abort it there


def _discover(options: argparse.Namespace, _settings: Config) -> int:
    from appliance import lan

    try:
        found = lan.discover(options.timeout)
    except OSError as error:
        print(_complaint("LAN", error), file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
    elif found:
        _print_table(found)
    else:
        print(f"no appliance answered within {options.timeout:g} s", file=sys.stderr)
    return 0


def _print_table(found: "Sequence[Found]") -> None:
    """A row an appliance; as wide as it must be where nobody looks, and nothing in it is markup."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "address", "API / SDK", "state", "auth", "TLS", box=SIMPLE)
    for each in found:
        told = {key: each.txt.get(key, "?") for key in ("api", "sdk", "st", "auth", "tls")}
        hosts = [f"[{address}]" if ":" in address else address for address in each.addresses]
        table.add_row(
            each.name,
            "\n".join(f"{host}:{each.port}" for host in hosts),
            f"{told['api']} / {told['sdk']}",
            told["st"],
            told["auth"],
            each.txt.get("fp", "?") if told["tls"] == "1" else "no",
        )
    Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else 1000).print(table)


def _add_key(options: argparse.Namespace, settings: Config) -> int:
    scopes = options.scopes or DEFAULT_SCOPES
    try:
        token = keys.add(_keys_file(settings), options.name, scopes)
    except (OSError, KeysError) as error:
        print(_complaint(keys.FILE, error), file=sys.stderr)
        return 1
    print(f"The key of {options.name} ({', '.join(scopes)}); it cannot be shown again:", file=sys.stderr)
    print(token)
    return 0


def _list_keys(options: argparse.Namespace, settings: Config) -> int:
    try:
        found = [keys.record(key) for key in keys.read(_keys_file(settings))]
    except KeysError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
        return 0
    for key in found:
        print(f"{key['name']:<24} {' '.join(key['scopes']):<24} {key['created']}")
    return 0


def _revoke_key(options: argparse.Namespace, settings: Config) -> int:
    try:
        keys.revoke(_keys_file(settings), options.name)
    except (OSError, KeysError) as error:
        print(_complaint(keys.FILE, error), file=sys.stderr)
        return 1
    print(f"revoked: {options.name}", file=sys.stderr)
    return 0


def _keys_file(settings: Config) -> Path:
    return state.folder(settings.state.folder) / keys.FILE


def _detect(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import photos as workbench

    if options.picture and len(options.photos) > 1:
        print("--picture takes one photo", file=sys.stderr)
        return 2
    limits = _limits(options)
    bench = workbench.Workbench(settings)
    status = 0
    for photo in _progress(options.photos):
        try:
            found = bench.detect(photo, limits, options.picture)
        except (OSError, Fault) as error:
            status = 1
            print(_complaint(photo, error), file=sys.stderr)
            if options.json:
                print(json.dumps(workbench.failure(photo, error)), flush=True)
        else:
            text = json.dumps(workbench.document(photo, found)) if options.json else workbench.summary(photo, found)
            print(text, flush=True)
    return status


def _compare(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli.photos import Workbench

    bench = Workbench(settings)
    return _answered(
        options.photos, lambda: f"similarity {bench.compare(*options.photos):.4f} (0.5 and above: the same person)"
    )


def _liveness(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli.photos import Workbench

    bench = Workbench(settings)
    return _answered([options.source], lambda: bench.liveness(options.source))


def _calibrate_similarity(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import calibrate

    return calibrate.similarity(options, settings)


def _calibrate_liveness(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import calibrate

    return calibrate.liveness(options, settings)


def _explain_policy(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import door

    return door.explain(options, settings)


def _list_decisions(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import door

    return door.listing(options, settings)


def _verify_decisions(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import door

    return door.verification(options, settings)


def _verify_decision(options: argparse.Namespace, _settings: Config) -> int:
    from appliance.cli import verify_decision

    return verify_decision.verify_decision(options)


def _people(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli import people

    return people.run(options, settings)


def _evaluate(options: argparse.Namespace, settings: Config) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in _serve
    from appliance.evaluation.command import Wanted, run
    from appliance.evaluation.identification import Wished
    from appliance.in_process import InProcess
    from appliance.vision.loading import engine_count

    workers = options.workers or engine_count(settings.engine.engines)
    names = ("question", "data", "device", "key", "json", "report", "answers", "judge", "config")
    known = settings.gallery
    search = Wished(known.fpir, known.margin, options.templates, options.strangers, settings.engine.folder)
    wanted = Wanted(workers=workers, search=search, **{name: getattr(options, name) for name in names})
    return run(wanted, lambda: InProcess(settings, workers))


def _selftest(options: argparse.Namespace, settings: Config) -> int:
    from appliance.cli.photos import Workbench

    lines, sound = Workbench(settings).record() if options.record else Workbench(settings).selftest()
    print("\n".join(lines))
    return 0 if sound else 1


def _bench(options: argparse.Namespace, settings: Config) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in _serve
    from appliance.benchmark import command

    return command.run(options, settings.engine)


def _limits(options: argparse.Namespace) -> "DetectLimits":
    from appliance.face.types import DetectLimits

    largest = float("inf") if options.maxsize is None else options.maxsize
    return DetectLimits(options.minsize, largest, options.detectcount)


def _answered(sources: Sequence[Path], question: Callable[[], str]) -> int:
    try:
        answer = question()
    except (OSError, Fault) as error:
        print(_complaint(" ".join(map(str, sources)), error), file=sys.stderr)
        return 1
    print(answer)
    return 0


def _complaint(what: object, error: OSError | Fault | KeysError) -> str:
    return f"{error.filename or what}: {error.strerror}" if isinstance(error, OSError) else f"{what}: {error}"


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


def _progress(photos: Sequence[Path]) -> Iterable[Path]:
    """The photos, with a progress bar on standard error when they are many and someone looks."""
    if len(photos) == 1 or not sys.stderr.isatty():
        return photos
    from rich.console import Console
    from rich.progress import track

    return track(photos, "detecting", console=Console(stderr=True))
