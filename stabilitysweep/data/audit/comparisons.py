"""What is wrong between columns: their scales, copies of each other, the target among them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.audit.categories import CategoryColumn
from stabilitysweep.data.audit.choices import Choices, graded, number
from stabilitysweep.data.audit.numbers import NumberColumn
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.raw import RawData

SCALE_RATIO = 1e3
"""Ratio of standard deviations above which scales differ: the stable learning rates of plain
descent go with its square, a million-fold."""

_UNEQUAL_SCALINGS = {"none", "log1p"}


def unequal_scales(columns: Sequence[NumberColumn], choices: Choices) -> Iterator[Finding]:
    """Compare the standard deviations of all columns that vary.

    The finding names the column that is farthest from the middle one.
    """
    spreads = sorted(
        (column.std, column.name)
        for column in columns
        if 0 < column.std < math.inf and not column.is_constant
    )
    if len(spreads) < 2 or spreads[-1][0] <= SCALE_RATIO * spreads[0][0]:
        return
    least, most = spreads[0], spreads[-1]
    middle = spreads[len(spreads) // 2][0]
    if len(spreads) == 2 or most[0] / middle >= middle / least[0]:
        odd, other = most, least
        count = sum(std > SCALE_RATIO * least[0] for std, _ in spreads)
    else:
        odd, other = least, most
        count = sum(std * SCALE_RATIO < most[0] for std, _ in spreads)
    unequal = [scaling for scaling in choices.scalings if scaling in _UNEQUAL_SCALINGS]
    ratio = number(most[0] / least[0])
    text = (
        f"the largest standard deviation, {number(odd[0])}, is {ratio} times the least, "
        f"{number(other[0])} of {other[1]}"
        if odd is most
        else f"the least standard deviation, {number(odd[0])}: the largest, {number(other[0])} "
        f"of {other[1]}, is {ratio} times that"
    )
    yield Finding(
        graded(warning=bool(unequal)),
        "unequal_scales",
        odd[1],
        count,
        text,
        choices.use("scaling", "standard", _UNEQUAL_SCALINGS),
    )


def copied_columns(
    raw: RawData,
    columns: Sequence[NumberColumn],
    categories: Sequence[CategoryColumn],
    choices: Choices,
) -> Iterator[Finding]:
    """Find columns that are the same, value by value, as one before them."""
    alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, column in enumerate(columns):
        if column.is_constant or column.is_empty:
            continue  # said of each by itself
        key = (column.low, column.high, column.mean, column.std, column.missing)
        first = _first_equal(raw.features, place, alike[key])
        if first is None:
            alike[key].append(place)
        else:
            yield _copy(column.name, raw.feature_names[first], column.rows, choices)
    texts: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, category in enumerate(categories):
        if category.width <= 1:
            continue
        same = texts[(category.levels, *category.counts.tolist())]
        first = _first_equal(raw.categories, place, same)
        if first is None:
            same.append(place)
        else:
            yield _copy(category.name, raw.category_names[first], category.rows, choices)


def target_leaks(
    raw: RawData,
    columns: Sequence[NumberColumn],
    categories: Sequence[CategoryColumn],
    choices: Choices,
) -> Iterator[Finding]:
    """Find inputs that are the target itself, as its numbers or as the numbers of its classes."""
    target = raw.target
    if target.dtype.kind in "biuf":
        numeric, texts = target.astype(np.float64), None
    else:
        levels, codes = np.unique(target.astype(str), return_inverse=True)
        numeric, texts = codes.reshape(-1).astype(np.float64), levels
    low, high = float(numeric.min()), float(numeric.max())
    for place, column in enumerate(columns):
        if (column.low, column.high) != (low, high) or column.is_constant or column.missing:
            continue
        if np.array_equal(raw.features[:, place], numeric):
            yield _leak(raw, column.name, choices)
    for place, category in enumerate(categories):
        alike = texts is not None and category.levels == tuple(map(str, texts))
        if alike and np.array_equal(raw.categories[:, place], numeric):
            yield _leak(raw, category.name, choices)


def _first_equal(table: NDArray[Any], place: int, earlier: Sequence[int]) -> int | None:
    equal_nan = table.dtype.kind == "f"
    for other in earlier:
        if np.array_equal(table[:, place], table[:, other], equal_nan=equal_nan):
            return other
    return None


def _copy(name: str, other: str, rows: int, choices: Choices) -> Finding:
    return Finding(
        Severity.NOTE,
        "duplicate_column",
        name,
        rows,
        f"the same values as {other} in all rows",
        choices.exclude(name),
    )


def _leak(raw: RawData, name: str, choices: Choices) -> Finding:
    return Finding(
        Severity.WARNING,
        "target_leak",
        name,
        len(raw.target),
        f"the same values as the target{f' {raw.target_name}' if raw.target_name else ''} in all "
        "rows: the model is told the answer",
        choices.exclude(name),
    )
