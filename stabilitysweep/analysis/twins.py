"""Trials beside their twins: the same settings and seed but for one axis.

N is the number of trials. Arrays in, arrays out; the order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.table import numbers, require_columns


def zeros_beside_twin(
    trials: pd.DataFrame, axes: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many more gradient entries are zero than in the float32 twin, two ways.

    With z the trial's `zero_gradients` and z32 its twin's: the excess z - z32, and the share
    lost (z - z32) / (1 - z32), which is 1 where every entry that is not zero in float32 became
    zero. Below 0 where the twin has more zeros, as one with other initial weights may.

    Args:
        trials: the trials table.
        axes: every axis of it; the twin is the trial at `float32` on the axis `precision`.

    Returns:
        `(excess, lost)`, float64 [N] each; 0 for the twins themselves; NaN where there is no
        twin, or where one of the two became non-finite: it was not looked at over the same steps.

    Raises:
        ResultError: the table lacks a column.
    """
    if "precision" not in axes:
        return np.full(len(trials), np.nan), np.full(len(trials), np.nan)
    shared = [name for name in axes if name != "precision"] + ["seed"]
    require_columns(trials, [*shared, "precision", "zero_gradients", "onset_step"])
    own = numbers(trials["zero_gradients"])
    own = np.where(trials["onset_step"].isna().to_numpy(), own, np.nan)
    group = np.zeros(len(trials), np.int64)
    for name in shared:
        # As text, so that values of any type, None among them, can be matched.
        codes, values = pd.factorize(trials[name].astype(str), use_na_sentinel=False)
        # Numbered anew each time, so that no product of many axes can overflow.
        group = pd.factorize(group * max(len(values), 1) + codes)[0].astype(np.int64)
    at = (trials["precision"].astype(str) == "float32").to_numpy()
    of_group = np.full(int(group.max(initial=-1)) + 1, np.nan)
    of_group[group[at]] = own[at]
    twin = of_group[group]
    excess, left = own - twin, 1.0 - twin
    lost = np.full(len(trials), np.nan)
    np.divide(excess, left, out=lost, where=left > 0)
    return excess, lost
