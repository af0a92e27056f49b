"""A map as a table: what its figure shows, one row a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.boundary import STATUSES
from stabilitysweep.analysis.cells import CAUSES
from stabilitysweep.analysis.table import OUTCOMES

if TYPE_CHECKING:
    from stabilitysweep.analysis.maps import StabilityMap


def map_frame(data: StabilityMap) -> pd.DataFrame:
    """See `StabilityMap.to_frame`."""
    shape = data.shape
    places = np.indices(shape).reshape(4, -1)
    columns: dict[str, Any] = {}
    for name, value in data.fixed.items():
        columns[name] = values_at([value], np.zeros(places.shape[1], dtype=np.int64))
    for axis, place in zip((data.rows, data.columns, data.y, data.x), places, strict=True):
        if axis is not None:
            columns[axis.name] = values_at(axis.values, place)
    columns["trials"] = data.trials.ravel()
    for code, outcome in enumerate(OUTCOMES):
        columns[outcome.value] = data.counts[..., code].ravel()
    columns["stability"] = data.stability.ravel()
    columns["dominant"] = values_at([*OUTCOMES, None], data.dominant.ravel())
    columns["onset_earliest"] = data.onset_earliest.ravel()
    columns["onset_median"] = data.onset_median.ravel()
    if data.cause is not None:
        columns["cause"] = values_at([*CAUSES, None], data.cause.ravel())
    if data.value is not None:
        columns[data.shown.label if data.shown else "value"] = data.value.ravel()

    def of_rows(array: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(array[..., None], shape).ravel()

    if data.boundary_status is not None:
        columns["boundary_status"] = values_at(STATUSES, of_rows(data.boundary_status))
    if data.bracket_safe is not None and data.bracket_failing is not None:
        columns["boundary_safe"] = of_rows(data.bracket_safe)
        columns["boundary_failing"] = of_rows(data.bracket_failing)
    if data.refined is not None:
        columns["boundary_refined"] = of_rows(data.refined)
    if data.theory is not None:
        columns["critical_learning_rate"] = of_rows(data.theory)
    if data.picks is not None:
        columns["pick"] = data.picks.ravel()
    return pd.DataFrame(columns)


def values_at(values: Sequence[object], places: NDArray[Any]) -> pd.Series[Any]:
    """The values at some places, as a column of their own type; place -1 is the last."""
    plain = [str(value) if isinstance(value, str) else value for value in values]
    held = np.empty(len(plain), dtype=object)
    held[:] = plain
    column: pd.Series[Any] = pd.Series(held[places.astype(np.int64)], dtype=object)
    return column.infer_objects()
