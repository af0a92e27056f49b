"""The stability map: what became of the trials, cell by cell.

Notation: a map has R rows and C columns of panels, each with Y by X cells; an axis that
is not shown counts as one row, column or y. K is the number of outcomes, Q of causes, N of
trials. Every array has the shape [R, C, Y, X], or [R, C, Y] for what belongs to a whole row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, find_axis, find_value, make_axes
from stabilitysweep.analysis.boundary import STATUSES, Boundary, find_boundary
from stabilitysweep.analysis.cells import (
    CAUSES,
    LEARNING,
    cause_codes,
    count,
    dominant,
    finished_steps,
    learning,
    lowest_and_median,
)
from stabilitysweep.analysis.layout import Layout, choose_layout
from stabilitysweep.analysis.map_frame import map_frame
from stabilitysweep.analysis.overlays import (
    Brackets,
    grid_brackets,
    picked_cells,
    places_in,
    refined_brackets,
)
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    OUTCOMES,
    RATE,
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
        column: its column in the trials table, or `cells.LEARNING`.
        statistic: of a cell's trials that have one.
    """

    column: str
    statistic: Literal["lowest", "median"]

    @property
    def label(self) -> str:
        """Statistic and column, as `lowest_headroom_bits`."""
        return f"{self.statistic}_{self.column}"


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
        shown: what `value` is. None if none was asked for.
        cause_counts: int64 [R, C, Y, X, Q], trials per cause, in the order of `CAUSES`. None if
            the table has no causes.
        steps: the fewest and the most steps among the trials that ran their budget to its end:
            what every verdict on the map holds for. None if unknown.
        bracket_safe: float64 [R, C, Y], the boundary's safe end: the largest x known to have no
            failure at or below it; NaN for none. None where `boundary_index` is None.
        bracket_failing: float64 [R, C, Y], the smallest x above it that is known to fail; NaN
            for none. None where `boundary_index` is None.
        refined: bool [R, C, Y], whether the bracket is narrower than two neighbouring cells.
            None where `boundary_index` is None.
        picks: int64 [R, C, Y, X], the rank of the best pick in each cell, from 1; 0 without
            one. None if none were given.
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
    shown: CellValue | None = None
    cause_counts: NDArray[np.int64] | None = None
    steps: tuple[int, int] | None = None
    bracket_safe: NDArray[np.float64] | None = None
    bracket_failing: NDArray[np.float64] | None = None
    refined: NDArray[np.bool_] | None = None
    picks: NDArray[np.int64] | None = None

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

    @property
    def cause(self) -> NDArray[np.int8] | None:
        """The most frequent cause of each cell's trials: int8 [R, C, Y, X] into `CAUSES`.

        The earlier of two as frequent; -1 where no trial has one. None if the table has none.
        """
        if self.cause_counts is None:
            return None
        most = self.cause_counts.argmax(axis=-1)
        return np.where(self.cause_counts.any(axis=-1), most, -1).astype(np.int8)

    def to_frame(self) -> pd.DataFrame:
        """Return all that a figure of the map shows, one row a cell, x the fastest.

        Columns: the fixed axes and those of the map; `trials` and a count for each outcome;
        `stability`, `dominant`, `onset_earliest`, `onset_median`; `cause`, the value asked for
        (as `lowest_headroom_bits`) and `pick` where there are such. Of the cell's whole row:
        `boundary_status`, `boundary_safe`, `boundary_failing`, `boundary_refined` and
        `critical_learning_rate` where there are such.
        """
        return map_frame(self)

    def _repr_html_(self) -> str:
        """The table's first and last rows, for notebooks."""
        sizes = " x ".join(
            f"{len(axis)} {axis.name}"
            for axis in (self.rows, self.columns, self.y, self.x)
            if axis is not None
        )
        table = self.to_frame().to_html(
            max_rows=12, border=0, index=False, float_format=lambda number: f"{number:.4g}"
        )
        return f"<p><b>StabilityMap</b>: {escape(sizes)}</p>{table}"

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
    boundaries: pd.DataFrame | None = None,
    picks: Sequence[Mapping[str, Any]] | None = None,
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
        boundaries: the table of `brackets.boundaries`: where it has a refined boundary, so has
            the map.
        picks: for each pick, the best first, its value on each axis.
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
    wanted = [] if value is None or value.column == LEARNING else [value.column]
    require_columns(trials, [*made, "seed", "outcome", "onset_step", *wanted])

    on_grid, kept, cell = places_in(trials, made, fixed, places)
    shown = tuple(len(made[name]) if name else 1 for name in places)
    cells = math.prod(shown)
    on_map = trials[kept]
    counts = count(cell, outcome_codes(trials)[kept], len(OUTCOMES), cells)
    earliest, median = lowest_and_median(cell, numbers(on_map["onset_step"]), cells)
    of_cells = None
    if value is not None:
        number = learning(on_map) if value.column == LEARNING else numbers(on_map[value.column])
        own = lowest_and_median(cell, number, cells)
        of_cells = own[0 if value.statistic == "lowest" else 1].reshape(shown)
    causes = None
    if "cause" in trials:
        causes = count(cell, cause_codes(on_map), len(CAUSES), cells)
        causes = causes.reshape(*shown, len(CAUSES))
    limits = None
    if theory:
        _require_learning_rate(layout.x, rate)
        limit = numbers(on_map[LIMIT]) if LIMIT in trials else np.full(len(cell), np.nan)
        of_rows = lowest_and_median(cell // shown[-1], limit, math.prod(shown[:-1]))[1]
        limits = of_rows.reshape(shown[:-1])
        _require_a_limit(limits)
    seeds = int(on_map["seed"].nunique())
    drawn = _assemble(
        made,
        layout,
        fixed={name: made[name].values[place] for name, place in fixed.items()},
        seeds=seeds,
        per_cell=seeds * math.prod(len(made[name]) for name in layout.pooled),
        counts=counts.reshape(*shown, len(OUTCOMES)),
        earliest=earliest.reshape(shown),
        median=median.reshape(shown),
        value=of_cells,
        theory=limits,
        off_grid=len(trials) - int(on_grid.sum()),
        rate=rate,
    )
    brackets = _brackets(drawn)
    if brackets is not None and boundaries is not None and layout.x == rate:
        others = {name: axis for name, axis in made.items() if name != rate}
        _, of_map, row = places_in(boundaries, others, fixed, places[:-1])
        brackets = refined_brackets(brackets, boundaries, row, of_map)
    return replace(
        drawn,
        shown=value,
        cause_counts=causes,
        steps=finished_steps(on_map),
        bracket_safe=None if brackets is None else brackets.safe,
        bracket_failing=None if brackets is None else brackets.failing,
        refined=None if brackets is None else brackets.refined,
        picks=None if picks is None else picked_cells(picks, made, fixed, places, shown),
    )


def _brackets(data: StabilityMap) -> Brackets | None:
    """The brackets of the grid alone; None if there is no boundary in x."""
    if data.boundary_index is None or data.boundary_status is None:
        return None
    return grid_brackets(data.x, data.boundary_index, data.boundary_status)


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
        dominant=dominant(counts, measured, failures),
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
