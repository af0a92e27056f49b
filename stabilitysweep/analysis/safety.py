"""How every cell of a grid stands, in all data sets together: safe, unstable, or not measured.

A cell is *unstable* if a trial of it diverged or became non-finite in any data set, or in a long
run; *safe* if in every data set all its seeds could be run and none did; else *not measured*. A
cell that stalls is safe: nothing broke in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes
from stabilitysweep.analysis.standing import DATASET, Panel
from stabilitysweep.analysis.table import CRASHED, DIVERGED, NONFINITE, numbers, outcome_codes
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.errors import ResultError

SAFE, UNSTABLE, UNMEASURED = range(3)
"""The states of a cell, the higher the less is known of it."""

MOST_CELLS = 20_000_000

States = NDArray[np.int8]


def joint_axes(panels: Sequence[Panel]) -> dict[str, Axis]:
    """The axes of several panels, each with the values that any of them has.

    Args:
        panels: at least one, all with the same names of axes.

    Raises:
        ResultError: the names differ, or there would be more than `MOST_CELLS` cells.
    """
    names = list(panels[0].axes)
    for panel in panels[1:]:
        if set(panel.axes) != set(names):
            raise ResultError(
                f"expected results with the same axes; {panels[0].label} has {', '.join(names)}, "
                f"{panel.label} has {', '.join(panel.axes)}."
            )
    values = {name: [v for panel in panels for v in panel.axes[name].values] for name in names}
    axes = make_axes(values)
    cells = math.prod(map(len, axes.values()))
    if cells > MOST_CELLS:
        raise ResultError(
            f"expected a grid of at most {MOST_CELLS:,} cells, got {cells:,}. Hold an axis at one "
            "value with 'where'."
        )
    return axes


def cell_states(
    panels: Sequence[Panel],
    axes: Mapping[str, Axis],
    withdrawn: Sequence[Sequence[Withdrawn]] = (),
) -> States:
    """How every cell stands in all panels together.

    Args:
        panels: at least one.
        axes: their axes, see `joint_axes`.
        withdrawn: for each source of the panels, the cells of which long runs failed.

    Returns:
        `SAFE`, `UNSTABLE` or `UNMEASURED` of each cell, int8, with a dimension an axis.
    """
    states = np.stack([_states(panel, axes, withdrawn) for panel in panels])
    worst = np.where((states == UNMEASURED).any(axis=0), UNMEASURED, SAFE)
    return np.where((states == UNSTABLE).any(axis=0), UNSTABLE, worst).astype(np.int8)


def _states(
    panel: Panel, axes: Mapping[str, Axis], withdrawn: Sequence[Sequence[Withdrawn]]
) -> States:
    shape = tuple(map(len, axes.values()))
    size = math.prod(shape)
    codes = [encode(panel.trials[name], axis) for name, axis in axes.items()]
    outcome = outcome_codes(panel.trials)
    known = np.all([code >= 0 for code in codes], axis=0) & (outcome != CRASHED)
    cell = np.ravel_multi_index([code[known] for code in codes], shape)
    outcome = outcome[known]
    failed = np.bincount(cell[(outcome == DIVERGED) | (outcome == NONFINITE)], minlength=size) > 0
    seeds = numbers(panel.trials["seed"])[known]
    pairs = np.unique(np.column_stack([cell.astype(np.float64), seeds]), axis=0)
    complete = np.bincount(pairs[:, 0].astype(np.int64), minlength=size) >= panel.seeds
    states = np.where(failed, UNSTABLE, np.where(complete, SAFE, UNMEASURED)).astype(np.int8)
    states = states.reshape(shape)
    for own in withdrawn[panel.source] if panel.source < len(withdrawn) else ():
        if panel.dataset is not None and own.axes.get(DATASET, panel.dataset) != panel.dataset:
            continue
        places = [_place(axis, own.axes) for axis in axes.values()]
        if None not in places:
            states[tuple(places)] = UNSTABLE
    return states


def _place(axis: Axis, values: Mapping[str, Any]) -> slice | int | None:
    """Where a cell is on an axis; all of it where the cell says nothing of that."""
    return axis.index_of(values[axis.name]) if axis.name in values else slice(None)
