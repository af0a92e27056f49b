"""Which rows of a source are used: a random sample of them, and each only once.

Notation: N rows, n of them drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.raw import Array, Rows
from stabilitysweep.data.row_hash import RowHashes

_BLOCK_ROWS = 2**14
"""Rows are hashed and compared so many at a time, for the processor's cache."""


class Sample:
    """A random sample of rows that come one chunk after the other, their number unknown.

    Row i is given the i-th number of a seeded generator, and the rows with the n smallest are
    the sample: it depends on the seed and on N, not on the chunks, and no more than those
    rows that may still belong to it need to be kept.
    """

    def __init__(self, size: int, seed: int) -> None:
        """Draw `size` rows."""
        self.total = 0
        self._size = size
        self._generator = np.random.default_rng(seed)
        self._keys = np.empty(0)
        self._limit = np.inf

    def admit(self, rows: int) -> Rows:
        """Return which of the next rows, counted from 0, may belong to the sample."""
        keys = self._generator.random(rows)
        self.total += rows
        places = np.flatnonzero(keys <= self._limit)
        self._keys = np.concatenate([self._keys, keys[places]])
        return places

    def prune(self, last: bool = False) -> Rows | None:
        """Return the places, among the rows kept so far, of those to go on with.

        None stands for all of them: it is not worth the copy yet, or there is none too many.
        """
        if len(self._keys) <= (self._size if last else 2 * self._size):
            return None
        chosen = np.sort(np.argsort(self._keys, kind="stable")[: self._size])
        self._keys = self._keys[chosen]
        self._limit = float(self._keys.max())
        return chosen


def first_of_equals(*blocks: Array) -> Rows:
    """Return the rows that equal no row before them, NaN being equal to NaN.

    Args:
        blocks: arrays of numbers [N] or [N, ...]; a row is what they hold side by side.
    """
    rows = len(blocks[0])
    tables = [block.reshape(rows, math.prod(block.shape[1:])) for block in blocks]
    hashes = _hashes(tables)
    keep = np.zeros(rows, bool)
    left = np.argsort(hashes, kind="stable")
    while left.size:
        begins = np.concatenate([[True], np.diff(hashes[left]) != 0])
        keep[left[begins]] = True
        first = left[begins][np.cumsum(begins) - 1]
        left, first = left[~begins], first[~begins]
        # Rows that share a hash and yet differ are compared with each other once more.
        left = left[~_are_equal(tables, left, first)]
    return np.flatnonzero(keep)


def _hashes(tables: Sequence[Array]) -> NDArray[np.uint64]:
    parts = []
    for start in range(0, len(tables[0]), _BLOCK_ROWS):
        block = [table[start : start + _BLOCK_ROWS] for table in tables]
        hashes = RowHashes(len(block[0]))
        for column in (column for table in block for column in table.T):
            hashes.add(column)
        parts.append(hashes.values)
    return np.concatenate([np.empty(0, np.uint64), *parts])


def _are_equal(tables: Sequence[Array], rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Whether each row equals the one beside it in `others`."""
    equal = np.ones(len(rows), bool)
    for start in range(0, len(rows), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        for table in tables:
            ours, theirs = table[rows[part]], table[others[part]]
            same = (ours == theirs) | ((ours != ours) & (theirs != theirs))
            equal[part] &= same.all(axis=1)
    return equal
