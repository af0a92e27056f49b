"""Values that a function of the user's may return, as arrays and columns.

None of the libraries is imported: what a value is, is told from what it offers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.columns import arrow_column
from stabilitysweep.data.sources.shapes import is_whole
from stabilitysweep.data.sources.table import column_of
from stabilitysweep.errors import DataError


def series_of(origin: str, name: str, series: Any) -> Array | pa.Array:
    """Return a series as a column.

    Raises:
        DataError: it holds what cannot be used.
    """
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


def array_of(origin: str, what: str, value: Any) -> Array:
    """Return what numpy makes of a value.

    Raises:
        DataError: it makes nothing of it.
    """
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


def has_whole(value: Any, columns: Sequence[Array | pa.Array]) -> bool:
    """Tell whether a value has whole numbers or truth values.

    Args:
        value: what was returned: what is masked in it makes it no other.
        columns: what became of it, asked where the value does not say.
    """
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return dtype.kind in "iub"
    return all(is_whole(_dtype(column)) for column in columns)


def _dtype(column: Array | pa.Array) -> str:
    if isinstance(column, np.ndarray):
        return str(column.dtype)
    return arrow_column(column.type).dtype


def is_frame(value: Any) -> bool:
    """Tell whether a value is a frame of columns."""
    return hasattr(value, "columns") and hasattr(value, "keys") and hasattr(value, "iloc")


def is_series(value: Any) -> bool:
    """Tell whether a value is one column of a frame."""
    return hasattr(value, "iloc") and hasattr(value, "dtype")
