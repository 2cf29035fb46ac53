"""`appliance evaluate` and `appliance bench`."""

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in device.serve

from appliance.benchmark import command
from appliance.config import Config
from appliance.evaluation.command import Wanted, run
from appliance.evaluation.identification import Wished
from appliance.in_process import InProcess
from appliance.vision.loading import engine_count


def evaluate(options: argparse.Namespace, settings: Config) -> int:
    """Measures accuracy; the exit status."""
    workers = options.workers or engine_count(settings.engine.engines)
    names = ("question", "data", "device", "key", "json", "report", "answers", "judge", "config")
    known = settings.gallery
    search = Wished(known.fpir, known.margin, options.templates, options.strangers, settings.engine.folder)
    wanted = Wanted(workers=workers, search=search, **{name: getattr(options, name) for name in names})
    return run(wanted, lambda: InProcess(settings, workers))


def bench(options: argparse.Namespace, settings: Config) -> int:
    """Measures speed; the exit status."""
    return command.run(options, settings.engine)
