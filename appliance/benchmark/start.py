"""From the start of the process to the first answer that needs the models."""

from statistics import median

from rich.console import Console
from rich.progress import track

from appliance.benchmark.bench import Bench
from appliance.benchmark.figures import Measured
from appliance.evaluation.own_device import own_device
from appliance.evaluation.report import Finding

MOST_SECONDS_TO_READY = 3.0


def measure(bench: Bench) -> Measured:
    """The median of several starts."""
    seconds = []
    for _ in track(range(bench.extent.starts), "starts", console=Console(stderr=True)):
        with own_device("--config", str(bench.config)) as device:
            seconds.append(device.seconds_to_ready)
    return Measured([Finding("start", "to the first answer", median(seconds), "s", at_most=MOST_SECONDS_TO_READY)])
