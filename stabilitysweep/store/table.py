"""The trials table as a DataFrame, column by column.

N is the number of trials. Rows come in batches: what a database hands out takes several times
the memory of the columns that are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.errors import ResultError
from stabilitysweep.store.base import ConfigRecord, Defaults
from stabilitysweep.store.encoding import decode_metrics
from stabilitysweep.store.rows import IDENTITY, MEASURED

TABLED = (*IDENTITY, *MEASURED)
"""The columns of the database that the trials table is made of."""

_ABSENT = object()
_EXACT = 2**53  # whole numbers up to this are exact as float64


class TableColumns:
    """The columns of a trials table while its rows are read."""

    def __init__(self, axes: Sequence[str]) -> None:
        """Begin without a row.

        Args:
            axes: the axis columns wanted.
        """
        self._axes: dict[str, list[Any]] = {axis: [] for axis in axes}
        self._ids: list[str] = []
        self._texts: dict[str, list[str | None]] = {
            name: [] for name, kind in MEASURED.items() if kind == "text"
        }
        self._arrays: dict[str, list[NDArray[Any]]] = {}
        self._metrics: list[tuple[int, dict[str, NDArray[np.float64]]]] = []
        self._alike: dict[str, str] = {}

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take in some rows, at least one, each the values of `TABLED`.

        Raises:
            ValueError, TypeError: a stored value is damaged.
        """
        stored = dict(zip(TABLED, zip(*rows, strict=True), strict=True))
        self._ids += stored["trial_id"]
        settings = _parse_all(stored["axes"])
        for axis, values in self._axes.items():
            values += [self._shared(found.get(axis, _ABSENT)) for found in settings]
        self._keep("config_id", np.array(stored["config_id"], np.int64))
        self._keep("seed", np.array(stored["seed"], np.int64))
        for name, kind in MEASURED.items():
            match kind:
                case "text":
                    self._texts[name] += map(self._shared, stored[name])
                case "count":
                    self._keep(name, *_counts(stored[name]))
                case "float":
                    self._keep(name, _floats(stored[name]))
                case "metrics":
                    self._metrics.append((len(rows), _metrics(stored[name])))

    def table(
        self,
        configs: Mapping[int, ConfigRecord],
        defaults: Defaults | None,
        metrics: Sequence[str],
    ) -> pd.DataFrame:
        """Return the trials table, see `Store.table`; to be called once.

        Args:
            configs: every recorded config, by its id.
            defaults: fills an axis that a trial lacks.
            metrics: metrics that come first.

        Returns:
            A table of N rows, in the order in which they were added.

        Raises:
            ResultError: a trial lacks an axis that has no default.
        """
        config_ids = self._taken("config_id", np.int64)
        table: dict[str, Any] = {"trial_id": _text(self._ids)}
        for axis, values in self._axes.items():
            if any(value is _ABSENT for value in values):
                values = _filled(axis, values, config_ids.tolist(), configs, defaults)
            table[axis] = _axis(values)
        table["seed"] = self._taken("seed", np.int64)
        for name, kind in MEASURED.items():
            match kind:
                case "text":
                    table[name] = _text(self._texts.pop(name))
                case "count":
                    missing = self._taken(f"{name} missing", np.bool_)
                    table[name] = pd.arrays.IntegerArray(self._taken(name, np.int64), missing)
                case "float":
                    table[name] = self._taken(name, np.float64)
                case "metrics":
                    table |= self._joined_metrics(metrics)
        return pd.DataFrame(table, copy=False)

    def _shared(self, value: Any) -> Any:
        """The one object for equal texts: there are few among many rows."""
        return self._alike.setdefault(value, value) if type(value) is str else value

    def _keep(
        self, name: str, values: NDArray[Any], missing: NDArray[np.bool_] | None = None
    ) -> None:
        self._arrays.setdefault(name, []).append(values)
        if missing is not None:
            self._arrays.setdefault(f"{name} missing", []).append(missing)

    def _taken(self, name: str, dtype: Any) -> NDArray[Any]:
        parts = self._arrays.pop(name, [])
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def _joined_metrics(self, first: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        found = {name for _, batch in self._metrics for name in batch}
        return {
            f"val_{name}": np.concatenate(
                [np.empty(0)]
                + [batch.get(name, np.full(rows, np.nan)) for rows, batch in self._metrics]
            )
            for name in (*first, *sorted(found - set(first)))
        }


def _parse_all(texts: Sequence[str]) -> list[Any]:
    # One call of the parser for all rows: several times faster than one for each.
    return list(json.loads("[" + ",".join(texts) + "]"))


def _filled(
    axis: str,
    values: list[Any],
    config_ids: Sequence[int],
    configs: Mapping[int, ConfigRecord],
    defaults: Defaults | None,
) -> list[Any]:
    lacking = {config for value, config in zip(values, config_ids, strict=True) if value is _ABSENT}
    known = {config: _default(axis, configs[config], defaults) for config in sorted(lacking)}
    return [
        known[config] if value is _ABSENT else value
        for value, config in zip(values, config_ids, strict=True)
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


def _metrics(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    if set(texts) == {"{}"}:
        return {}
    measured = [decode_metrics(found) for found in _parse_all(texts)]
    names = {name for row in measured for name in row}
    return {
        name: np.array([row.get(name, np.nan) for row in measured], np.float64) for name in names
    }


def _counts(values: Sequence[int | None]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    missing = np.array([value is None for value in values], np.bool_)
    if missing.any():
        values = [1 if value is None else value for value in values]
    return np.array(values, np.int64), missing


def _floats(values: Sequence[float | str | None]) -> NDArray[np.float64]:
    # NumPy turns None to NaN, and "nan", "+inf", "-inf" to what they say.
    return np.array(values, object).astype(np.float64)


def _text(values: Sequence[str | None]) -> Any:
    # pandas' own text type would turn None into NaN.
    return pd.Series(values, dtype=object)
