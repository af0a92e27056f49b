"""Tables and JSON to files or to standard output, the same bytes either way."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.errors import UserError
from stabilitysweep.result import Result
from stabilitysweep.store import write_csv, write_json, write_parquet, write_records

Writer = Callable[[pd.DataFrame, Path], None]


def export_table(
    result: Result, wanted: str | None, out: str | None, table: str = "trials"
) -> None:
    """Write a table of a result.

    Args:
        result: whose table.
        wanted: `csv`, `parquet` or `json`; None goes by the file's ending, else csv.
        out: the file; None is standard output.
        table: `trials`, `boundaries` or `sensitivity`.

    Raises:
        UserError: Parquet for a terminal.
        ResultError: the file cannot be written, or the result has no such table.
    """
    ending = Path(out or "").suffix.removeprefix(".")
    write = _WRITERS[wanted or (ending if ending in _WRITERS else "csv")]
    frame = {
        "trials": lambda: result.trials,
        "boundaries": lambda: result.boundaries,
        "sensitivity": lambda: result.sensitivity,
    }[table]()
    if out is not None:
        write(frame, Path(out))
    elif write is write_parquet and sys.stdout.isatty():
        raise UserError("Parquet is no text: expected --out FILE, or output into a pipe.")
    else:
        _to_stdout(lambda path: write(frame, path))


def print_json(value: Any) -> None:
    """Print strict JSON: NaN and infinities are the texts "nan", "+inf" and "-inf"."""
    _to_stdout(lambda path: write_json(value, path))


def _to_stdout(write: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="stabilitysweep-") as folder:
        path = Path(folder) / "output"
        write(path)
        sys.stdout.flush()
        with path.open("rb") as written:
            shutil.copyfileobj(written, sys.stdout.buffer)
        sys.stdout.buffer.flush()


_WRITERS: dict[str, Writer] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_records,
}
