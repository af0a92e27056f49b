"""What is laid over a map: the refined boundary's bracket, and the picks.

Notation: a map has R rows and C columns of panels, each with Y by X cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, find_axis
from stabilitysweep.analysis.boundary import STATUSES, BoundaryStatus
from stabilitysweep.analysis.brackets import lowest_of

_FAILED_NEXT = (
    STATUSES.index(BoundaryStatus.FOUND),
    STATUSES.index(BoundaryStatus.ALL_FAIL),
)


@dataclass(frozen=True, slots=True)
class Brackets:
    """Between which two values the boundary of each row of cells lies.

    Attributes:
        safe: float64 [R, C, Y], the largest x with no failure at or below it; NaN for none.
        failing: float64 [R, C, Y], the smallest x above it that fails; NaN for none known.
        refined: bool [R, C, Y], whether the bracket is narrower than the grid's own.
    """

    safe: NDArray[np.float64]
    failing: NDArray[np.float64]
    refined: NDArray[np.bool_]


def places_in(
    table: pd.DataFrame,
    made: Mapping[str, Axis],
    fixed: Mapping[str, int],
    places: Sequence[str | None],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """Where the rows of a table lie among the places of a map.

    Args:
        table: has a column for each axis in `made`.
        made: the axes.
        fixed: names of axes held at one value, with its position.
        places: names of the axes that make up the place, the slowest first; None for one
            value only.

    Returns:
        `(on_grid, kept, place)`: bool [N], whether every value is on its axis; bool [N],
        whether the row is on the map; int64, the place of each row that is.
    """
    codes = {name: encode(table[name], axis) for name, axis in made.items()}
    on_grid = np.ones(len(table), dtype=bool)
    for code in codes.values():
        on_grid &= code >= 0
    kept = on_grid.copy()
    for name, value in fixed.items():
        if name in codes:
            kept &= codes[name] == value
    place = np.zeros(int(kept.sum()), dtype=np.int64)
    for along in places:
        if along is not None:
            place = place * len(made[along]) + codes[along][kept]
    return on_grid, kept, place


def grid_brackets(x: Axis, index: NDArray[np.int64], status: NDArray[np.int8]) -> Brackets:
    """The brackets as the grid alone knows them: between two neighbouring values of x.

    Args:
        x: a numeric axis.
        index: int64 [R, C, Y], see `StabilityMap.boundary_index`.
        status: int8 [R, C, Y], see `StabilityMap.boundary_status`.
    """
    values = np.append(x.numbers, np.nan)
    safe = np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
    failing = np.where(np.isin(status, _FAILED_NEXT), values[index + 1], np.nan)
    return Brackets(safe, failing, np.zeros(index.shape, dtype=bool))


def refined_brackets(
    grid: Brackets, table: pd.DataFrame, row: NDArray[np.int64], kept: NDArray[np.bool_]
) -> Brackets:
    """The brackets with what refinement found, where it narrows them.

    A row of cells that pools several slices has the lowest of their boundaries: no slice
    fails at its safe end, one does at its failing end. Neither end is farther than the grid's
    own, where a slice is not measured so far up; a failure at or below the grid's safe end is
    followed down, and a slice without a safe rate then leaves its whole row without one.

    Args:
        grid: those of the grid.
        table: the boundary table, one row a slice, see `brackets.boundaries`.
        row: the place of each kept slice among the rows of cells, flat.
        kept: bool, the slices of the table that are on the map.
    """
    rows = grid.safe.size
    safe, failing = lowest_of(table.loc[kept], row, rows)
    touched = np.zeros(rows, dtype=bool)
    np.logical_or.at(touched, row, table["refined"].to_numpy(dtype=bool)[kept])

    low, high = grid.safe.ravel(), grid.failing.ravel()
    above = failing > low
    safe = np.where(above, np.fmax(safe, low), safe)
    failing = np.where(above, np.fmin(failing, high), failing)
    narrower = touched & np.isfinite(safe) & (safe > 0) & np.isfinite(failing)
    narrower &= (safe > low) | (failing < high)
    shape = grid.safe.shape
    return Brackets(
        np.where(narrower, safe, low).reshape(shape),
        np.where(narrower, failing, high).reshape(shape),
        narrower.reshape(shape),
    )


def picked_cells(
    picks: Sequence[Mapping[str, Any]],
    made: Mapping[str, Axis],
    fixed: Mapping[str, int],
    places: Sequence[str | None],
    shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """The rank of the best pick in each cell, from 1; 0 without one. int64 [R, C, Y, X].

    An axis that a pick does not name counts for all its values. A pick with a value off the
    map is not on it.

    Args:
        picks: for each pick, the best first, its value on each axis.
        made: the axes.
        fixed: names of axes held at one value, with its position.
        places: names of the axes along rows, columns, y and x; None for one value only.
        shape: R, C, Y, X.

    Raises:
        ResultError: a pick names an axis that there is none of.
    """
    ranks = np.zeros(shape, dtype=np.int64)
    for rank, pick in reversed(list(enumerate(picks, start=1))):
        for name in pick:
            find_axis(made, name, "picks")
        held = [
            made[name].index_of(pick[name]) == place
            for name, place in fixed.items()
            if name in pick
        ]
        at = [
            slice(None) if name is None or name not in pick else made[name].index_of(pick[name])
            for name in places
        ]
        if all(held) and None not in at:
            ranks[tuple(at)] = rank
    return ranks
