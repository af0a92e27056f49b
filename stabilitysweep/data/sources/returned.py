"""What a function of the user's may return, as tables.

None of the libraries is imported: what a value is, is told from what it offers.

Notation: N rows, d columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.labels import has_own_shape, labels_of, refuse_several
from stabilitysweep.data.sources.table import (
    ArrayTable,
    Shaped,
    check_different,
    column_of,
    matrix_columns,
)
from stabilitysweep.data.sources.values import (
    array_of,
    has_whole,
    is_frame,
    is_series,
    series_of,
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
    shapes = [np.shape(part) for part in (train, validation) if not is_frame(part)]
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
    if is_frame(value) or isinstance(value, Mapping):
        if target is not None and isinstance(value, Mapping) and has_own_shape(value.get(target)):
            inputs = {name: values for name, values in value.items() if name != target}
            return _with_labels(origin, inputs, value[target], target)
        columns, shaped = _named(origin, value)
        if target is None:
            raise DataError(
                f"{origin}: it returns a table: expected the name of the column to predict, got "
                f"none. Set target to one of: {some(list(columns), 30)}."
            )
        return _described(ArrayTable(origin, columns, target), shaped, named=True)
    if not _is_pair(value):
        got = type(value).__name__
        got += f" of {len(value)}" if isinstance(value, tuple | list) else ""
        raise DataError(f"{origin}: expected {_EXPECTED}, got {got}.")
    features, labels = value
    return _with_labels(origin, features, labels, target)


def _with_labels(origin: str, features: Any, labels: Any, target: str | None) -> ArrayTable:
    named = is_frame(features) or isinstance(features, Mapping)
    columns, shaped = _named(origin, features) if named else _unnamed(origin, features)
    own_name = getattr(labels, "name", None)
    name = target or (own_name if isinstance(own_name, str) and is_series(labels) else "")
    found = labels_of(origin, labels, rows=len(next(iter(columns.values()))))
    table = ArrayTable(origin, columns, found.column, name)
    table.targets = found.targets
    return _described(table, shaped, named)


def _described(table: ArrayTable, shaped: tuple[Shaped, ...], named: bool) -> ArrayTable:
    table.shaped, table.named = shaped, named
    if named:
        table.groups = {entry.name: entry.columns for entry in shaped if entry.shape}
    return table


def _unnamed(origin: str, features: Any) -> tuple[dict[str, Any], tuple[Shaped, ...]]:
    array = array_of(origin, "x", features)
    if array.ndim == 0:
        raise DataError(f"{origin}: expected x of shape [rows, columns], got a single value.")
    if 0 in array.shape:
        raise DataError(
            f"{origin}: expected at least one row and one column in x, got the shape {array.shape}."
        )
    shape = array.shape[1:]
    array = array.reshape(-1, 1) if array.ndim == 1 else array
    parts = matrix_columns("x", array, joint="" if array.ndim == 2 else "_")
    columns = {name: column_of(origin, name, column) for name, column in parts.items()}
    whole = has_whole(_typed(features, array), [*columns.values()])
    return columns, (Shaped("x", shape, tuple(columns), whole),)


def _named(origin: str, table: Any) -> tuple[dict[str, Any], tuple[Shaped, ...]]:
    """Return the columns of a frame or a mapping by name, and the arrays they are of."""
    names = [str(name) for name in (table.keys() if hasattr(table, "keys") else table.columns)]
    check_different(origin, names)
    if not names:
        raise DataError(f"{origin}: expected columns, got none.")
    columns: dict[str, Any] = {}
    shaped: list[Shaped] = []
    for name, key in zip(names, table.keys(), strict=True):
        value = table[key]
        if is_series(value):
            columns[name] = series_of(origin, name, value)
            shaped.append(Shaped(name, (), (name,), has_whole(value, [columns[name]])))
            continue
        array = array_of(origin, f"column '{name}'", value)
        if array.ndim == 0:
            raise DataError(f"{origin}: expected values in column '{name}', got a single one.")
        shape = array.shape[1:]
        if shape == (1,):
            array = array.reshape(-1)
        parts = matrix_columns(name, array)
        own = {part: column_of(origin, part, column) for part, column in parts.items()}
        whole = has_whole(_typed(value, array), [*own.values()])
        shaped.append(Shaped(name, shape, tuple(own), whole))
        columns |= own
    if sum(len(entry.columns) for entry in shaped) != len(columns):
        raise DataError(
            f"{origin}: expected different names of columns, got {some(list(columns))} from "
            f"{some(names)}: the columns of an array are named after it. Rename one."
        )
    return columns, tuple(shaped)


def _typed(value: Any, array: Array) -> Any:
    """The value that says of which type it is: a list, or a tensor, only does as an array."""
    return value if isinstance(value, np.ma.MaskedArray) else array


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
    refuse_several(origin, spec[1])
    if not _is_batched(*spec):
        dataset = dataset.batch(_BATCH)
    batches = list(dataset.as_numpy_iterator())
    if not batches:
        raise DataError(f"{origin}: expected rows, got a tf.data.Dataset of none.")
    features, labels = zip(*batches, strict=True)
    return _joined(features), _joined(labels)


def _joined(batches: Sequence[Any]) -> Any:
    if isinstance(batches[0], Mapping):
        return {name: np.concatenate([part[name] for part in batches]) for name in batches[0]}
    return np.concatenate([np.asarray(part) for part in batches])


def _is_batched(features: Any, labels: Any) -> bool:
    """Whether an element of a dataset is many rows, told from the shapes [rows?, ...]."""
    several = [
        spec
        for part in (features, labels)
        for spec in (part.values() if isinstance(part, Mapping) else (part,))
    ]
    firsts = {spec.shape[0] for spec in several if spec.shape.rank}
    if len(firsts - {None}) > 1 or any(spec.shape.rank == 0 for spec in several):
        return False
    shape = next(iter(labels.values())).shape if isinstance(labels, Mapping) else labels.shape
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


def _is_data(value: Any) -> bool:
    """Whether a value may be x: it has rows."""
    return is_frame(value) or isinstance(value, Mapping | list) or hasattr(value, "shape")


def _is_row(value: Any) -> bool:
    """Whether a value is a plain list of numbers: then [[1, 2], [3, 4]] is x, and no pair."""
    return isinstance(value, list) and not any(isinstance(item, list | tuple) for item in value)
