"""Templates as the columns of a matrix, in parts of which each can be replaced alone.

A row of templates a dimension, dims x N, is searched in half the time of N x dims: the product then reads memory from one end
to the other and sums up thousands of templates at once (`appliance bench gallery` measures both).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from appliance.face.types import Embedding

DIMENSIONS = 512
"""Of an embedding."""

MOST = 4096
"""Columns of a part: 8 MB, copied in a few milliseconds when somebody is left out; larger parts are searched no faster
(measured with 1,024 to 50,000: from 4,096 on all take the same).
"""

_FIRST = 64
"""Columns that there is room for at first: 128 kB."""


@dataclass(frozen=True, slots=True)
class Columns:
    """At most MOST templates and whose they are (`owners`, by column). It never changes; one that is made from it by adding
    shares its memory, in which only columns are written that no earlier one has.
    """

    owners: tuple[str, ...]
    _room: "_Room"

    @classmethod
    def of(cls, rows: Sequence[tuple[str, Embedding]]) -> Self:
        """From each template's owner and vector, at most MOST. Raises ValueError for anything but 512 finite numbers."""
        vectors = [checked(vector) for _, vector in rows]
        content = np.stack(vectors, axis=1) if vectors else np.empty((DIMENSIONS, 0), np.float32)
        return cls(tuple(owner for owner, _ in rows), _Room(_capacity(len(rows)), [content]))

    @property
    def size(self) -> int:
        return len(self.owners)

    def adding(self, owner: str, vector: Embedding) -> Self:
        """One more. Raises ValueError for anything but 512 finite numbers."""
        column = checked(vector)
        room = self._room
        if not room.claim(self.size):
            room = _Room(_capacity(self.size + 1), [room.matrix[:, : self.size]])
            room.claim(self.size)
        room.matrix[:, self.size] = column
        return type(self)((*self.owners, owner), room)

    def without(self, owner: str) -> Self:
        """All but somebody's, in memory of their own: what is left out is gone with the last who still searches in it."""
        theirs = [column for column, each in enumerate(self.owners) if each == owner]
        owners = tuple(each for each in self.owners if each != owner)
        between = zip([0, *(column + 1 for column in theirs)], [*theirs, self.size], strict=True)
        stretches = [self._room.matrix[:, start:end] for start, end in between]
        return type(self)(owners, _Room(_capacity(len(owners)), stretches))

    def cosines(self, query: Embedding, out: npt.NDArray[np.float32]) -> None:
        """Writes the cosine of `query` (512) with each template (`size`)."""
        np.matmul(query, self._room.matrix[:, : self.size], out=out)


class _Room:
    """Memory for columns, handed out one after another, each once."""

    def __init__(self, capacity: int, stretches: Sequence[npt.NDArray[np.float32]]) -> None:
        """Its first columns are those of the `stretches`, one after another."""
        self.matrix = np.zeros((DIMENSIONS, capacity), np.float32)
        self._claimed = 0
        for stretch in stretches:
            end = self._claimed + stretch.shape[1]
            self.matrix[:, self._claimed : end] = stretch
            self._claimed = end
        self._lock = threading.Lock()

    def claim(self, column: int) -> bool:
        """Whether the caller may write this column: it is the next free one."""
        with self._lock:
            free = column == self._claimed < self.matrix.shape[1]
            self._claimed += free
            return free


def checked(vector: Embedding) -> Embedding:
    """The vector. Raises ValueError when it has not 512 finite numbers."""
    if vector.shape != (DIMENSIONS,) or not np.isfinite(vector).all():
        raise ValueError(f"an embedding has {DIMENSIONS} finite numbers")
    return vector


def _capacity(columns: int) -> int:
    """Room for so many: a power of two, so that adding one after another copies each a few times at most."""
    return min(max(_FIRST, 1 << (columns - 1).bit_length()), MOST)
