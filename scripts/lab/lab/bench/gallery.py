"""The time of a search among thousands of templates, beside the plain matrix product that it cannot do without."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from statistics import median

import numpy as np

from appliance.gallery.search import DIMENSIONS, Index
from lab.bench.bench import Bench
from lab.device import Vector
from lab.report import Finding, tracked

MOST_MILLISECONDS = 10.0
"""For a search of as many templates as a device is meant for."""

MOST_OF_PLAIN = 1.0
"""Of the time that the product of all templates with the embedding takes, one template a row, without any ranking."""

SEED = 50_000


def measure(bench: Bench) -> Iterator[Finding]:
    """Medians of searches in galleries of synthetic templates, and over the product; both take turns."""
    for size in tracked(bench.extent.templates, "gallery"):
        rows, queries = _templates(size), _templates(bench.extent.requests)
        index = Index.build((f"{number:016x}", row) for number, row in enumerate(rows))
        times = [(_taken(partial(index.ranking, query)), _taken(partial(np.matmul, rows, query))) for query in queries]
        most, most_ratio = (MOST_MILLISECONDS, MOST_OF_PLAIN) if size == max(bench.extent.templates) else (inf, inf)
        search, ratio = median(each for each, _ in times), median(search / product for search, product in times)
        yield Finding("gallery", f"{size:,} templates: search", search, "ms", at_most=most)
        yield Finding("gallery", f"{size:,}: over the product", ratio, at_most=most_ratio)


def _templates(count: int) -> Vector:
    drawn = np.random.default_rng(SEED + count).standard_normal((count, DIMENSIONS), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def _taken(act: Callable[[], object]) -> float:
    """The milliseconds of a call."""
    begun = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - begun)
