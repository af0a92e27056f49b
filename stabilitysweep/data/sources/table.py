"""A source of named columns: what there is, and how it is read chunk by chunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.columns import (
    Column,
    Kind,
    Values,
    arrow_column,
    arrow_values,
    numpy_column,
)
from stabilitysweep.errors import DataError

Chunk = Mapping[str, Values]
"""Some rows: the values [n] of each column that was asked for."""

Places = Callable[[Sequence[int]], str]
"""Says where rows (from 0) stand in a source: `lines 7, 9`."""

OWN_TARGET = ""
"""The key of the target where the source does not keep it among its columns."""

_CHUNK_VALUES = 2**22
_CHUNK_ROWS = 2**16


class Shaped(NamedTuple):
    """Columns that are one array of the source.

    Attributes:
        name: of the array.
        shape: of one row.
        columns: their names, in order.
        whole: whether it has whole numbers or truth values.
    """

    name: str
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    whole: bool


class RetypeError(Exception):
    """A column turned out to hold something else than it seemed: read anew, from the start."""


class Table(ABC):
    """Named columns of one source, each of the same number of rows.

    Attributes:
        origin: what errors call the source: a file's path, or the data set's name.
        columns: all columns by name, in the source's order.
        target: the key in `columns` of the column to predict.
        target_name: what the user calls it; may be empty.
        groups: names that stand for several columns.
        rows: how many there are, where that is known without reading them.
        places: says where rows stand.
        usual_marks: whether the usual texts for a missing value are taken for one.
        typed: whether the source has types of its own: text has not.
        shaped: the arrays that columns are taken from, where the source has such.
        named: whether the source gives its inputs by name, in a mapping.
        targets: [N, ...], those that have a shape of their own; the target is the first column
            of the first.
    """

    def __init__(self, origin: str, columns: dict[str, Column], target: str) -> None:
        self.origin = origin
        self.columns = columns
        self.target = target
        self.target_name = target
        self.groups: dict[str, tuple[str, ...]] = {}
        self.rows: int | None = None
        self.places: Places = row_numbers
        self.usual_marks = False
        self.typed = True
        self.shaped: tuple[Shaped, ...] = ()
        self.named = False
        self.targets: dict[str, Array] = {}

    @abstractmethod
    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Read some columns.

        Raises:
            DataError: the source cannot be read.
            RetypeError: the entry in `columns` was wrong, and is mended.
        """

    def take_as_text(self, names: Sequence[str]) -> None:  # noqa: B027 - most need do nothing
        """Read columns as text, where the source does not say what they are."""


class ArrayTable(Table):
    """Columns that are in memory already."""

    def __init__(
        self,
        origin: str,
        arrays: Mapping[str, Array | pa.Array],
        target: Array | pa.Array | str,
        target_name: str = "",
    ) -> None:
        """Take columns [N] by name, and the target's values or the name of its column.

        Raises:
            DataError: lengths differ, or there are no rows.
        """
        key = target if isinstance(target, str) else OWN_TARGET
        self._arrays = dict(arrays) if isinstance(target, str) else {**arrays, key: target}
        super().__init__(
            origin, {name: _described(array) for name, array in self._arrays.items()}, key
        )
        self.target_name = target_name or key
        lengths: dict[int, str] = {}
        for name, array in self._arrays.items():
            lengths.setdefault(len(array), f"{len(array):,} in " + (name or "the target"))
        if len(lengths) > 1:
            got = some(list(lengths.values()))
            raise DataError(f"{origin}: expected as many rows in each column, got {got}.")
        self.rows = next(iter(lengths))
        if self.rows == 0:
            raise DataError(f"{origin}: expected rows, got none.")

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Read some columns."""
        rows = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // max(1, len(names))))
        for start in range(0, self.rows or 0, rows):
            yield {
                name: part if isinstance(part, np.ndarray) else arrow_values(part)
                for name in names
                for part in (self._arrays[name][start : start + rows],)
            }


def column_of(origin: str, name: str, array: Array) -> Array | pa.Array:
    """Return a numpy array [n] as a column.

    Raises:
        DataError: it holds what cannot be used.
    """
    try:
        return numpy_column(array)
    except ValueError as error:
        what = f"column '{name}'" if name else "the target"
        raise DataError(
            f"{origin}: expected numbers, texts, dates or truth values in {what}, got {error}."
        ) from error


def matrix_columns(stem: str, array: Array, joint: str = "_") -> dict[str, Array]:
    """Name the columns of an array [N, ...]: `stem_i_j`, or `stem` where it is [N]."""
    if array.ndim == 1:
        return {stem: array}
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    return {
        stem + joint + "_".join(map(str, place)): flat[:, column]
        for column, place in enumerate(np.ndindex(array.shape[1:]))
    }


def row_numbers(rows: Sequence[int]) -> str:
    """Say where rows stand in a source that has no lines."""
    return f"{listed_places('row', rows)} (counted from 0)"


def listed_places(word: str, numbers: Sequence[int]) -> str:
    """`line 7`, or `lines 2, 4 and 22 more`."""
    return word + ("s " if len(numbers) > 1 else " ") + some(numbers)


def check_different(origin: str, names: Sequence[str]) -> None:
    """Refuse names of columns that are there twice.

    Raises:
        DataError: some are.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"{origin}: expected different column names, got twice: {some(repeated)}.")


def shortened(text: str, most: int = 200) -> str:
    """Cut a text that quotes what a user or a library gave."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _described(array: Array | pa.Array) -> Column:
    if isinstance(array, np.ndarray):
        return Column(Kind.NUMBERS, str(array.dtype))
    return arrow_column(array.type)
