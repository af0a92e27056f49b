"""What the trials of each cell of a map come to: counts, medians, what dominates.

Notation: N trials, each in one of `cells` cells, given as its code int64 [N]; K outcomes,
Q causes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    STABLE,
    STALLED,
    numbers,
    outcome_codes,
)
from stabilitysweep.types import Cause

CAUSES: tuple[Cause, ...] = tuple(Cause)
"""The causes in the order in which every count and code lists them."""

LEARNING = "final_over_initial_loss"
"""What `learning` computes, as the column of a `CellValue`."""


def count(
    cell: NDArray[np.int64], kind: NDArray[np.int64], kinds: int, cells: int
) -> NDArray[np.int64]:
    """Trials per cell and kind, int64 [cells, kinds]; a kind below 0 is not counted."""
    known = kind >= 0
    flat = np.bincount(cell[known] * kinds + kind[known], minlength=cells * kinds)
    return flat.reshape(cells, kinds).astype(np.int64)


def lowest_and_median(
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


def dominant(
    counts: NDArray[np.int64], measured: NDArray[np.int64], failures: NDArray[np.int64]
) -> NDArray[np.int8]:
    """See `StabilityMap.dominant`."""
    failing = np.where(counts[..., DIVERGED] > counts[..., NONFINITE], DIVERGED, NONFINITE)
    holding = np.where(counts[..., STALLED] > counts[..., STABLE], STALLED, STABLE)
    side = np.where(2 * failures >= measured, failing, holding)
    unmeasured = np.where(counts[..., CRASHED] > 0, CRASHED, -1)
    return np.where(measured > 0, side, unmeasured).astype(np.int8)


def cause_codes(trials: pd.DataFrame) -> NDArray[np.int64]:
    """The cause of every row as its position in `CAUSES`, int64 [N]; -1 without one."""
    known = {str(cause): place for place, cause in enumerate(CAUSES)}
    codes = trials["cause"].map(lambda cause: known.get(str(cause), -1))
    return codes.to_numpy(dtype=np.int64)


def learning(trials: pd.DataFrame) -> NDArray[np.float64]:
    """The final over the initial loss of every row, float64 [N].

    Below 1 a trial learnt, above 1 it lost. One that became non-finite has lost all: infinity,
    so that a median over a cell knows of it. NaN for crashed trials, and where the initial loss
    is not above 0 or the final one below 0, as a loss of a user's own may be.

    Args:
        trials: the trials table, with `outcome`, `initial_loss` and `final_loss`.
    """
    outcome = outcome_codes(trials)
    initial, final = numbers(trials["initial_loss"]), numbers(trials["final_loss"])
    usable = (initial > 0) & np.isfinite(initial) & (final >= 0) & (outcome != CRASHED)
    ratio = np.full(len(trials), np.nan)
    np.divide(final, initial, out=ratio, where=usable)
    ratio[outcome == NONFINITE] = np.inf
    return ratio


def finished_steps(trials: pd.DataFrame) -> tuple[int, int] | None:
    """The fewest and the most steps of the trials that ran their budget to its end.

    None where no trial did, or the table does not say.
    """
    if "steps_run" not in trials:
        return None
    ended = np.isin(outcome_codes(trials), (STABLE, STALLED, DIVERGED))
    steps = numbers(trials["steps_run"])[ended]
    steps = steps[~np.isnan(steps)]
    return (int(steps.min()), int(steps.max())) if len(steps) else None
