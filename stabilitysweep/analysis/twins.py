"""Trials beside their twins: the same settings and seed but for one axis.

N is the number of trials. Arrays in, arrays out; the order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.table import numbers, require_columns


def excess_over_twin(
    trials: pd.DataFrame, axes: Sequence[str], column: str, axis: str, value: Any
) -> NDArray[np.float64]:
    """Return by how much a number exceeds that of the twin at `value` on `axis`.

    Args:
        trials: the trials table.
        axes: every axis of it.
        column: the number.
        axis: the axis in which a trial and its twin differ; one of `axes`, or no axis at all.
        value: the twin's value there.

    Returns:
        float64 [N]; 0 for the twins themselves, NaN where a trial or its twin has no number or
        there is no twin.

    Raises:
        ResultError: the table lacks a column.
    """
    if axis not in axes:
        return np.full(len(trials), np.nan)
    shared = [name for name in axes if name != axis] + ["seed"]
    require_columns(trials, [*shared, axis, column])
    own = numbers(trials[column])
    # As text, so that values of any type, None among them, can be matched.
    keys = pd.MultiIndex.from_frame(trials[shared].astype(str))
    at = (trials[axis].astype(str) == str(value)).to_numpy()
    twins = pd.Series(own[at], index=keys[at])
    return own - twins.reindex(keys).to_numpy(dtype=np.float64)
