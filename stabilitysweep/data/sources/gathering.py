"""Reads the chosen columns of one or two sources into arrays, chunk by chunk.

Notation: N rows, D columns of numbers, C columns of categories, n rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.raw import MISSING_CODE, Array, Rows
from stabilitysweep.data.sources.choosing import Choice
from stabilitysweep.data.sources.columns import Coded, Kind, Marks, Values, as_number, levels_of
from stabilitysweep.data.sources.growing import Growing
from stabilitysweep.data.sources.sampling import Sample
from stabilitysweep.data.sources.table import OWN_TARGET, Chunk, RetypeError, Table
from stabilitysweep.errors import DataError

_BLOCK_VALUES, _LEAST_ROWS = 2**17, 1024
"""A block of rows is filled column by column; it should fit in the processor's cache."""


@dataclass(slots=True)
class Gathered:
    """What was read, as it stands in the source but for the marks of missing values.

    Attributes:
        numbers: float64 [N, D].
        number_names: D names.
        codes: int32 [N, C].
        code_names: C names.
        levels: of each of the C columns, in the order in which they were met.
        target: [N], numbers or codes.
        target_levels: of the target, None if it is numbers.
        rows: where each row stands in its source, None if all rows are there.
        ends: the number of rows up to the end of each source.
        total: number of rows of the first source.
        targets: [N, ...], those that the source gives with a shape of their own, by name.
    """

    numbers: NDArray[np.float64]
    number_names: tuple[str, ...]
    codes: NDArray[np.int32]
    code_names: tuple[str, ...]
    levels: list[list[str | None]]
    target: Array
    target_levels: list[str | None] | None
    rows: Rows | None
    ends: tuple[int, ...]
    total: int
    targets: dict[str, Array] = field(default_factory=dict)

    def keep(self, rows: Rows) -> None:
        """Leave out all rows but these."""
        self.numbers, self.codes = self.numbers[rows], self.codes[rows]
        self.target = self.target[rows]
        self.targets = {name: values[rows] for name, values in self.targets.items()}


def gather(
    tables: Sequence[Table], choice: Choice, marks: Sequence[Marks], sample: Sample | None
) -> Gathered:
    """Read the chosen columns of the first source, and below it the same of the second.

    Args:
        tables: the source of the data, and maybe that of its validation rows.
        choice: the columns, which both must have.
        marks: what stands for a missing value in each.
        sample: draws rows of the first source; None takes all.

    Raises:
        DataError: a source cannot be read, or the second does not fit the first.
        RetypeError: a column is something else than it seemed: gather again.
    """
    gatherer = _Gatherer(tables, choice, marks, sample)
    ends = []
    for place in range(len(tables)):
        gatherer.read(place)
        ends.append(len(gatherer.numbers))
    return gatherer.result(tuple(ends))


class _Levels:
    """Gives each text of a column its code, in the order in which they are met."""

    def __init__(self) -> None:
        self._codes: dict[str | None, int] = {None: MISSING_CODE}

    def encode(self, codes: NDArray[np.int32], levels: list[str | None]) -> NDArray[np.int32]:
        """Return the column's codes for the codes of a chunk."""
        table = np.full(len(levels) + 1, MISSING_CODE, np.int32)
        # Texts of rows that are not in the sample need not be remembered.
        for used in np.unique(codes):
            if used != MISSING_CODE:
                table[used] = self._codes.setdefault(levels[used], len(self._codes) - 1)
        return table[codes]

    def listed(self) -> list[str | None]:
        return list(self._codes)[1:]


class _Gatherer:
    def __init__(
        self,
        tables: Sequence[Table],
        choice: Choice,
        marks: Sequence[Marks],
        sample: Sample | None,
    ) -> None:
        self.tables, self.choice, self.marks, self.sample = tables, choice, marks, sample
        columns = tables[0].columns
        self.text = [
            name
            for name in choice.inputs
            if name in choice.categorical or columns[name].kind is Kind.TEXT
        ]
        self.plain = [name for name in choice.inputs if name not in self.text]
        known = [table.rows for table in tables]
        expected = 0
        if sample is None and None not in known:
            expected = sum(rows or 0 for rows in known)
        self.numbers = Growing((len(self.plain),), np.float64, expected)
        self.codes = Growing((len(self.text),), np.int32, expected)
        self.target = Growing((), np.float64)
        self.rows = Growing((), np.int64)
        self.levels = {name: _Levels() for name in self.text}
        text_target = columns[choice.target].kind is Kind.TEXT
        self.target_levels = _Levels() if text_target else None

    def read(self, place: int) -> None:
        """Read one of the tables."""
        table, sample = self.tables[place], self.sample if place == 0 else None
        names = (*self.choice.inputs, self.choice.target)
        start = 0
        for chunk in table.chunks(names):
            count = _length(chunk[self.choice.target])
            chosen = np.arange(count) if sample is None else sample.admit(count)
            if len(chosen):
                self._add(place, chunk, chosen, start)
            if self.sample is not None:
                self.rows.add(chosen + start)
            start += count
            if sample is not None:
                self._keep(sample.prune())
        if sample is not None:
            self._keep(sample.prune(last=True))
        if start == 0:
            raise DataError(f"{table.origin}: expected rows, got none.")
        if place == 0:
            self.total = start

    def _keep(self, rows: Rows | None) -> None:
        if rows is not None:
            for grown in (self.numbers, self.codes, self.target, self.rows):
                grown.keep(rows)

    def _add(self, place: int, chunk: Chunk, chosen: Rows, start: int) -> None:
        values = {
            name: self._fitting(place, name, chunk[name], start) for name in self.choice.inputs
        }
        whole = len(chosen) == _length(chunk[self.choice.target])
        room = self.numbers.room(len(chosen))
        block = max(_LEAST_ROWS, _BLOCK_VALUES // max(1, len(self.plain)))
        plain = [cast(Array, values[name]) for name in self.plain]
        columns = plain if whole else [array[chosen] for array in plain]
        for first in range(0, len(chosen), block):
            part = slice(first, first + block)
            for column, array in enumerate(columns):
                room[part, column] = array[part]
        codes = self.codes.room(len(chosen))
        for column, name in enumerate(self.text):
            coded = cast(Coded, values[name])
            codes[:, column] = self.levels[name].encode(coded.codes[chosen], coded.levels)
        target = self._fitting(place, self.choice.target, chunk[self.choice.target], start)
        if isinstance(target, Coded):
            levels = cast(_Levels, self.target_levels)
            self.target.add(levels.encode(target.codes[chosen], target.levels))
        else:
            self.target.add(target[chosen])

    def _fitting(self, place: int, name: str, values: Values, start: int) -> Values:
        """Return values as what the column of the first table holds, marks taken out."""
        marks = self.marks[place]
        is_target = name == self.choice.target
        to_text = self.target_levels is not None if is_target else name in self.levels
        if isinstance(values, Coded):
            cleaned = Coded(values.codes, [marks.clean(level) for level in values.levels])
            return cleaned if to_text else self._as_gap(place, name, cleaned, start)
        values = marks.blank(values)
        if not to_text:
            return values
        if name in self.choice.categorical:
            return levels_of(values)
        there = np.flatnonzero(~np.isnan(values))
        if there.size:
            got = f"the number {values[there[0]]:g}"
            raise self._mismatch(place, name, "text", got, start + int(there[0]))
        return Coded(np.full(len(values), MISSING_CODE, np.int32), [])

    def _as_gap(self, place: int, name: str, values: Coded, start: int) -> Array:
        """Return texts that are all missing as numbers: nothing else can be."""
        missing = np.array([level is None for level in values.levels] + [True])[values.codes]
        if missing.all():
            return np.full(len(missing), np.nan)
        if name != self.choice.target:
            column = self.plain.index(name)
            if np.isnan(self.numbers.content[:, column]).all():
                table = self.tables[0]
                table.columns[name] = self.tables[place].columns[name]
                raise RetypeError
        odd = np.array([level is not None and as_number(level) is None for level in values.levels])
        worst = odd[values.codes] & ~missing
        first = int(np.argmax(worst if worst.any() else ~missing))
        got = f"the text {values.levels[values.codes[first]]!r}"
        raise self._mismatch(place, name, "numbers", got, start + first)

    def _mismatch(self, place: int, name: str, had: str, got: str, row: int) -> DataError:
        table, first = self.tables[place], self.tables[0]
        what = "the target" if name == self.choice.target else "column"
        what += f" '{name}'" if name != OWN_TARGET else ""
        return DataError(
            f"{table.origin}: expected {had} in {what}, as in {first.origin}, got {got} in "
            f"{table.places([row])}. Write the column alike in both."
        )

    def result(self, ends: tuple[int, ...]) -> Gathered:
        rows = self.rows.done() if self.sample is not None else None
        return Gathered(
            numbers=self.numbers.done(),
            number_names=tuple(self.plain),
            codes=self.codes.done(),
            code_names=tuple(self.text),
            levels=[levels.listed() for levels in self.levels.values()],
            target=self.target.done(),
            target_levels=None if self.target_levels is None else self.target_levels.listed(),
            rows=rows,
            ends=ends,
            total=self.total,
        )


def _length(values: Values) -> int:
    return len(values.codes) if isinstance(values, Coded) else len(values)
