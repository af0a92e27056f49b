"""The stability map: what became of the trials, cell by cell.

Notation: a map has R rows and C columns of panels, each with Y by X cells; an axis that
is not shown counts as one row, column or y. K is the number of outcomes, Q of causes, N of
trials. Every array has the shape [R, C, Y, X], or [R, C, Y] for what belongs to a whole row.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, find_axis, find_value, make_axes
from stabilitysweep.analysis.boundary import find_boundary
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
from stabilitysweep.analysis.map_record import CellValue, StabilityMap
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
