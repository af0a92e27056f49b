"""A hash of each row of a table, to find those that are equal.

Notation: N rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ODD = np.uint64(0x9E3779B97F4A7C15)
# The finalizer of splitmix64: each bit of a value changes each of its hash with equal chance.
_STEPS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_LAST_SHIFT = np.uint64(31)


class RowHashes:
    """A 64-bit hash of each row, made column by column.

    1,000,000 different rows share one with a probability of 3e-8.
    """

    def __init__(self, rows: int) -> None:
        """Begin with N rows without columns."""
        self.values = np.zeros(rows, np.uint64)

    def add(self, column: NDArray[Any]) -> None:
        """Take in a column [N] of numbers or text; -0.0 is 0.0, and NaN equals NaN."""
        bits = _bits(column)
        for shift, factor in _STEPS:
            bits ^= bits >> shift
            bits *= factor
        bits ^= bits >> _LAST_SHIFT
        self.values *= _ODD
        self.values += bits


def _bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a copy of a column as whole numbers, equal where its values are."""
    if column.dtype.kind in "biu":
        return column.astype(np.uint64)
    if column.dtype.kind != "f":
        return np.unique(column.astype(str), return_inverse=True)[1].reshape(-1).astype(np.uint64)
    numbers = column.astype(np.float64)
    numbers += 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.uint64)
