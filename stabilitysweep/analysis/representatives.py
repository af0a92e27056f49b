"""A few failed trials that stand for all, to be looked at closely.

N is the number of trials, A of axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.neighbours import Lattice
from stabilitysweep.analysis.summary import causes_of, earliest_onset_row
from stabilitysweep.analysis.table import RATE, numbers, require_columns


@dataclass(frozen=True, slots=True)
class Representative:
    """A failed trial, and what it stands for.

    Attributes:
        trial_id: the trial.
        reason: `earliest onset; one of 812 with float16_overflow`.
    """

    trial_id: str
    reason: str


def representatives(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], rate: str = RATE
) -> list[Representative]:
    """Pick the failed trials that show most.

    They are the one with the earliest onset; for each cause the most typical, whose onset is
    the median one; and the one nearest to the boundary: along the learning rate, or without
    one along any axis with an order, the fewest places away from a cell that holds, and of
    those the one with the latest onset. Ties go to the lowest id.

    Args:
        trials: the trials table, N rows in any order. Without a column `cause`, no trial is
            picked for a cause.
        axes: name of each axis to the grid's values.
        rate: the name of the axis of the learning rate.

    Returns:
        In that order, the causes by their frequency, each trial once with all its reasons;
        empty if nothing failed.

    Raises:
        ResultError: the table lacks a column or holds an unknown outcome.
    """
    require_columns(trials, ["trial_id", "onset_step", "onset_stage"])
    lattice = Lattice.of(trials, axes, rate)
    step = numbers(trials["onset_step"])
    ids = trials["trial_id"].astype(str).to_numpy(dtype=object)
    reasons: dict[int, list[str]] = {}
    first = earliest_onset_row(trials)
    if first is not None:
        reasons.setdefault(first, []).append("earliest onset")
    cause, counts = causes_of(trials)
    for name, number in counts.items():
        rows = np.flatnonzero((cause == name).to_numpy())
        words = f"one of {number:,} with {name}" if number > 1 else f"the only one with {name}"
        reasons.setdefault(_typical(rows, step, ids), []).append(words)
    edge = _at_the_boundary(lattice, step, ids)
    if edge is not None:
        reasons.setdefault(edge, []).append("nearest to the boundary")
    return [Representative(str(ids[row]), "; ".join(words)) for row, words in reasons.items()]


def nearest_failed(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], trial_id: str
) -> str | None:
    """Find the failed trial nearest to another, in places on the axes.

    Of several equally near, one with the same seed is taken, then the one with the lowest id.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        trial_id: the trial.

    Returns:
        The id; None if no trial failed. A value off the grid counts as one place away.

    Raises:
        ResultError: there is no such trial, or the table lacks a column.
    """
    lattice = Lattice.of(trials, axes)
    row = lattice.row_of(trials, trial_id)
    others = np.flatnonzero(lattice.failed & (np.arange(len(trials)) != row))
    if not len(others):
        return None
    own = lattice.places[row]
    away = np.where(own < 0, 1, lattice.away(lattice.places[others], own)).sum(axis=1)
    ids = trials["trial_id"].astype(str).to_numpy(dtype=object)[others]
    other_seed = lattice.seeds[others] != lattice.seeds[row]
    return str(ids[_first(ids, away, other_seed)])


def _first(ids: NDArray[np.object_], *keys: NDArray[np.generic]) -> int:
    """Return the position of the lowest: by the keys, the first of them first, then by id."""
    return int(np.lexsort([ids.astype(str), *keys[::-1]])[0])


def _typical(rows: NDArray[np.int64], step: NDArray[np.float64], ids: NDArray[np.object_]) -> int:
    """Return the row with the median onset; trials that stayed finite count as the latest."""
    late = np.where(np.isnan(step[rows]), np.inf, step[rows])
    median = np.sort(late)[(len(rows) - 1) // 2]
    alike = rows[late == median]
    return int(alike[_first(ids[alike])])


def _at_the_boundary(
    lattice: Lattice, step: NDArray[np.float64], ids: NDArray[np.object_]
) -> int | None:
    """Return the failed row fewest places from a cell that holds; None if there is none."""
    names = [lattice.rate] if lattice.rate in lattice.ordered else sorted(lattice.ordered)
    distance = np.full(len(ids), np.inf)
    for name in names:
        distance = np.minimum(distance, _distance(lattice, name))
    rows = np.flatnonzero(lattice.failed & np.isfinite(distance))
    if not len(rows):
        return None
    # A trial that only diverged has no onset to look at: it comes last.
    latest = np.where(np.isnan(step[rows]), -1.0, step[rows])
    return int(rows[_first(ids[rows], distance[rows], -latest)])


def _distance(lattice: Lattice, name: str) -> NDArray[np.float64]:
    """Return how many places along one axis the nearest cell that holds is away.

    Returns:
        float64 [N]; infinite where no cell on the trial's line along the axis holds.
    """
    # A line's cells, seeds together, and its places, numbered so that those of one line follow
    # each other. Two lines are further apart than any line is long.
    size = len(lattice.axes[name])
    at = lattice.groups(but=name, seeds=False) * (2 * size + 1) + lattice.column(name)
    ran, broke = np.unique(at[lattice.measured]), np.unique(at[lattice.failed])
    holds = np.setdiff1d(ran, broke, assume_unique=True)
    if not len(holds):
        return np.full(len(at), np.inf)
    after = np.searchsorted(holds, at).clip(max=len(holds) - 1)
    gap = np.minimum(np.abs(holds[after] - at), np.abs(holds[(after - 1).clip(min=0)] - at))
    return np.where(gap < size, gap.astype(np.float64), np.inf)
