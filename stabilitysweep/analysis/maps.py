"""The stability map: what became of the trials, cell by cell.

Notation: a map has R rows and C columns of panels, each with Y by X cells; an axis that
is not shown counts as one row, column or y. K is the number of outcomes, N of trials.
Every array has the shape [R, C, Y, X], or [R, C, Y] for what belongs to a whole row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, find_axis, find_value, make_axes
from stabilitysweep.analysis.boundary import STATUSES, Boundary, find_boundary
from stabilitysweep.analysis.layout import Layout, choose_layout
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    OUTCOMES,
    RATE,
    STABLE,
    STALLED,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.errors import ResultError

LIMIT = "critical_learning_rate"
"""The column of the theoretical limit."""


@dataclass(frozen=True, slots=True)
class CellValue:
    """A number of the trials that a map shows for each cell.

    Attributes:
        column: its column in the trials table.
        statistic: of a cell's trials that have one.
    """

    column: str
    statistic: Literal["lowest", "median"]


@dataclass(frozen=True, slots=True, eq=False)
class StabilityMap:
    """Everything a figure of the stable region needs. The arrays are read-only.

    Attributes:
        x: the horizontal axis of each panel.
        y: the vertical axis; None for a single strip (Y = 1).
        rows: the axis down the rows of panels; None for one row (R = 1).
        columns: the axis along the columns of panels; None for one column (C = 1).
        pooled: names of the axes pooled over, like the seeds.
        fixed: axes held at one value: those in `where`, and those with only one value.
        seeds: number of different seeds on the map.
        trials_per_cell: trials of a cell when the sweep is complete.
        counts: int64 [R, C, Y, X, K], trials per outcome, in the order of `OUTCOMES`.
        stability: float64 [R, C, Y, X] in [0, 1], the share of measured trials that
            neither diverged nor became non-finite; NaN where none is measured. Crashed
            trials count neither way.
        dominant: int8 [R, C, Y, X] into `OUTCOMES`: for cells where at least half of
            the measured trials failed the more frequent failure, for other measured
            cells the more frequent of stable and stalled, `crashed` where every trial
            crashed, -1 without a trial. Ties go to non-finite and to stable.
        onset_earliest: float64 [R, C, Y, X], the lowest onset step among the trials
            that have one; NaN without.
        onset_median: float64 [R, C, Y, X], their median.
        value: float64 [R, C, Y, X], the number asked for by `value`; NaN where no trial of
            the cell has it. None if none was asked for.
        theory: float64 [R, C, Y], the median `critical_learning_rate` of a whole row of cells;
            NaN where none of its trials has one. None if it was not asked for.
        boundary_index: int64 [R, C, Y], position on x of the largest value with no
            failure at or below it; -1 for none. None if x is categorical, or y the learning rate.
        boundary_status: int8 [R, C, Y] into `STATUSES`. None if x is categorical.
        missing: trials of the shown part of the grid that have no row yet.
        off_grid: rows left out because a value in them is not on its axis.
    """

    x: Axis
    y: Axis | None
    rows: Axis | None
    columns: Axis | None
    pooled: tuple[str, ...]
    fixed: Mapping[str, Any]
    seeds: int
    trials_per_cell: int
    counts: NDArray[np.int64]
    stability: NDArray[np.float64]
    dominant: NDArray[np.int8]
    onset_earliest: NDArray[np.float64]
    onset_median: NDArray[np.float64]
    value: NDArray[np.float64] | None
    theory: NDArray[np.float64] | None
    boundary_index: NDArray[np.int64] | None
    boundary_status: NDArray[np.int8] | None
    missing: int
    off_grid: int

    def __post_init__(self) -> None:
        """Locks the arrays."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """R, C, Y and X."""
        rows, columns, height, width, _ = self.counts.shape
        return rows, columns, height, width

    @property
    def trials(self) -> NDArray[np.int64]:
        """int64 [R, C, Y, X], the number of trials in each cell."""
        total: NDArray[np.int64] = self.counts.sum(axis=-1)
        return total

    @property
    def measured(self) -> NDArray[np.int64]:
        """int64 [R, C, Y, X], the trials that could be run: all but the crashed."""
        return self.trials - self.counts[..., CRASHED]

    @property
    def failures(self) -> NDArray[np.int64]:
        """int64 [R, C, Y, X], the trials that diverged or became non-finite."""
        return self.counts[..., DIVERGED] + self.counts[..., NONFINITE]

    def boundaries(self) -> list[Boundary]:
        """The boundary of every y row of every panel; empty if there is none."""
        if self.boundary_index is None or self.boundary_status is None:
            return []
        found = []
        for (row, column, y), index in np.ndenumerate(self.boundary_index):
            found.append(
                Boundary(
                    row=self.rows.values[row] if self.rows else None,
                    column=self.columns.values[column] if self.columns else None,
                    y=self.y.values[y] if self.y else None,
                    value=self.x.values[index] if index >= 0 else None,
                    status=STATUSES[int(self.boundary_status[row, column, y])],
                )
            )
        return found


def stability_map(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    *,
    x: str | None = None,
    y: str | None = None,
    rows: str | None = None,
    columns: str | None = None,
    where: Mapping[str, object] | None = None,
    pool: Collection[str] = (),
    value: CellValue | None = None,
    theory: bool = False,
    rate: str = RATE,
) -> StabilityMap:
    """Counts the trials cell by cell and finds the boundary in every row of cells.

    Axes that are given no place are pooled over, like the seeds.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values, with the values as the table has
            them; not all of the grid need be trained.
        x: name of the axis to put there; None chooses (see `layout`). So for `y`,
            `rows`, `columns`.
        y: see `x`.
        rows: see `x`.
        columns: see `x`.
        where: axes to hold at one value, as name to value or its text.
        pool: names of axes to pool over rather than show.
        value: a number of the trials to take along, cell by cell.
        theory: whether to take along the theoretical limit of the learning rate.
        rate: the name of the axis of the learning rate.

    Raises:
        ResultError: a name is no axis or has two places, a value is not on its axis,
            the table lacks a column or holds an unknown outcome; the theory is asked for
            and x is not the learning rate, or no trial on the map has a limit.
    """
    made = make_axes(axes)
    fixed = {
        name: find_value(find_axis(made, name, "where"), value, f"where {name}")
        for name, value in (where or {}).items()
    }
    layout = choose_layout(
        made, x=x, y=y, rows=rows, columns=columns, fixed=fixed, pool=pool, rate=rate
    )
    places = (layout.rows, layout.columns, layout.y, layout.x)
    fixed |= {name: 0 for name in made if name not in {*places, *layout.pooled, *fixed}}
    require_columns(trials, [*made, "seed", "outcome", "onset_step"])
    require_columns(trials, [value.column] if value else [])

    codes = {name: encode(trials[name], axis) for name, axis in made.items()}
    on_grid = np.logical_and.reduce([code >= 0 for code in codes.values()])
    kept = on_grid.copy()
    for name, place in fixed.items():
        kept &= codes[name] == place
    shown = tuple(len(made[name]) if name else 1 for name in places)
    cell = np.zeros(int(kept.sum()), dtype=np.int64)
    for place_name, size in zip(places, shown, strict=True):
        cell = cell * size + (codes[place_name][kept] if place_name else 0)

    counts = _count(cell, outcome_codes(trials)[kept], math.prod(shown))
    onset = numbers(trials["onset_step"])[kept]
    earliest, median = _lowest_and_median(cell, onset, math.prod(shown))
    of_cells = None
    if value is not None:
        own = _lowest_and_median(cell, numbers(trials[value.column])[kept], math.prod(shown))
        of_cells = own[0 if value.statistic == "lowest" else 1].reshape(shown)
    limits = None
    if theory:
        _require_learning_rate(layout.x, rate)
        limit = numbers(trials[LIMIT])[kept] if LIMIT in trials else np.full(len(cell), np.nan)
        of_rows = _lowest_and_median(cell // shown[-1], limit, math.prod(shown[:-1]))[1]
        limits = of_rows.reshape(shown[:-1])
        _require_a_limit(limits)
    seeds = int(trials["seed"][kept].nunique())
    per_cell = seeds * math.prod(len(made[name]) for name in layout.pooled)
    return _assemble(
        made,
        layout,
        fixed={name: made[name].values[place] for name, place in fixed.items()},
        seeds=seeds,
        per_cell=per_cell,
        counts=counts.reshape(*shown, len(OUTCOMES)),
        earliest=earliest.reshape(shown),
        median=median.reshape(shown),
        value=of_cells,
        theory=limits,
        off_grid=len(trials) - int(on_grid.sum()),
        rate=rate,
    )


def _assemble(
    made: Mapping[str, Axis],
    layout: Layout,
    *,
    fixed: Mapping[str, Any],
    seeds: int,
    per_cell: int,
    counts: NDArray[np.int64],
    earliest: NDArray[np.float64],
    median: NDArray[np.float64],
    value: NDArray[np.float64] | None,
    theory: NDArray[np.float64] | None,
    off_grid: int,
    rate: str,
) -> StabilityMap:
    """The record, with all that follows from the counts."""
    total = counts.sum(axis=-1)
    measured = total - counts[..., CRASHED]
    failures = counts[..., DIVERGED] + counts[..., NONFINITE]
    stability = np.full(measured.shape, np.nan)
    np.divide(measured - failures, measured, out=stability, where=measured > 0)
    index = status = None
    # The boundary is that along the learning rate: drawn upwards, it has no line in x.
    if made[layout.x].numeric and layout.y != rate:
        index, status = find_boundary(failures > 0, measured > 0)
    return StabilityMap(
        x=made[layout.x],
        y=made[layout.y] if layout.y else None,
        rows=made[layout.rows] if layout.rows else None,
        columns=made[layout.columns] if layout.columns else None,
        pooled=layout.pooled,
        fixed=fixed,
        seeds=seeds,
        trials_per_cell=per_cell,
        counts=counts,
        stability=stability,
        dominant=_dominant(counts, measured, failures),
        onset_earliest=earliest,
        onset_median=median,
        value=value,
        theory=theory,
        boundary_index=index,
        boundary_status=status,
        missing=int(np.maximum(per_cell - total, 0).sum()),
        off_grid=off_grid,
    )


def _require_learning_rate(x: str, rate: str) -> None:
    if x != rate:
        raise ResultError(
            f"theory: expected the learning rate along x, since its limit is a learning rate; "
            f"got {x!r}. Choose {rate} as x."
        )


def _require_a_limit(limits: NDArray[np.float64]) -> None:
    if np.isnan(limits).all():
        raise ResultError(
            f"theory: expected trials with a {LIMIT}; none on this map has one. It is known of "
            "sgd without clipnorm and without dropout, in results of this version."
        )


def _count(cell: NDArray[np.int64], outcome: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
    """Trials per cell and outcome, int64 [cells, K]."""
    kinds = len(OUTCOMES)
    flat = np.bincount(cell * kinds + outcome, minlength=cells * kinds)
    return flat.reshape(cells, kinds).astype(np.int64)


def _lowest_and_median(
    cell: NDArray[np.int64], number: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the median number of each cell, float64 [cells]; NaN without one."""
    lowest, median = np.full(cells, np.nan), np.full(cells, np.nan)
    known = ~np.isnan(number)
    cell, number = cell[known], number[known]
    order = np.lexsort((number, cell))
    number = number[order]
    present, start, length = np.unique(cell[order], return_index=True, return_counts=True)
    if len(present):
        lowest[present] = number[start]
        low, high = number[start + (length - 1) // 2], number[start + length // 2]
        median[present] = (low + high) / 2
    return lowest, median


def _dominant(
    counts: NDArray[np.int64], measured: NDArray[np.int64], failures: NDArray[np.int64]
) -> NDArray[np.int8]:
    """See `StabilityMap.dominant`."""
    failing = np.where(counts[..., DIVERGED] > counts[..., NONFINITE], DIVERGED, NONFINITE)
    holding = np.where(counts[..., STALLED] > counts[..., STABLE], STALLED, STABLE)
    side = np.where(2 * failures >= measured, failing, holding)
    unmeasured = np.where(counts[..., CRASHED] > 0, CRASHED, -1)
    return np.where(measured > 0, side, unmeasured).astype(np.int8)
