"""Resident memory of a device, before anything was asked and after a mixture of requests."""

from appliance.benchmark.bench import Bench
from appliance.benchmark.camera import resident_megabytes
from appliance.benchmark.figures import Measured
from appliance.benchmark.load import MIXED, clients
from appliance.evaluation.own_device import own_device
from appliance.evaluation.report import Finding

MOST_IDLE_MEGABYTES = 220.0

MOST_GROWTH_MEGABYTES = 40.0
"""Twice what 1,500 requests took; a request that is kept until Python collects circles takes three times as much."""

CLIENTS = 2


def measure(bench: Bench) -> Measured:
    """Idle, after the mixed requests, and the growth between."""
    each = bench.extent.mixed // CLIENTS
    with own_device("--config", str(bench.config)) as device:
        idle = resident_megabytes(device.process_id)
        loads = clients(device.url, bench.folder, MIXED, each, CLIENTS)
        after = resident_megabytes(device.process_id)
    return Measured(
        [
            Finding("memory", "idle", idle, "MB", at_most=MOST_IDLE_MEGABYTES),
            Finding("memory", f"after {CLIENTS * each} mixed requests", after, "MB"),
            Finding("memory", "growth", after - idle, "MB", at_most=MOST_GROWTH_MEGABYTES),
            Finding("memory", "errors", sum(load.errors for load in loads), at_most=0),
        ]
    )
