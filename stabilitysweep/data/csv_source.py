"""Read a CSV file: a header, a target column, and features that are numbers.

The standard `csv` module reads the rows and not pandas, which fills a short row with NaN and
takes the first column of a long one for an index: both would pass for data here, where a NaN
in the input is a finding. Numbers go through `float`, which rounds correctly.
"""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.raw import Array, RawData
from stabilitysweep.errors import DataError

# What pandas takes for a missing value by default, lower-cased.
MISSING = frozenset(
    {"", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na", "#n/a n/a"}
    | {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
)
_SHOWN = 8
_OTHER_FORMATS = {".parquet", ".npz", ".npy", ".xlsx", ".xls", ".json", ".gz", ".zip", ".feather"}
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True, slots=True)
class _Table:
    """The text of a file: `columns[d][i]` stands in line `lines[i]` of the file."""

    file: Path
    header: list[str]
    columns: list[list[str]]
    lines: list[int]


def load_csv(base_folder: Path, path: str, target: str, label: str) -> RawData:
    """Read a CSV file (UTF-8, separated by commas, with a header).

    Args:
        base_folder: what a relative `path` is relative to.
        path: the file.
        target: the column to predict; every other column is a feature.
        label: the name the data goes by.

    Returns:
        Features float64 [N, D], N and D >= 1; empty cells and the usual marks (NA, nan, null
        ...) are NaN. The target is float64 [N] where every value is a number, text otherwise.

    Raises:
        DataError: the file is missing, or not such a table; a feature holds text; the target
            column is missing, has gaps, or holds Inf.
    """
    file = _locate(base_folder, path)
    table = _read(file)
    wanted = _target_column(table, target)
    others = [column for column in range(len(table.header)) if column != wanted]
    features = np.empty((len(table.lines), len(others)), np.float64)
    for place, column in enumerate(others):
        features[:, place] = _feature(table, column)
    return RawData(
        features=features,
        target=_target(table, wanted),
        feature_names=tuple(table.header[column] for column in others),
        label=label,
        source=f"CSV file {path}, target '{table.header[wanted]}'",
    )


def _locate(base_folder: Path, path: str) -> Path:
    file = base_folder / Path(path).expanduser()
    if file.is_dir():
        raise DataError(f"dataset: expected a CSV file, got a folder: {file}")
    if not file.is_file():
        message = f"dataset: there is no file '{path}'. Looked for {file.absolute()}"
        message += "" if Path(path).is_absolute() else " (paths are relative to the config)"
        beside = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        nearest = difflib.get_close_matches(file.name, sorted(beside), n=1)
        raise DataError(message + "." + (f" There is '{nearest[0]}'." if nearest else ""))
    if file.suffix.lower() in _OTHER_FORMATS:
        raise DataError(
            f"dataset: expected a CSV file, got {file.name}. Convert it, for instance with "
            "pandas: frame.to_csv('data.csv', index=False)."
        )
    return file


def _read(file: Path) -> _Table:
    rows: list[list[str]] = []
    lines: list[int] = []
    header: list[str] | None = None
    try:
        # utf-8-sig drops the byte order mark that Excel writes before the first name.
        with file.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle, strict=True, skipinitialspace=True)
            try:
                for row in reader:
                    if not row:
                        continue
                    if header is None:
                        header = _header(file, row)
                    elif len(row) != len(header):
                        raise DataError(
                            f"{file}, line {reader.line_num}: expected {len(header)} values as "
                            f"in the header, got {len(row)}."
                        )
                    else:
                        rows.append(row)
                        lines.append(reader.line_num)
            except csv.Error as error:
                raise DataError(f"{file}, line {reader.line_num}: not CSV: {error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: expected text in UTF-8, got the byte 0x{error.object[error.start]:02x} "
            "that is none. Save the file as CSV in UTF-8."
        ) from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
    if header is None:
        raise DataError(f"{file}: the file is empty. Expected a header and rows of numbers.")
    if not rows:
        raise DataError(f"{file}: expected rows of numbers below the header, got none.")
    return _Table(file, header, [list(column) for column in zip(*rows, strict=True)], lines)


def _header(file: Path, row: list[str]) -> list[str]:
    header = [name.strip() for name in row]
    if len(header) == 1:
        hints = [
            f" It looks separated by {word}; it must be commas."
            for separator, word in _OTHER_SEPARATORS.items()
            if separator in header[0]
        ]
        raise DataError(
            f"{file}: expected a target column and at least one feature, got only one column, "
            f"{header[0]!r}." + "".join(hints[:1])
        )
    for place, name in enumerate(header, start=1):
        if not name:
            raise DataError(
                f"{file}: column {place} has no name. Name it; if it is the row index that "
                "pandas writes, save with index=False."
            )
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(f"{file}: expected different column names, got twice: {_some(repeated)}.")
    return header


def _target_column(table: _Table, target: str) -> int:
    if target in table.header:
        return table.header.index(target)
    nearest = difflib.get_close_matches(target, table.header, n=1)
    raise DataError(
        f"{table.file}: there is no column '{target}'."
        + (f" Did you mean '{nearest[0]}'?" if nearest else "")
        + f" Columns: {_some(table.header, 30)}."
    )


def _feature(table: _Table, column: int) -> NDArray[np.float64]:
    values = [_number(text) for text in table.columns[column]]
    for place, value in enumerate(values):
        if value is None:
            raise DataError(
                f"{table.file}: column '{table.header[column]}' holds text: "
                f"{table.columns[column][place]!r} in line {table.lines[place]}. Features must be "
                "numbers: encode the column as numbers, or drop it."
            )
    return np.array(values, np.float64)


def _target(table: _Table, column: int) -> Array:
    name, texts = table.header[column], [text.strip() for text in table.columns[column]]
    gaps = [line for line, text in zip(table.lines, texts, strict=True) if text.lower() in MISSING]
    if gaps:
        raise DataError(
            f"{table.file}: the target '{name}' has no value in {_lines(gaps)}. "
            "Remove these rows, or fill them in."
        )
    values = [_number(text) for text in texts]
    if any(value is None for value in values):
        return np.array(texts, np.str_)
    target = np.array(values, np.float64)
    infinite = [table.lines[place] for place in np.flatnonzero(np.isinf(target))]
    if infinite:
        raise DataError(f"{table.file}: the target '{name}' is infinite in {_lines(infinite)}.")
    return target


def _number(text: str) -> float | None:
    """Return the number in a cell, NaN for a missing one, None for text."""
    try:
        # float takes 1_000 for a thousand; in a data file that is text.
        return float(text) if "_" not in text else None
    except ValueError:
        return float("nan") if text.strip().lower() in MISSING else None


def _lines(lines: list[int]) -> str:
    return ("line " if len(lines) == 1 else "lines ") + _some([str(line) for line in lines])


def _some(items: list[str], shown: int = _SHOWN) -> str:
    more = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {more} more" if more > 0 else "")
