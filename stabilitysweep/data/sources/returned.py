"""What a function of the user's may return, as tables.

None of the libraries is imported: what a value is, is told from what it offers.

Notation: N rows, d columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.columns import arrow_column
from stabilitysweep.data.sources.table import (
    ArrayTable,
    check_different,
    column_of,
    matrix_columns,
)
from stabilitysweep.errors import DataError

_EXPECTED = (
    "(x, y), ((x, y), (x_validation, y_validation)), a pandas DataFrame or a dict of columns "
    "with its target, or a tf.data.Dataset of (x, y)"
)
_BATCH = 1024
_INFINITE = -1


def tables_of(
    origin: str, returned: Any, target: str | None
) -> tuple[ArrayTable, ArrayTable | None]:
    """Return the rows of what a function returned, and its own validation rows.

    Args:
        origin: what errors call the function.
        returned: what it returned.
        target: the column to predict, where one table holds it too.

    Raises:
        DataError: it is no data.
    """
    if _is_pair(returned) and all(_is_pair(part) and _is_data(part[0]) for part in returned):
        train, validation = returned
        if not _is_row(train[0]):
            tables = _table(origin, train, target), _table(origin, validation, target)
            _refuse_other_width(origin, train[0], validation[0])
            return tables
    if _is_pair(returned) and all(_is_dataset(part) for part in returned):
        return _table(origin, returned[0], target), _table(origin, returned[1], target)
    return _table(origin, returned, target), None


def _refuse_other_width(origin: str, train: Any, validation: Any) -> None:
    """Refuse arrays of different shapes: their columns have no names to be matched by."""
    shapes = [np.shape(part) for part in (train, validation) if not _is_frame(part)]
    if len(shapes) < 2 or any(isinstance(part, Mapping) for part in (train, validation)):
        return
    if shapes[0][1:] != shapes[1][1:]:
        raise DataError(
            f"{origin}: expected training and validation rows with the same columns, got x of "
            f"shape {shapes[0]} and x of the validation rows of shape {shapes[1]}."
        )


def _table(origin: str, value: Any, target: str | None) -> ArrayTable:
    if _is_dataset(value):
        value = _read_dataset(origin, value)
    if _is_frame(value) or isinstance(value, Mapping):
        columns = _named(origin, value)
        if target is None:
            raise DataError(
                f"{origin}: it returns a table: expected the name of the column to predict, got "
                f"none. Set target to one of: {some(list(columns), 30)}."
            )
        return ArrayTable(origin, columns, target)
    if not _is_pair(value):
        got = type(value).__name__
        got += f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise DataError(f"{origin}: expected {_EXPECTED}, got {got}.")
    features, labels = value
    columns = _named(origin, features) if _is_frame(features) else _inputs(origin, features)
    own_name = getattr(labels, "name", None)
    name = target or (own_name if isinstance(own_name, str) and _is_series(labels) else "")
    return ArrayTable(origin, columns, _target(origin, labels), name)


def _inputs(origin: str, features: Any) -> dict[str, Any]:
    if isinstance(features, Mapping):
        return _named(origin, features)
    array = _array(origin, "x", features)
    if array.ndim == 0:
        raise DataError(f"{origin}: expected x of shape [rows, columns], got a single value.")
    if 0 in array.shape:
        raise DataError(
            f"{origin}: expected at least one row and one column in x, got the shape {array.shape}."
        )
    array = array.reshape(-1, 1) if array.ndim == 1 else array
    columns = matrix_columns("x", array, joint="" if array.ndim == 2 else "_")
    return {name: column_of(origin, name, column) for name, column in columns.items()}


def _target(origin: str, labels: Any) -> Array | pa.Array:
    if _is_series(labels):
        return _series(origin, "", labels)
    array = _array(origin, "y", labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise DataError(
            f"{origin}: expected y of shape [rows], one value a row, got the shape {array.shape}. "
            "Return one column; for classes, their numbers and not one column a class."
        )
    return column_of(origin, "", array)


def _named(origin: str, table: Any) -> dict[str, Any]:
    """Return the columns of a frame or a mapping by name."""
    names = [str(name) for name in (table.keys() if hasattr(table, "keys") else table.columns)]
    check_different(origin, names)
    if not names:
        raise DataError(f"{origin}: expected columns, got none.")
    columns: dict[str, Any] = {}
    whole = 0
    for name, key in zip(names, table.keys(), strict=True):
        value = table[key]
        if _is_series(value):
            columns[name] = _series(origin, name, value)
            whole += 1
            continue
        array = _array(origin, f"column '{name}'", value)
        if array.ndim == 0:
            raise DataError(f"{origin}: expected values in column '{name}', got a single one.")
        if array.ndim == 2 and array.shape[1] == 1:
            array = array.reshape(-1)
        parts = matrix_columns(name, array)
        columns |= {own: column_of(origin, own, column) for own, column in parts.items()}
        whole += len(parts)
    if whole != len(columns):
        raise DataError(
            f"{origin}: expected different names of columns, got {some(list(columns))} from "
            f"{some(names)}: the columns of an array are named after it. Rename one."
        )
    return columns


def _series(origin: str, name: str, series: Any) -> Array | pa.Array:
    if isinstance(series.dtype, np.dtype):
        return column_of(origin, name, series.to_numpy())
    try:
        found = pa.array(series, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{origin}: column '{name}' cannot be read: {error}.") from error
    found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    if refusal := arrow_column(found.type).refusal:
        raise DataError(
            f"{origin}: expected numbers, texts, dates or truth values in column '{name}', got "
            f"{refusal}."
        )
    return found


def _array(origin: str, what: str, value: Any) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        return _unmasked(value)
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{origin}: expected an array in {what}, got what numpy makes none of: "
            f"{str(error).rstrip('.')}."
        ) from error


def _unmasked(array: Any) -> Array:
    """Return a masked array as one with a gap for each value that is masked."""
    if not np.ma.is_masked(array):
        return np.asarray(array)
    kind = array.dtype.kind
    dtype: np.dtype[Any] = np.dtype(object)
    gap: Any = None
    if kind in "mM":
        dtype, gap = array.dtype, np.array("NaT", array.dtype)
    elif kind in "biuf":
        # The smallest float that holds the whole numbers too, as for marks of missing values.
        dtype, gap = np.result_type(array.dtype, np.float16), np.nan
    values = np.array(array.data, dtype)
    values[np.ma.getmaskarray(array)] = gap
    return values


def _read_dataset(origin: str, dataset: Any) -> tuple[Any, Any]:
    """Return x and y of all elements of a tf.data.Dataset, batched or not."""
    if int(dataset.cardinality()) == _INFINITE:
        raise DataError(
            f"{origin}: expected a tf.data.Dataset that ends, got one that repeats for ever. Add "
            ".take(n) to it."
        )
    spec = dataset.element_spec
    if not _is_pair(spec):
        got = f"a tuple of {len(spec)}" if isinstance(spec, tuple) else type(spec).__name__
        raise DataError(f"{origin}: expected a tf.data.Dataset of (x, y), got one of {got}.")
    if not _is_batched(*spec):
        dataset = dataset.batch(_BATCH)
    batches = list(dataset.as_numpy_iterator())
    if not batches:
        raise DataError(f"{origin}: expected rows, got a tf.data.Dataset of none.")
    labels = np.concatenate([np.asarray(labels) for _, labels in batches])
    if isinstance(batches[0][0], Mapping):
        names = batches[0][0].keys()
        return {name: np.concatenate([x[name] for x, _ in batches]) for name in names}, labels
    return np.concatenate([np.asarray(x) for x, _ in batches]), labels


def _is_batched(features: Any, labels: Any) -> bool:
    """Whether an element of a dataset is many rows, told from the shapes [rows?, ...]."""
    shape = labels.shape
    if shape.rank != 1:
        return bool(shape.rank)
    # A row may have its one label in an array [1]; then x [d] or more has no such first axis.
    some_input = next(iter(features.values())) if isinstance(features, Mapping) else features
    inputs = some_input.shape
    if shape[0] != 1:
        return bool(inputs.rank)
    return not (inputs.rank in (0, 1) or inputs[0] != 1)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _is_dataset(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "keys") and hasattr(value, "iloc")


def _is_series(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "dtype")


def _is_data(value: Any) -> bool:
    """Whether a value may be x: it has rows."""
    return _is_frame(value) or isinstance(value, Mapping | list) or hasattr(value, "shape")


def _is_row(value: Any) -> bool:
    """Whether a value is a plain list of numbers: then [[1, 2], [3, 4]] is x, and no pair."""
    return isinstance(value, list) and not any(isinstance(item, list | tuple) for item in value)
