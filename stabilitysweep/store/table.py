"""The trials table as a DataFrame, column by column.

N is the number of trials.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.errors import ResultError
from stabilitysweep.store.base import ConfigRecord, Defaults
from stabilitysweep.store.encoding import decode_metrics
from stabilitysweep.store.rows import IDENTITY, MEASURED

TABLED = (*IDENTITY, *MEASURED)
"""The columns of the database that the trials table is made of."""

_ABSENT = object()
_EXACT = 2**53  # whole numbers up to this are exact as float64


def build_table(
    columns: Sequence[Sequence[Any]],
    configs: Mapping[int, ConfigRecord],
    axes: Sequence[str],
    defaults: Defaults | None,
    metrics: Sequence[str],
) -> pd.DataFrame:
    """Return the trials table, see `Store.table`.

    Args:
        columns: the stored values of each of `TABLED`, N each.
        configs: every recorded config, by its id.
        axes: the axis columns wanted.
        defaults: fills an axis that a trial lacks.
        metrics: metrics that come first.

    Returns:
        A table of N rows, in the order given.

    Raises:
        ResultError: a trial lacks an axis that has no default.
        ValueError, TypeError: a stored value is damaged.
    """
    stored = dict(zip(TABLED, columns, strict=True))
    table: dict[str, Any] = {"trial_id": _text(stored["trial_id"])}
    settings = _parse_all(stored["axes"])
    for axis in axes:
        values = [found.get(axis, _ABSENT) for found in settings]
        if any(value is _ABSENT for value in values):
            values = _filled(axis, values, stored, configs, defaults)
        table[axis] = _axis(values)
    table["seed"] = np.array(stored["seed"], np.int64)
    for name, kind in MEASURED.items():
        match kind:
            case "text":
                table[name] = _text(stored[name])
            case "count":
                table[name] = pd.array(list(stored[name]), dtype="Int64")
            case "float":
                table[name] = _floats(stored[name])
            case "metrics":
                table |= _metrics(stored[name], metrics)
    return pd.DataFrame(table, copy=False)


def _parse_all(texts: Sequence[str]) -> list[Any]:
    # One call of the parser for all rows: several times faster than one for each.
    return list(json.loads("[" + ",".join(texts) + "]"))


def _filled(
    axis: str,
    values: list[Any],
    stored: Mapping[str, Sequence[Any]],
    configs: Mapping[int, ConfigRecord],
    defaults: Defaults | None,
) -> list[Any]:
    lacking = {
        config
        for value, config in zip(values, stored["config_id"], strict=True)
        if value is _ABSENT
    }
    known = {config: _default(axis, configs[config], defaults) for config in sorted(lacking)}
    return [
        known[config] if value is _ABSENT else value
        for value, config in zip(values, stored["config_id"], strict=True)
    ]


def _default(axis: str, config: ConfigRecord, defaults: Defaults | None) -> Any:
    if callable(defaults):
        return defaults(axis, config)
    if defaults is not None and axis in defaults:
        return defaults[axis]
    raise ResultError(
        f"trials of the config recorded {config.created} have no value for the axis '{axis}', "
        "and there is no default for it."
    )


def _axis(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    exact = all(abs(value) <= _EXACT for value in values if type(value) is int)
    if kinds == {bool}:
        return np.array(values, np.bool_)
    if kinds == {int} and exact:
        return np.array(values, np.int64)
    if float in kinds and kinds <= {int, float} and exact:
        return np.array(values, np.float64)
    # A None among them is a value (`clipnorm: [null, 1]`), and would become NaN as a float.
    column = np.empty(len(values), object)
    column[:] = values
    return pd.Series(column, dtype=object)


def _metrics(texts: Sequence[str], first: Sequence[str]) -> dict[str, Any]:
    measured = [decode_metrics(found) for found in _parse_all(texts)]
    found = {name for row in measured for name in row}
    names = [*first, *sorted(found - set(first))]
    return {
        f"val_{name}": np.array([row.get(name, np.nan) for row in measured], np.float64)
        for name in names
    }


def _floats(values: Sequence[float | str | None]) -> Any:
    # NumPy turns None to NaN, and "nan", "+inf", "-inf" to what they say.
    return np.array(values, object).astype(np.float64)


def _text(values: Sequence[str | None]) -> Any:
    # pandas' own text type would turn None into NaN.
    return pd.Series(values, dtype=object)
