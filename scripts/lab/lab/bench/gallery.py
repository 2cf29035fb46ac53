"""The time of a search among thousands of templates, beside the plain matrix product that it cannot do without."""

import math
from collections.abc import Iterator
from functools import partial
from statistics import median

import numpy as np

from appliance.gallery.search import DIMENSIONS, Index
from lab.bench.alone import milliseconds
from lab.bench.bench import Bench, Measured
from lab.device import Vector
from lab.report import Finding, tracked

MOST_MILLISECONDS = 10.0
"""For a search of as many templates as a device is meant for."""

MOST_OF_PLAIN = 1.0
"""Of the time that the product of all templates with the embedding takes, one template a row, without any ranking."""

SEED = 50_000


def measure(bench: Bench) -> Measured:
    """Medians of searches in galleries of synthetic templates, and of changes of the largest; search and product take turns."""
    sizes = bench.extent.templates
    found = (_size(size, sizes[-1], bench.extent.repetitions) for size in tracked(sizes, "gallery"))
    return Measured([finding for each in found for finding in each])


def _size(size: int, largest: int, repetitions: int) -> Iterator[Finding]:
    rows, queries = _templates(size), _templates(repetitions)
    index = Index.build((f"{number:016x}", row) for number, row in enumerate(rows))
    times = [
        (milliseconds(partial(index.ranking, query)), milliseconds(partial(np.matmul, rows, query)))
        for query in queries
    ]
    ratio = median(search / product for search, product in times)
    slowest, most = (MOST_MILLISECONDS, MOST_OF_PLAIN) if size == largest else (math.inf, math.inf)
    search = median(search for search, _ in times)
    yield Finding("gallery", f"{size:,} templates: search", search, "ms", at_most=slowest)
    yield Finding("gallery", f"{size:,}: over the product", ratio, at_most=most)
    if size < largest:
        return
    without = median(milliseconds(partial(index.without, f"{number:016x}")) for number in range(repetitions))
    more = []
    for vector in queries:
        adding = partial(index.adding, "another", vector)
        more.append(1e3 * milliseconds(adding))
        index = adding()
    yield Finding("gallery", f"{size:,}: with one more", median(more), "µs")
    yield Finding("gallery", f"{size:,}: without a person", without, "ms")


def _templates(count: int) -> Vector:
    drawn = np.random.default_rng(SEED + count).standard_normal((count, DIMENSIONS), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn
