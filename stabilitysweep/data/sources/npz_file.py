"""Read an NPZ file: arrays of numpy's by name."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.choosing import unknown
from stabilitysweep.data.sources.table import ArrayTable, Shaped, column_of, matrix_columns
from stabilitysweep.errors import DataError

_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def npz_table(file: Path, settings: DatasetSettings) -> ArrayTable:
    """Read the arrays that are needed.

    An array [N] is a column under its name; of an array [N, d] or more the columns are
    `name_0`, or `name_0_0`, and the name stands for all of them.

    Raises:
        DataError: the file is damaged, or an array cannot be used.
    """
    origin, target = str(file), str(settings.target)
    with _opened(file) as archive:
        names = list(archive.files)
        if target not in names:
            raise unknown(origin, "", target, names, "array")
        for feature in settings.features or ():
            if not any(_holds(name, feature) for name in names):
                raise unknown(origin, "features: ", feature, names, "array")
        skipped = {name for name in names if not _is_needed(name, settings)} - {target}
        arrays = {name: _array(file, archive, name) for name in names if name not in skipped}
    values = arrays.pop(target)
    values = values.reshape(len(values)) if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1:
        raise DataError(
            f"{file}: expected one value a row in the target '{target}', got an array of shape "
            f"{values.shape}. Name another array, or save one column of it."
        )
    columns = {
        name: column_of(origin, name, column)
        for stem, array in arrays.items()
        for name, column in _columns(file, stem, array, len(values)).items()
    }
    groups = {stem: tuple(matrix_columns(stem, array[:0])) for stem, array in arrays.items()}
    if target in columns or sum(map(len, groups.values())) != len(columns):
        raise DataError(
            f"{file}: expected different names of columns, got {some(list(columns))} from the "
            f"arrays {some(list(arrays))}. Rename an array."
        )
    columns[target] = column_of(origin, target, values)
    table = ArrayTable(origin, columns, target)
    table.groups = {**groups, **dict.fromkeys(skipped, ())}
    table.shaped = tuple(
        Shaped(stem, array.shape[1:], groups[stem], array.dtype.kind in "iub")
        for stem, array in arrays.items()
    )
    return table


def _is_needed(name: str, settings: DatasetSettings) -> bool:
    if name in settings.exclude:
        return False
    wanted = settings.features
    return wanted is None or any(_holds(name, feature) for feature in wanted)


def _holds(array: str, column: str) -> bool:
    return column == array or column.startswith(f"{array}_")


def _columns(file: Path, stem: str, array: Array, rows: int) -> dict[str, Array]:
    if array.ndim == 0 or len(array) != rows:
        raise DataError(
            f"{file}: expected {rows:,} rows in the array '{stem}', as in the target, got the "
            f"shape {array.shape}. If it is no input, leave it out with exclude: [{stem}]."
        )
    return matrix_columns(stem, array)


def _array(file: Path, archive: np.lib.npyio.NpzFile, name: str) -> Array:
    try:
        array: Array = archive[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise DataError(
            f"{file}: expected numbers or texts in the array '{name}', got Python objects, which "
            "can run code when they are loaded. Save it with a dtype such as float64 or str, or "
            f"leave it out with exclude: [{name}]."
        ) from error
    return array


@contextmanager
def _opened(file: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        if not zipfile.is_zipfile(file):
            raise zipfile.BadZipFile("it is no archive of arrays")
        # A pickle runs the code in it, and a config is to be opened without fear.
        with file.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            yield archive
    except RuntimeError as error:
        # A password, or a compression that Python does not know: the file may be whole.
        raise DataError(
            f"{file}: the arrays cannot be unpacked: {str(error).rstrip('.')}. Write them with "
            "numpy.savez or numpy.savez_compressed."
        ) from error
    except (ValueError, OSError, EOFError, KeyError, *_DAMAGED) as error:
        raise DataError(
            f"{file}: not an NPZ file, or damaged or cut short: {error}. Write it anew with "
            "numpy.savez."
        ) from error
