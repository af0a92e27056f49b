"""How large a column's values become once filled and scaled, and whether they stay in range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stabilitysweep.data.audit.choices import (
    FLOAT16_LARGEST,
    FLOAT32_LARGEST,
    LARGEST,
    LARGEST_ROOT,
    Choices,
    graded,
    number,
    part,
)
from stabilitysweep.data.audit.numbers import NumberColumn
from stabilitysweep.data.audit.spread import Floats, Spread
from stabilitysweep.data.finding import Finding
from stabilitysweep.data.raw import Rows

REMEDIES = ("standard", "robust", "minmax", "maxabs")
"""Scalings in the order in which they are proposed."""


class Filling(NamedTuple):
    """One way in which the sweep fills the gaps of a column.

    Attributes:
        spread: the column once filled.
        value: what each gap is filled with; None where gaps stay, or there are none.
        constant: whether the user gave that value.
    """

    spread: Spread
    value: float | None = None
    constant: bool = False

    def of(self, values: Floats) -> Floats:
        """The finite values of a column once filled."""
        if self.value is not None:
            values = np.where(np.isnan(values), self.value, values)
        return values[np.isfinite(values)]


def fillings(
    column: NumberColumn, values: Floats, train: Rows, choices: Choices
) -> tuple[Filling, ...]:
    """Every way in which the sweep fills a column, the column as it is first.

    Args:
        column: what was measured of it.
        values: [N], its values.
        train: numbers of the training rows.
        choices: what the sweep does.
    """
    asis = () if column.is_empty else (Filling(column.spread),)
    if not column.missing:
        return asis
    found: dict[tuple[float, bool], None] = {}
    stays = False
    for imputation in choices.imputations:
        if imputation == "constant":
            found |= dict.fromkeys((value, True) for value in choices.fill_values)
        elif imputation != "none" and column.is_empty:
            found[0.0, False] = None
        elif imputation in ("none", "knn") or "robust" not in choices.scalings:
            stays = True  # values that lie between the others move no end of them
        else:
            # Where most of a column is filled with one value, its quartiles are that value.
            middle = column.mean if imputation == "mean" else column.quartiles[1]
            found[column.mean if np.isnan(middle) else middle, False] = None
    filled = (_filled(values, train, *one) for one in found)
    return (*(asis if stays else ()), *filled)


def _filled(values: Floats, train: Rows, value: float, constant: bool) -> Filling:
    every = np.where(np.isnan(values), value, values)
    rows = every[train]
    return Filling(Spread.of(every[np.isfinite(every)], rows[np.isfinite(rows)]), value, constant)


def best_scaling(spreads: Iterable[Spread], limit: float) -> str | None:
    """The first scaling under which all of a column stays within a limit; None without any."""
    spreads = tuple(spreads)
    for scaling in REMEDIES:
        sizes = [spread.largest_after(scaling) for spread in spreads]
        # All 0 is what minmax makes of a range that overflows.
        flat = any(
            not size and spread.low < spread.high
            for size, spread in zip(sizes, spreads, strict=True)
        )
        if not flat and max(sizes) <= limit:
            return scaling
    return None


class _Way(NamedTuple):
    filling: Filling
    scaling: str
    precision: str
    largest: float


def range_findings(
    column: NumberColumn,
    values: Floats,
    train: Rows,
    filled: Sequence[Filling],
    choices: Choices,
) -> Iterator[Finding]:
    """Values too large for a precision, or their squares for float16: the worst of it.

    Args:
        column: what was measured of it.
        values: [N], its values.
        train: numbers of the training rows.
        filled: the ways in which gaps are filled.
        choices: what the sweep does.
    """
    ways = [
        _Way(filling, scaling, precision, filling.spread.largest_after(scaling))
        for filling in filled
        for precision in choices.precisions
        for scaling in choices.scalings
    ]
    broken = [way for way in ways if way.largest > LARGEST[way.precision]]
    risky = [way for way in ways if way.precision in choices.float16 and way.largest > LARGEST_ROOT]
    wide = column.largest > FLOAT16_LARGEST
    if not (column.beyond or broken or risky):
        return
    worst = broken or ([] if wide else risky)
    if broken or wide:
        limit = min(LARGEST[name] for name in choices.precisions)
        above = _limit_passed(column, broken)
    else:
        limit = above = LARGEST_ROOT
    count = column.beyond
    text = _raw_text(column, above)
    if not column.beyond or (broken and not wide):
        count = _count_beyond(worst[0], values, above)
        text = _scaled_text(worst[0], count, column.rows, above)
    elif broken:
        text += f": {_harm(broken[0])} in {broken[0].precision} with scaling {broken[0].scaling}"
    elif risky and not wide:
        text += ": sums of products overflow"
    yield Finding(
        graded(critical=bool(broken), warning=bool(risky and not wide)),
        {FLOAT32_LARGEST: "beyond_float32", FLOAT16_LARGEST: "beyond_float16"}.get(
            above, "beyond_float16_squared"
        ),
        column.name,
        count,
        text,
        _remedy(column, values, train, filled, worst, limit, choices),
    )


def _limit_passed(column: NumberColumn, broken: Sequence[_Way]) -> float:
    """The limit to speak of: what the values pass as they are, or else once scaled."""
    if column.largest > FLOAT16_LARGEST:
        return FLOAT32_LARGEST if column.largest > FLOAT32_LARGEST else FLOAT16_LARGEST
    return min(LARGEST[broken[0].precision], FLOAT32_LARGEST)


def _named(above: float) -> str:
    return "float32's 3.4e38" if above == FLOAT32_LARGEST else "float16's 65,504"


def _raw_text(column: NumberColumn, above: float) -> str:
    up_to = f"up to {number(column.largest)} in magnitude"
    if above == LARGEST_ROOT:
        subject = part(column.beyond, column.rows, "values", "have")
        return f"{subject} a square beyond {_named(above)}, {up_to}"
    return f"{part(column.beyond, column.rows, 'values')} beyond {_named(above)}, {up_to}"


def _scaled_text(way: _Way, count: int, rows: int, above: float) -> str:
    filled = f"filled with {number(way.filling.value)}" if way.filling.value is not None else ""
    scaled = f"scaled ({way.scaling})" if way.scaling != "none" else ""
    once = " and ".join(filter(None, (filled, scaled)))
    up_to = f"up to {number(way.largest)} in magnitude"
    if above == LARGEST_ROOT:
        subject = part(count, rows, "values", "have")
        return f"once {once}, {subject} a square beyond {_named(above)}, {up_to}: " + (
            "sums of products overflow"
        )
    return (
        f"once {once}, {part(count, rows, 'values')} beyond {_named(above)}, {up_to}: "
        f"{_harm(way)} in {way.precision}"
    )


def _harm(way: _Way) -> str:
    return "Inf" if np.isfinite(way.largest) else "NaN or Inf"


def _count_beyond(way: _Way, values: Floats, limit: float) -> int:
    scaled = way.filling.spread.scaled(way.filling.of(values), way.scaling)
    return int(np.count_nonzero(~(np.abs(scaled) <= limit)))


def _remedy(
    column: NumberColumn,
    values: Floats,
    train: Rows,
    filled: Sequence[Filling],
    worst: Sequence[_Way],
    limit: float,
    choices: Choices,
) -> str:
    """Another fill value, another scaling, or else no such column."""
    if worst and all(way.filling.constant for way in worst):
        zeros = _filled(values, train, 0.0, True).spread
        if all(zeros.largest_after(scaling) <= limit for scaling in choices.scalings):
            bad = {way.filling.value for way in worst}
            return choices.use("fill_value", 0.0, bad)
    scaling = best_scaling((filling.spread for filling in filled), limit)
    if scaling is not None:
        return choices.use("scaling", scaling, {way.scaling for way in worst})
    return choices.exclude(column.name)
