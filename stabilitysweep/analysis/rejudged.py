"""Outcomes judged anew, from what is stored: arrays in, arrays out.

N is the number of trials.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.table import numbers, require_columns
from stabilitysweep.numerics.outcomes import Thresholds, rejudge
from stabilitysweep.types import Outcome


def recomputed_outcomes(trials: pd.DataFrame, thresholds: Thresholds) -> NDArray[np.object_]:
    """Return the outcome of every trial under other thresholds, as text: object [N].

    A crash stays a crash, and what became non-finite stays so.

    Args:
        trials: the trials table, rows in any order.
        thresholds: where the final loss, over the initial one, parts the finite outcomes.

    Raises:
        ResultError: the table lacks a column.
    """
    require_columns(trials, ["outcome", "initial_loss", "final_loss"])
    found = [
        rejudge(outcome, float(initial), float(final), thresholds).value
        for outcome, initial, final in zip(
            map(Outcome, trials["outcome"]),
            numbers(trials["initial_loss"]),
            numbers(trials["final_loss"]),
            strict=True,
        )
    ]
    return np.array(found, dtype=object)
