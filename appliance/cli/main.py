"""The command line: reads the options and the configuration, and runs one command."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from appliance.cli.options import Run, parsed

EX_CONFIG = 78
"""Exit status for an invalid configuration (sysexits.h); systemd does not restart after it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0 success, 1 failure, 2 wrong usage, 78 invalid configuration."""
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    from appliance import config, state
    from appliance.faults import Fault, ReportedError

    overrides = {name: value for name in ("host", "port") if (value := getattr(options, name, None)) is not None}
    try:
        settings = config.load(options.config, {"server": overrides})
        serving = options.command == "serve"
        logging.basicConfig(
            level=settings.log.level.upper() if serving else logging.ERROR,
            format="%(levelname)-7s %(name)s: %(message)s",
        )
        state.audit_log.setLevel(logging.INFO)  # independent of log.level
        if not serving:  # the service handles signals itself
            _exit_on_signals()
        status = function_of(options.run)(options, settings)
        sys.stdout.flush()
    except config.ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except BrokenPipeError:  # the reader of our output has closed it; Python would report it once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(": ".join(str(part) for part in (error.filename, error.strerror or error) if part), file=sys.stderr)
        return 1
    except (Fault, ReportedError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _exit_on_signals() -> None:
    """SIGTERM and SIGHUP, unless ignored as by nohup, end the command in order, so that temporary files are removed."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def function_of(run: Run) -> Callable[[argparse.Namespace, Any], int]:
    """The function of a command; its module is imported now."""
    if callable(run):
        return run
    module, _, name = run.partition(":")
    function: Callable[[argparse.Namespace, Any], int] = getattr(import_module(f"appliance.cli.{module}"), name)
    return function
