"""The record of a map: everything a figure of the stable region needs, and its table.

Notation: a map has R rows and C columns of panels, each with Y by X cells; an axis that
is not shown counts as one row, column or y. K is the number of outcomes, Q of causes. Every
array has the shape [R, C, Y, X], or [R, C, Y] for what belongs to a whole row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, values_at
from stabilitysweep.analysis.boundary import STATUSES, Boundary
from stabilitysweep.analysis.cells import CAUSES
from stabilitysweep.analysis.table import CRASHED, DIVERGED, NONFINITE, OUTCOMES, beside


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
        `critical_learning_rate` where there are such; `fewest_steps` and `most_steps`, which
        all of it holds for, if known.
        """
        shape = self.shape
        places = np.indices(shape).reshape(4, -1)
        named: dict[str, Any] = {}
        for name, value in self.fixed.items():
            named[name] = values_at([value], np.zeros(places.shape[1], dtype=np.int64))
        for axis, place in zip((self.rows, self.columns, self.y, self.x), places, strict=True):
            if axis is not None:
                named[axis.name] = values_at(axis.values, place)
        columns: dict[str, Any] = {"trials": self.trials.ravel()}
        for code, outcome in enumerate(OUTCOMES):
            columns[outcome.value] = self.counts[..., code].ravel()
        columns["stability"] = self.stability.ravel()
        columns["dominant"] = values_at([*OUTCOMES, None], self.dominant.ravel())
        columns["onset_earliest"] = self.onset_earliest.ravel()
        columns["onset_median"] = self.onset_median.ravel()
        if self.cause is not None:
            columns["cause"] = values_at([*CAUSES, None], self.cause.ravel())
        if self.value is not None:
            columns[self.shown.label if self.shown else "value"] = self.value.ravel()

        def of_rows(array: NDArray[Any]) -> NDArray[Any]:
            return np.broadcast_to(array[..., None], shape).ravel()

        if self.boundary_status is not None:
            columns["boundary_status"] = values_at(STATUSES, of_rows(self.boundary_status))
        if self.bracket_safe is not None and self.bracket_failing is not None:
            columns["boundary_safe"] = of_rows(self.bracket_safe)
            columns["boundary_failing"] = of_rows(self.bracket_failing)
        if self.refined is not None:
            columns["boundary_refined"] = of_rows(self.refined)
        if self.steps is not None:
            columns["fewest_steps"], columns["most_steps"] = self.steps
        if self.theory is not None:
            columns["critical_learning_rate"] = of_rows(self.theory)
        if self.picks is not None:
            columns["pick"] = self.picks.ravel()
        return pd.DataFrame(beside(named, columns))

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
