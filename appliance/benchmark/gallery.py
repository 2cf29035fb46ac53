"""How long it takes to find somebody among thousands, beside the plain product that it cannot do without."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from appliance.benchmark.bench import Bench
from appliance.benchmark.figures import Measured
from appliance.evaluation.report import Finding
from appliance.gallery.search import DIMENSIONS, Index

MOST_MILLISECONDS = 10.0
"""For a search of as many templates as a device is meant for."""

MOST_OF_PLAIN = 1.0
"""Of the time that the product of all templates with the embedding takes, one template a row, without any ranking."""

SEED = 50_000

Vectors = npt.NDArray[np.float32]


def measure(bench: Bench) -> Measured:
    """Medians of searches in galleries of made-up templates, and of changes of the largest; search and product take turns."""
    sizes = bench.extent.templates
    tracked = track(sizes, "gallery", console=Console(stderr=True))
    return Measured([finding for size in tracked for finding in _size(size, sizes[-1], bench.extent.repetitions)])


def _size(size: int, largest: int, repetitions: int) -> Iterator[Finding]:
    rows, queries = _made_up(size), _made_up(repetitions)
    index = Index.build((f"{number:016x}", row) for number, row in enumerate(rows))
    searches, products = [], []
    for query in queries:
        searches.append(_milliseconds(partial(index.ranking, query)))
        products.append(_milliseconds(partial(np.matmul, rows, query)))
    ratio = median(search / product for search, product in zip(searches, products, strict=True))
    slowest, most = (MOST_MILLISECONDS, MOST_OF_PLAIN) if size == largest else (math.inf, math.inf)
    yield Finding("gallery", f"{size:,} templates: search", median(searches), "ms", at_most=slowest)
    yield Finding("gallery", f"{size:,}: over the product", ratio, at_most=most)
    if size == largest:
        yield from _changes(index, queries)


def _changes(index: Index, added: Vectors) -> Iterator[Finding]:
    """One template more, again and again; and one person less, each time another."""
    fewer = [_milliseconds(partial(index.without, f"{number:016x}")) for number in range(len(added))]
    more = []
    title = f"{index.size:,}"
    for vector in added:
        before = time.perf_counter()
        index = index.adding("somebody", vector)
        more.append(1e6 * (time.perf_counter() - before))
    yield Finding("gallery", f"{title}: with one more", median(more), "µs")
    yield Finding("gallery", f"{title}: without a person", median(fewer), "ms")


def _made_up(count: int) -> Vectors:
    drawn = np.random.default_rng(SEED + count).standard_normal((count, DIMENSIONS), np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def _milliseconds(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - before)
