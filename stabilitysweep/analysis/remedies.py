"""What helps a failed trial: the nearest cells in which no seed failed.

M is the number of cells with a row, A of axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.explanation import Remedy
from stabilitysweep.analysis.neighbours import Lattice
from stabilitysweep.analysis.table import RATE
from stabilitysweep.types import Outcome


def remedies(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    trial_id: str,
    most: int = 5,
    rate: str = RATE,
) -> list[Remedy]:
    """Find the nearest cells in which at least one seed was measured and none failed.

    Cells that differ from the trial's on one axis come first: on each axis the nearest, and of
    two equally near the safer one (a lower learning rate, depth, width or momentum, a larger
    batch, more regularisation, a longer warm-up, float32). Where none helps alone, two axes are
    changed together, for each pair the nearest; where that does not help either, the one cell
    that is nearest over all axes is returned.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        trial_id: the trial.
        most: the largest number returned.
        rate: the name of the axis of the learning rate.

    Returns:
        The nearest first, among equals the learning rate; of a trial that stalled those in
        which every seed is `stable`. None for a trial that is stable or crashed, or whose own
        settings are not on the axes.

    Raises:
        ResultError: there is no such trial, or the table lacks a column.
    """
    lattice = Lattice.of(trials, axes, rate)
    row = lattice.row_of(trials, trial_id)
    learnt = trials["outcome"].to_numpy() == Outcome.STABLE
    if not lattice.measured[row] or learnt[row]:
        return []
    own = lattice.places[row]
    cells = lattice.cells
    usable = cells.holds & (cells.places >= 0).all(axis=1)
    if not lattice.failed[row]:  # it stalled: only where every seed learns is better
        numbered = lattice.groups(seeds=False)
        usable &= np.bincount(numbered[~learnt], minlength=len(usable)) == 0
    places, seeds = cells.places[usable], cells.measured[usable]
    away = lattice.away(places, own)
    order = _best_first(lattice, places, own, away)
    chosen = list(_nearest(away, order))[: max(most, 0)]
    return [
        Remedy(
            changes={
                name: (axis.values[own[column]], axis.values[places[cell, column]])
                for column, (name, axis) in enumerate(lattice.axes.items())
                if away[cell, column]
            },
            seeds=int(seeds[cell]),
            steps_away=int(away[cell].sum()),
        )
        for cell in chosen
    ]


def _best_first(
    lattice: Lattice,
    places: NDArray[np.int64],
    own: NDArray[np.int64],
    away: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Order cells: the nearest, then with the learning rate changed, then the safer.

    What is still equal goes by the order of the axes, then of their values, and so never by
    the order of the rows.
    """
    names = list(lattice.axes)
    rate = names.index(lattice.rate) if lattice.rate in names else None
    without_rate = np.ones(len(places)) if rate is None else away[:, rate] == 0
    safer = lattice.safer(places, own).sum(axis=1)
    by_axis = [away[:, column] == 0 for column in range(len(names))]
    by_value = [places[:, column] for column in range(len(names))]
    keys = [away.sum(axis=1), without_rate, -safer, *by_axis, *by_value]
    return np.lexsort(keys[::-1])


def _nearest(away: NDArray[np.int64], order: NDArray[np.int64]) -> Iterable[int]:
    """Pick the first cell of each axis; else of each pair of axes; else the first of all."""
    changed = away[order] > 0
    for number in (1, 2):
        candidates = np.flatnonzero(changed.sum(axis=1) == number)
        if len(candidates):
            _, first = np.unique(changed[candidates], axis=0, return_index=True)
            return [int(order[place]) for place in candidates[np.sort(first)]]
    return [int(order[0])] if len(order) else []
