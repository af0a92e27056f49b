"""Reading the trials table: outcomes as codes, onsets as numbers.

N is the number of rows. Rows may come in any order; nothing here depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.errors import ResultError
from stabilitysweep.types import Outcome

OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
"""The outcomes in the order in which every count and code lists them."""

RATE = "learning_rate"
"""The axis of the learning rate, unless a user's model calls it otherwise."""

STABLE, STALLED, DIVERGED, NONFINITE, CRASHED = range(len(OUTCOMES))


def require_columns(trials: pd.DataFrame, names: Iterable[str]) -> None:
    """Checks that the table has the columns.

    Raises:
        ResultError: one is missing; the message lists the missing and the present.
    """
    missing = [name for name in names if name not in trials.columns]
    if missing:
        raise ResultError(
            f"expected the trials table to have the column(s) {', '.join(missing)}; "
            f"it has {', '.join(map(str, trials.columns))}"
        )


def outcome_codes(trials: pd.DataFrame) -> NDArray[np.int64]:
    """The outcome of every row as its position in `OUTCOMES`, int64 [N].

    Raises:
        ResultError: a value is no outcome.
    """
    codes, distinct = pd.factorize(trials["outcome"], use_na_sentinel=False)
    known = {str(outcome): place for place, outcome in enumerate(OUTCOMES)}
    foreign = [str(value) for value in distinct if str(value) not in known]
    if foreign:
        raise ResultError(f"expected outcomes among {', '.join(known)}; got {', '.join(foreign)}")
    table = np.array([known[str(value)] for value in distinct], dtype=np.int64)
    return table[codes] if len(table) else np.empty(0, dtype=np.int64)


def beside(axes: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of axes, then the others of a table.

    Args:
        axes: name of each axis to its column.
        measured: name of each other column to it. An axis called as one of them, as the `hp` of
            a user's build may be, is `hp_NAME`.

    Example:
        >>> beside({"depth": 1, "share": 2}, {"share": 3})
        {'depth': 1, 'hp_share': 2, 'share': 3}
    """
    found: dict[str, Any] = {}
    for name, column in axes.items():
        free = name
        while free in measured or free in found or (free != name and free in axes):
            free = f"hp_{free}"
        found[free] = column
    return found | dict(measured)


def numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """A column as float64 [N]; NaN where it is missing or no number."""
    converted: pd.Series[Any] = pd.to_numeric(column, errors="coerce")
    return converted.to_numpy(dtype=np.float64, na_value=np.nan)
