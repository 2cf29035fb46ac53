"""The start of a device, and its memory before and after a mixture of requests."""

from statistics import median

import psutil

from lab.bench.bench import Bench, Measured
from lab.bench.load import MIXED, clients
from lab.report import Finding, tracked

MOST_SECONDS_TO_READY = 3.0

MOST_IDLE_MEGABYTES = 220.0

MOST_GROWTH_MEGABYTES = 40.0
"""Twice what 1,500 requests took; a request that is kept until Python collects circles takes three times as much."""

CLIENTS = 2


def start(bench: Bench) -> Measured:
    """Median seconds from the start of the process to the first answer that needs the models."""
    seconds = []
    for _ in tracked(range(bench.extent.starts), "starts"):
        with bench.device() as device:
            seconds.append(device.seconds_to_ready)
    return Measured([Finding("start", "to the first answer", median(seconds), "s", at_most=MOST_SECONDS_TO_READY)])


def memory(bench: Bench) -> Measured:
    """Resident memory when idle and after the mixed requests, and the growth between."""
    each = bench.extent.mixed // CLIENTS
    with bench.device() as device:
        idle = resident_megabytes(device.process_id)
        load = clients(device.url, bench.folder, MIXED, each, CLIENTS)
        after = resident_megabytes(device.process_id)
    return Measured(
        [
            Finding("memory", "idle", idle, "MB", at_most=MOST_IDLE_MEGABYTES),
            Finding("memory", f"after {CLIENTS * each} mixed requests", after, "MB"),
            Finding("memory", "growth", after - idle, "MB", at_most=MOST_GROWTH_MEGABYTES),
            Finding("memory", "errors", load.failed, at_most=0),
        ]
    )


def resident_megabytes(process_id: int) -> float:
    """Resident memory of a process in units of 10^6 bytes. Raises psutil.NoSuchProcess."""
    return float(psutil.Process(process_id).memory_info().rss / 1e6)
