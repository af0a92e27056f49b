"""The trials table as a DataFrame, column by column.

N is the number of trials. Rows come in batches: what a database hands out takes several times
the memory of the columns that are made of it. There is one array for each column, filled as they
come: pieces to be joined in the end would leave holes in the memory that nothing else fits in.
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

    def __init__(self, axes: Sequence[str], room: int) -> None:
        """Begin without a row.

        Args:
            axes: the axis columns wanted.
            room: how many rows will come, as far as it is known.
        """
        self._axes = list(axes)
        self._rows, self._room = 0, room
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}
        self._alike: dict[str, str] = {}

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take in some rows, at least one, each the values of `TABLED`.

        Raises:
            ValueError, TypeError: a stored value is damaged.
        """
        stored = dict(zip(TABLED, zip(*rows, strict=True), strict=True))
        self._keep("", "trial_id", _objects(stored["trial_id"]))
        settings = _parse_all(stored["axes"])
        for axis in self._axes:
            values = [self._shared(found.get(axis, _ABSENT)) for found in settings]
            self._keep("axis", axis, _compact(values))
        self._keep("", "config_id", np.array(stored["config_id"], np.int64))
        self._keep("", "seed", np.array(stored["seed"], np.int64))
        for name, kind in MEASURED.items():
            match kind:
                case "text":
                    self._keep("", name, _objects([*map(self._shared, stored[name])]))
                case "count":
                    numbers, missing = _counts(stored[name])
                    self._keep("", name, numbers)
                    self._keep("missing", name, missing)
                case "float":
                    self._keep("", name, _floats(stored[name]))
                case "metrics":
                    for metric, found in _metrics(stored[name]).items():
                        self._keep("metric", metric, found)
        self._rows += len(rows)

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
        config_ids = self._taken("", "config_id", np.int64)
        table: dict[str, Any] = {"trial_id": _column(self._taken("", "trial_id", object))}
        for axis in self._axes:
            found = self._taken("axis", axis, object)
            if found.dtype == object:
                values = found.tolist()
                if any(value is _ABSENT for value in values):
                    values = _filled(axis, values, config_ids.tolist(), configs, defaults)
                found = _axis(values)
            table[axis] = _column(found)
        table["seed"] = self._taken("", "seed", np.int64)
        for name, kind in MEASURED.items():
            match kind:
                case "text":
                    table[name] = _column(self._taken("", name, object))
                case "count":
                    missing = self._taken("missing", name, np.bool_)
                    table[name] = pd.arrays.IntegerArray(self._taken("", name, np.int64), missing)
                case "float":
                    table[name] = self._taken("", name, np.float64)
                case "metrics":
                    others = {own for kind, own in self._arrays if kind == "metric"} - set(metrics)
                    for own in (*metrics, *sorted(others)):
                        table[f"val_{own}"] = self._taken("metric", own, np.float64)
        return pd.DataFrame(table, copy=False)

    def _shared(self, value: Any) -> Any:
        """The one object for equal texts: there are few among many rows."""
        return self._alike.setdefault(value, value) if type(value) is str else value

    def _keep(self, kind: str, name: str, values: NDArray[Any]) -> None:
        """Put in the values of the rows that are being added."""
        stop = self._rows + len(values)
        held = self._arrays.get((kind, name), np.empty(0, values.dtype))
        if held.dtype != values.dtype:  # an axis with values of several kinds
            held, values = (each.astype(object, copy=False) for each in (held, values))
        held = _extended(held, stop, self._room)
        held[self._rows : stop] = values
        self._arrays[kind, name] = held

    def _taken(self, kind: str, name: str, dtype: Any) -> NDArray[Any]:
        held = self._arrays.pop((kind, name), np.empty(0, dtype))
        return _extended(held, self._rows, self._rows)[: self._rows]


def _extended(held: NDArray[Any], least: int, room: int) -> NDArray[Any]:
    """An array with room for `least` values or more; NaN where there is no number yet."""
    if len(held) >= least:
        return held
    size = max(least, room, 2 * len(held))
    found = np.full(size, np.nan) if held.dtype == np.float64 else np.empty(size, held.dtype)
    found[: len(held)] = held
    return found


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


def _compact(values: Sequence[Any]) -> NDArray[Any]:
    """Some values of an axis, numbers or flags of one kind as such: a float of Python takes 32."""
    kinds = set(map(type, values))
    return _axis(values) if len(kinds) == 1 else _objects(values)


def _axis(values: Sequence[Any]) -> NDArray[Any]:
    """All values of an axis: as numbers or flags, where all of them are, else as they are."""
    kinds = set(map(type, values))
    exact = all(abs(value) <= _EXACT for value in values if type(value) is int)
    if kinds == {bool}:
        return np.array(values, np.bool_)
    if kinds == {int} and exact:
        return np.array(values, np.int64)
    if float in kinds and kinds <= {int, float} and exact:
        return np.array(values, np.float64)
    # A None among them is a value (`clipnorm: [null, 1]`), and would become NaN as a float.
    return _objects(values)


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


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    return np.fromiter(values, object, len(values))


def _column(values: NDArray[Any]) -> pd.Series[Any]:
    # Left to choose, pandas makes texts a type of its own, which turns None into NaN.
    return pd.Series(values, dtype=values.dtype, copy=False)
