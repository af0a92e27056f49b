"""The target that a function of the user's returns: a column, or arrays with a shape of their own.

Notation: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.columns import arrow_values
from stabilitysweep.data.sources.table import column_of
from stabilitysweep.data.sources.values import array_of, is_series, series_of
from stabilitysweep.errors import DataError


class Labels(NamedTuple):
    """What is predicted.

    Attributes:
        column: [N], of `targets` the first column of the first.
        targets: [N, ...] of numbers, by the name of the output, or by "" where there is one;
            empty for a plain column.
    """

    column: Array | pa.Array
    targets: dict[str, Array]


def labels_of(origin: str, labels: Any, rows: int) -> Labels:
    """Return what a function returned as y.

    Args:
        origin: what errors call the function.
        labels: a column [N] or [N, 1], an array [N, ...], or such arrays by name.
        rows: N, as x has it.

    Raises:
        DataError: it is no target.
    """
    if isinstance(labels, Mapping):
        if not labels:
            raise DataError(f"{origin}: expected a target in y, got an empty dict.")
        named = {str(name): _numbers(origin, f"y['{name}']", labels[name]) for name in labels}
        return _shaped(origin, named, rows)
    if is_series(labels):
        return Labels(series_of(origin, "", labels), {})
    if _are_several(labels, rows):
        refuse_several(origin, labels)
    array = array_of(origin, "y", labels)
    if array.ndim == 0:
        raise DataError(
            f"{origin}: expected y of shape [rows], or [rows, ...], got a single value."
        )
    if array.ndim > 1 and array.shape[1:] != (1,):
        return _shaped(origin, {"": _numbers(origin, "y", labels)}, rows)
    return Labels(column_of(origin, "", array.reshape(-1)), {})


def has_own_shape(value: Any) -> bool:
    """Tell whether a value of a table is no column, but an array of another shape."""
    shape = _shape(value)
    return len(shape) > 1 and shape[1:] != (1,)


def _shape(value: Any) -> tuple[int, ...]:
    with suppress(TypeError, ValueError):  # rows of different lengths have none
        return tuple(value.shape if hasattr(value, "shape") else np.shape(value))
    return ()


def refuse_several(origin: str, labels: Any) -> None:
    """Refuse several targets without names: which output of a model each belongs to is not said.

    Raises:
        DataError: they are a tuple or a list.
    """
    if isinstance(labels, tuple | list):
        raise DataError(
            f"{origin}: expected y as an array, or a dict of arrays by the names of the model's "
            f"outputs, got a {type(labels).__name__} of {len(labels)}. Return such a dict."
        )


def _are_several(labels: Any, rows: int) -> bool:
    """Whether a list is one of targets: one of rows has as many entries as x."""
    if not isinstance(labels, tuple | list) or len(labels) == rows:
        return False
    shapes = [_shape(item) for item in labels]
    return bool(shapes) and all(len(shape) > 0 and shape[0] == rows for shape in shapes)


def _shaped(origin: str, targets: dict[str, Array], rows: int) -> Labels:
    for name, values in targets.items():
        what = f"y['{name}']" if name else "y"
        if len(values) != rows:
            raise DataError(
                f"{origin}: expected as many rows in each array, got {rows:,} in x, "
                f"{len(values):,} in {what}."
            )
        if 0 in values.shape[1:]:
            raise DataError(
                f"{origin}: expected at least one value a row in {what}, got the shape "
                f"{values.shape}."
            )
    first = next(iter(targets.values()))
    return Labels(first.reshape(len(first), -1)[:, 0], targets)


def _numbers(origin: str, what: str, value: Any) -> Array:
    """Return an array [N, ...] of numbers; truth values are 0 and 1."""
    if is_series(value):
        column = series_of(origin, what, value)
        found = column if isinstance(column, np.ndarray) else arrow_values(column)
        array = found if isinstance(found, np.ndarray) else np.asarray(value)
    else:
        array = array_of(origin, what, value)
    if array.dtype.kind == "O":
        with suppress(TypeError, ValueError):  # told below, by its dtype
            array = array.astype(np.float64)
    if array.dtype.kind == "b":
        array = array.astype(np.int8)
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"{origin}: expected numbers in {what}, got the dtype {array.dtype}. Number the "
            "classes, or return them as a plain column."
        )
    if array.ndim == 0:
        raise DataError(f"{origin}: expected {what} of shape [rows, ...], got a single value.")
    return array
