"""A column of numbers, measured once: what every finding about it is made of.

Notation: N rows. Statistics that preprocessing would learn are of the training rows; counts
and extremes are of all rows. What is measured does not depend on the order of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.audit.choices import (
    FLOAT16_LARGEST,
    FLOAT32_LARGEST,
    LARGEST_ROOT,
    number,
)
from stabilitysweep.data.audit.spread import (
    IQR_OF_NORMAL,
    OUTLIER_Z,
    UNKNOWN,
    Floats,
    Quartiles,
    Spread,
    find_quartiles,
    moments,
)
from stabilitysweep.data.raw import Rows

_COLUMNS_AT_ONCE = 8  # a row of 8 numbers is a line of the cache: the table is read once
_ROWS_AT_ONCE = 4_096  # and what is copied together stays in the cache

SPARSE_OUTLIER_Z = 30.0
"""The same where most values are equal, and the quartiles are of the few others."""

MOST_OUTLIERS = 0.1
"""Share of the values above which what lies far out is a second mode, not outliers."""

MARK_REPEATS = 3
"""How often an extreme value must occur to be taken for a mark of missing values."""

MARK_GAP = 0.5
"""Its distance to the next value, as a share of the range of all other values."""

_FEWEST_FOR_QUARTILES = 20
_HUGE_MARK = 1e20  # 1e20, 1e30, 9.97e36 and the largest float mark gaps in scientific formats
_NINES_FROM = 90.0  # 9 and 9.9 are ordinary numbers; 99, 99.9 and 999 with a gap around are not
_INTEGER_LIMITS = frozenset(
    limit
    for bits in (15, 16, 31, 32, 63, 64)
    for limit in (2.0**bits, 2.0**bits - 1, -(2.0**bits), 1 - 2.0**bits)
)
_CHANCE_EXPONENT = 28.0
"""N random whole numbers of a range R all differ with probability exp(-N^2 / 2R): at most 1e-6
if R < N^2 / 28."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """What there is to know of one column.

    Attributes:
        name: its name.
        rows: N.
        missing: number of NaN.
        missing_validation: of them, in validation rows.
        positive_infinities: number of +Inf.
        negative_infinities: number of -Inf.
        infinities_validation: of both, in validation rows.
        known_training: number of finite values in training rows; without any, every
            statistic below is NaN.
        low: least finite value of all rows.
        high: largest finite value of all rows.
        train_low: least of the training rows.
        train_high: largest of the training rows.
        mean: of the training rows, as are the next two.
        std: standard deviation, divided by their number.
        quartiles: 25 %, 50 % and 75 %; NaN where nothing depends on them.
        beyond: number of values beyond float32, or if none is beyond float16, or if none is
            beyond it once squared.
        marks: extreme values that look like marks of missing ones, and how often they occur.
        outliers: number of values with a robust z-score above the threshold, marks left out.
        farthest: the value farthest from the median, marks left out.
        farthest_z: its robust z-score, 0 where there is none.
        is_identifier: whether it numbers the rows: whole numbers, all different, in a range
            that chance would not leave without a repetition.
        not_above_minus_one: number of values of which log1p is not finite.
    """

    name: str
    rows: int
    missing: int
    missing_validation: int
    positive_infinities: int
    negative_infinities: int
    infinities_validation: int
    known_training: int
    low: float = math.nan
    high: float = math.nan
    train_low: float = math.nan
    train_high: float = math.nan
    mean: float = math.nan
    std: float = math.nan
    quartiles: Quartiles = UNKNOWN
    beyond: int = 0
    marks: tuple[tuple[float, int], ...] = ()
    outliers: int = 0
    farthest: float = math.nan
    farthest_z: float = 0.0
    is_identifier: bool = False
    not_above_minus_one: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether no training row has a value."""
        return self.known_training == 0

    @property
    def is_constant(self) -> bool:
        """Whether all training rows that have a value have the same."""
        return self.train_low == self.train_high

    @property
    def largest(self) -> float:
        """Largest finite magnitude."""
        return max(abs(self.low), abs(self.high))

    def marks_in_words(self) -> tuple[str, list[float]]:
        """The marks with their rows as a subject, and as a config has them."""
        said = " and ".join(f"{number(value)} in {count:,} rows" for value, count in self.marks)
        return said, [int(value) if value == int(value) else value for value, _ in self.marks]

    @property
    def spread(self) -> Spread:
        """What scaling learns of the values that are there; of a column that is not empty."""
        return Spread(
            self.known_training,
            self.low,
            self.high,
            self.train_low,
            self.train_high,
            self.mean,
            self.std,
            self.quartiles,
        )


def measure_columns(
    features: Floats, names: tuple[str, ...], held_out: NDArray[np.bool_]
) -> Iterator[tuple[NumberColumn, Floats]]:
    """Measure the columns of a table one after another.

    Args:
        features: [N, D]; NaN and Inf allowed.
        names: D names.
        held_out: [N], whether a row is for validation.

    Yields:
        Each column measured, and its values [N] without gaps between them in memory; they
        are there until the next column is asked for.
    """
    train = np.flatnonzero(~held_out)
    block = np.empty((_COLUMNS_AT_ONCE, len(features)))
    for first in range(0, len(names), _COLUMNS_AT_ONCE):
        chosen = names[first : first + _COLUMNS_AT_ONCE]
        for row in range(0, len(features), _ROWS_AT_ONCE):
            part = features[row : row + _ROWS_AT_ONCE, first : first + len(chosen)]
            block[: len(chosen), row : row + len(part)] = part.T
        for name, values in zip(chosen, block, strict=False):
            yield measure(name, values, train), values


def measure(name: str, values: Floats, train_rows: Rows) -> NumberColumn:
    """Measure one column.

    Args:
        name: its name.
        values: [N].
        train_rows: numbers of the training rows.
    """
    with np.errstate(all="ignore"):  # squares of 1e200 are Inf, which is an answer
        finite = np.isfinite(values)
        whole = bool(finite.all())
        train, counts = values[train_rows], (0, 0, 0, 0, 0)
        if not whole:
            counts = _count_nonfinite(values, train)
            train = train[np.isfinite(train)]
        if not train.size:
            return NumberColumn(name, len(values), *counts, known_training=0)
        known = values if whole else values[finite]
        low, high = float(known.min()), float(known.max())
        mean, std = moments(train)
        marks, ordinary_train = _find_marks(known, train, low, high)
        ordinary = known[~np.isin(known, [value for value, _ in marks])] if marks else known
        quartiles, beyond = UNKNOWN, _count_beyond(known, max(abs(low), abs(high)))
        far = (0, math.nan, 0.0)
        if marks or beyond or not _surely_without_outliers(train, low, high, mean, std):
            quartiles = find_quartiles(train)
            if ordinary_train.size:
                middle = find_quartiles(ordinary_train) if marks else quartiles
                far = _find_outliers(ordinary, ordinary_train, middle)
        return NumberColumn(
            name,
            len(values),
            *counts,
            known_training=len(train),
            low=low,
            high=high,
            train_low=float(train.min()),
            train_high=float(train.max()),
            mean=mean,
            std=std,
            quartiles=quartiles,
            beyond=beyond,
            marks=marks,
            outliers=far[0],
            farthest=far[1],
            farthest_z=far[2],
            is_identifier=whole and _numbers_the_rows(values, low, high),
            not_above_minus_one=int(np.count_nonzero(known <= -1)) if low <= -1 else 0,
        )


def _count_nonfinite(values: Floats, train: Floats) -> tuple[int, int, int, int, int]:
    missing, training = (int(np.count_nonzero(np.isnan(side))) for side in (values, train))
    plus, minus = (int(np.count_nonzero(values == end)) for end in (math.inf, -math.inf))
    infinite = int(np.count_nonzero(np.isinf(train)))
    return missing, missing - training, plus, minus, plus + minus - infinite


def _count_beyond(known: Floats, largest: float) -> int:
    for limit in (FLOAT32_LARGEST, FLOAT16_LARGEST, LARGEST_ROOT):
        if largest > limit:
            return int(np.count_nonzero(np.abs(known) > limit))
    return 0


def _surely_without_outliers(
    train: Floats, low: float, high: float, mean: float, std: float
) -> bool:
    """Prove that there is no outlier without finding the quartiles, which takes 30 times longer.

    A quarter of the values at or below a, and another at or above b, bound the quartiles from
    inside; the median lies between a and b if half of the values are on either side of both.
    """
    a, b = mean - std / 2, mean + std / 2
    below, above = int(np.count_nonzero(train <= a)), int(np.count_nonzero(train >= b))
    rows = len(train)
    # Two rows of reserve: quartiles are values that are there, next to the quarters.
    if not all(rows / 4 + 2 <= side < rows / 2 for side in (below, above)):
        return False
    return max(high - a, b - low) <= OUTLIER_Z * (b - a) / IQR_OF_NORMAL


def _find_marks(
    known: Floats, train: Floats, low: float, high: float
) -> tuple[tuple[tuple[float, int], ...], Floats]:
    """Marks of missing values at either end, and the training values without them."""
    marks: list[tuple[float, int]] = []
    found = True
    while found and len(known):
        found = False
        for value in (low, high):
            if not _looks_like_mark(value):
                continue
            others = known[known != value]
            count = len(known) - len(others)
            if count < MARK_REPEATS or not len(others):
                continue
            next_low, next_high = float(others.min()), float(others.max())
            gap = next_low - value if value == low else value - next_high
            if gap >= MARK_GAP * (next_high - next_low):
                marks.append((value, count))
                known, train = others, train[train != value]
                low, high, found = next_low, next_high, True
                break
    return tuple(marks), train


def _looks_like_mark(value: float) -> bool:
    """Whether a value is one that files mark gaps with: nines, or the limit of a type."""
    size = abs(value)
    if size >= _HUGE_MARK or value in _INTEGER_LIMITS:
        return True
    digits = str(int(size)) if size == int(size) else f"{size:.6g}".replace(".", "")
    return set(digits) == {"9"} and (size >= _NINES_FROM or value == -9)


def _find_outliers(values: Floats, train: Floats, quartiles: Quartiles) -> tuple[int, float, float]:
    """The number of outliers, the value farthest out and its robust z-score."""
    low, middle, high = quartiles
    limit = OUTLIER_Z
    if low == high:  # most values are the same: the others are measured by themselves
        others = train[train != middle]
        if len(others) < _FEWEST_FOR_QUARTILES:
            return 0, middle, 0.0
        limit, values = SPARSE_OUTLIER_Z, values[values != middle]
        low, middle, high = find_quartiles(others)
        if low == high:
            return 0, middle, 0.0
    scale = (high - low) / IQR_OF_NORMAL
    ends = float(values.min()), float(values.max())
    farthest = max(ends, key=lambda value: abs(value - middle))
    if not abs(farthest - middle) > limit * scale:
        return 0, farthest, 0.0
    count = int(np.count_nonzero(np.abs(values - middle) > limit * scale))
    if count > MOST_OUTLIERS * len(values):
        return 0, farthest, 0.0
    return count, farthest, abs(farthest - middle) / scale


def _numbers_the_rows(values: NDArray[Any], low: float, high: float) -> bool:
    rows, reach = len(values), high - low + 1
    if not rows <= reach <= rows**2 / _CHANCE_EXPONENT:
        return False
    beginning = values[:256]  # most columns are not whole, which a look at a few values tells
    if np.any(beginning != np.floor(beginning)) or np.any(values != np.floor(values)):
        return False
    return bool(np.all(np.diff(np.sort(values)) > 0))
