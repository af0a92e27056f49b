"""Files for others to read: CSV, Parquet and strict JSON, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from stabilitysweep.errors import ResultError
from stabilitysweep.folder import in_words, replacing
from stabilitysweep.store.encoding import encode_float, encode_json

_ROWS = 50_000
"""Rows of a Parquet file that are written at once."""


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV (UTF-8).

    Numbers have as many digits as they need to be read back to the bit; infinities are `inf`
    and `-inf`; what is missing, and NaN, is empty.

    Raises:
        ResultError: the file cannot be written.
    """
    with _replacing(path) as handle:
        frame.to_csv(handle, index=False, lineterminator="\n")


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet.

    An object column that holds values of several types, which Parquet cannot, becomes their
    JSON as text.

    Raises:
        ResultError: the file cannot be written.
    """
    mixed = [
        name
        for name in frame.columns
        if frame[name].dtype == object and not _has_one_type(frame[name])
    ]
    if mixed:
        frame = frame.assign(**{name: frame[name].map(_cell) for name in mixed})
    with _replacing(path) as handle:
        if len(frame) <= _ROWS:
            frame.to_parquet(handle, index=False)
        else:
            _write_in_parts(frame, handle)


def _write_in_parts(frame: pd.DataFrame, handle: BinaryIO) -> None:
    """Write a large table as `DataFrame.to_parquet` would, but never all of it in Arrow's form."""
    import pyarrow
    from pyarrow import parquet

    # Of all rows: what a column holds may show in its last one.
    schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    if frame.attrs:
        attributes = {"PANDAS_ATTRS": json.dumps(frame.attrs)}  # pandas' own name for them
        schema = schema.with_metadata({**schema.metadata, **attributes})
    with parquet.ParquetWriter(handle, schema, compression="snappy") as writer:
        for start in range(0, len(frame), _ROWS):
            part = frame.iloc[start : start + _ROWS]
            writer.write_table(
                pyarrow.Table.from_pandas(part, schema, preserve_index=False), row_group_size=_ROWS
            )


def write_json(value: Any, path: Path) -> None:
    """Write strict JSON (UTF-8, indented): NaN and Inf are the texts "nan", "+inf", "-inf".

    Args:
        value: dicts, lists, numbers, text, None, and NumPy's and pandas' of these.
        path: the file.

    Raises:
        ResultError: the file cannot be written.
        TypeError: a value that JSON has no form for.
    """
    text = json.dumps(_strict(value), allow_nan=False, indent=2, ensure_ascii=False)
    with _replacing(path) as handle:
        handle.write(text.encode("utf-8", "replace") + b"\n")


def write_records(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as JSON: a list with an object for each row; null is missing, or NaN.

    Raises:
        ResultError: the file cannot be written.
    """
    plain = frame.astype(object).where(frame.notna(), None)
    write_json(plain.to_dict("records"), path)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place once it is whole and on the disk."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as handle:
            yield handle
    except OSError as error:
        raise ResultError(f"{path} cannot be written: {in_words(error)}.") from error


def _has_one_type(column: pd.Series[Any]) -> bool:
    kinds = {type(value) for value in column if value is not None}
    return len(kinds) <= 1 or kinds <= {int, float}


def _cell(value: Any) -> str:
    return encode_json(_strict(value))


def _strict(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return encode_float(value)
        case np.generic():
            return _strict(value.item())
        case Mapping():
            return {str(key): _strict(item) for key, item in value.items()}
        case list() | tuple():
            return [_strict(item) for item in value]
        case np.ndarray():
            return _strict(value.tolist())
    if value is pd.NA:
        return None
    raise TypeError(f"expected plain values for JSON, got {type(value).__name__}: {value!r}")
