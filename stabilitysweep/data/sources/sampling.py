"""Which rows of a source are used: a random sample of them, and each only once.

Notation: N rows, n of them drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.raw import Array

Rows = NDArray[np.int64]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


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
    digest = np.zeros(rows, np.uint64)
    for block in blocks:
        for column in block.reshape(rows, -1).T:
            digest = (digest ^ _bits(column)) * _MIX
            digest ^= digest >> _SHIFT
    _, group = np.unique(digest, return_inverse=True)
    # The digest tells which rows may be equal; these few are compared to the bit.
    shared = np.flatnonzero(np.bincount(group)[group] > 1)
    keep = np.ones(rows, bool)
    met: set[bytes] = set()
    for row in shared:
        bits = b"".join(_bits(block[row : row + 1].ravel()).tobytes() for block in blocks)
        keep[row] = bits not in met
        met.add(bits)
    return np.flatnonzero(keep)


def _bits(values: Array) -> NDArray[np.uint64]:
    if values.dtype.kind in "iu":
        return values.astype(np.uint64)
    # One NaN for all, and 0.0 for -0.0.
    return np.where(np.isnan(values), np.nan, values.astype(np.float64) + 0.0).view(np.uint64)
