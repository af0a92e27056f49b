"""Read a file of separated text: CSV in all its forms.

Arrow reads the rows, block by block: it refuses a short or a long row, which pandas fills with
NaN or takes for an index, and it rounds numbers as `float` does. It tells the types from the
first block, and where a later one does not keep to them, the column is read anew: first with
Python's `float`, which takes more than Arrow does, and then as text.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.sources.columns import (
    MISSING,
    Coded,
    Column,
    Kind,
    Values,
    arrow_column,
    arrow_values,
    as_number,
)
from stabilitysweep.data.sources.delimited import SEPARATORS, Delimited, Lines, open_bytes, reading
from stabilitysweep.data.sources.table import Chunk, RetypeError, Table, check_different, shortened
from stabilitysweep.errors import DataError

_BLOCK_BYTES = 2**20
_PYTHON_ROWS = 2**14
# A quote after a blank opens no text for Arrow, as it does for Python.
_LATE_QUOTE = re.compile(r'\s+"')
_CONVERSION = re.compile(r"In CSV column #(\d+).*: CSV conversion error to (\w+)", re.DOTALL)


class _Mode(StrEnum):
    """How a column is read."""

    NUMBERS = "numbers"  # by Arrow
    CAREFUL = "careful"  # text that Python takes for numbers: +1e999, a gap in odd spelling
    FLAGS = "flags"
    TIMES = "times"
    TEXT = "text"


class _QuoteCounter:
    """A binary file that counts the quotation marks in it: one not closed swallows rows."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._ended = False
        self.quotes = 0

    def end(self) -> None:
        """Have nothing more to read, wherever the file is."""
        self._ended = True

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        if self._ended:
            return b""
        content = self._handle.read(size)
        self.quotes += content.count(b'"')
        return content

    @property
    def closed(self) -> bool:
        """Whether it is closed; Arrow asks."""
        return self._handle.closed

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


class CsvTable(Table):
    """The columns of a file of separated text."""

    def __init__(self, file: Path, settings: DatasetSettings) -> None:
        """Read the head of a file: the separator, the names and, of the first block, the types.

        Raises:
            DataError: the file is not such a table.
        """
        self.text = Delimited(
            file=file,
            separator=settings.separator or "",
            encoding=settings.encoding,
            decimal=settings.decimal,
            header=settings.header,
        ).told()
        target = str(settings.target)
        super().__init__(str(file), {}, target)
        self.places = Lines(self.text)
        self.usual_marks = True
        self.typed = False
        self._names = _names(self.text)
        self._own_names: dict[str, str] = {}
        self._marks = settings.missing_values
        self._modes: dict[str, _Mode] = {}
        self._types: dict[str, pa.DataType] = {}
        self._by_python = self._many_lines = False
        self._failures = 0
        self._as_text: set[str] = set()
        self._tell_modes()
        # What has been read as text so far stays the text of a class: True is not 1.
        if self._modes.get(target) in (_Mode.FLAGS, _Mode.TIMES):
            self._set(target, _Mode.TEXT)

    def take_as_text(self, names: Sequence[str]) -> None:
        """Read columns as they are written."""
        for name in names:
            if name in self._modes:
                self._as_text.add(name)
                self._set(name, _Mode.TEXT)

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Read some columns."""
        blocks = self._python_blocks(names) if self._by_python else self._arrow_blocks(names)
        misread: set[str] = set()
        for block in blocks:
            chunk = {name: self._values(name, array) for name, array in block.items()}
            misread |= {name for name, values in chunk.items() if values is None}
            # The rest is read to the end all the same, to find all such columns at once.
            if not misread:
                yield cast(Chunk, chunk)
        if misread:
            for name in misread:
                self._set(name, _Mode.TEXT)
            raise RetypeError

    def _set(self, name: str, mode: _Mode, type_: pa.DataType | None = None) -> None:
        """Read a column in a way from now on; `type_` is what Arrow converts it to."""
        self._modes[name] = mode
        if type_ is None:
            type_ = pa.float64() if mode is _Mode.NUMBERS else pa.string()
        self._types[name] = type_
        seen = Column(Kind.NUMBERS, "float64") if mode is _Mode.CAREFUL else arrow_column(type_)
        self.columns[name] = seen

    def _values(self, name: str, array: pa.Array) -> Values | None:
        """Return the values of a column in a block, None if they are not what they seemed."""
        values = arrow_values(array)
        if not isinstance(values, Coded):
            return values
        if self._modes[name] is _Mode.TEXT:
            self._many_lines |= any("\n" in level for level in values.levels if level)
            if not self._by_python and any(
                _LATE_QUOTE.match(level or "") for level in values.levels
            ):
                self._leave_arrow()
                raise RetypeError
            return values
        coded = values
        numbers = [float("nan") if level is None else self._number(level) for level in coded.levels]
        if None in numbers:
            return None
        return np.array([*numbers, np.nan], np.float64)[coded.codes]

    def _number(self, text: str) -> float | None:
        text = text.strip()
        return float("nan") if text in self._marks else as_number(text, self.text.decimal)

    def _tell_modes(self) -> None:
        """Tell from the first block how each column is read."""
        for name in self._names:
            self._set(name, _Mode.CAREFUL)
        first = self._first_block()
        if first is None:
            return
        self._own_names = dict(zip(self._names, first.schema.names, strict=True))
        for name, array in zip(self._names, first.columns, strict=True):
            type_ = array.type
            if pa.types.is_binary(type_):
                # Not text in this encoding, which is an error once the column is read.
                self._set(name, _Mode.TEXT)
            elif pa.types.is_boolean(type_):
                self._set(name, _Mode.FLAGS, type_)
            elif pa.types.is_temporal(type_):
                self._set(name, _Mode.TIMES, type_)
            elif not pa.types.is_string(type_):
                self._set(name, _Mode.NUMBERS)
            elif self._values(name, array) is None:
                self._set(name, _Mode.TEXT)

    def _first_block(self) -> pa.RecordBatch | None:
        try:
            with self._open(None) as (reader, _):
                first = reader.read_next_batch()
        except (pa.ArrowInvalid, StopIteration):
            first = None
        if first is None or first.num_columns != len(self._names):
            self._leave_arrow()
            return None
        return first

    @contextmanager
    def _open(
        self, names: Sequence[str] | None
    ) -> Iterator[tuple[csv.CSVStreamingReader, _QuoteCounter]]:
        """Begin to read: columns of known types, or all of them, to tell their types."""
        convert = csv.ConvertOptions(
            strings_can_be_null=True,
            null_values=[*_spellings(), *self._marks],
            decimal_point=self.text.decimal,
            include_columns=None if names is None else [self._own_names[name] for name in names],
            column_types=None
            if names is None
            else {self._own_names[name]: self._types[name] for name in names},
        )
        # Arrow says of nothing but UTF-8 where it is not what it should be.
        encoding = "utf8" if self.text.is_utf8 else self.text.encoding
        with reading(self.text), open_bytes(self.text.file) as handle:
            counter = _QuoteCounter(handle)
            reader = csv.open_csv(
                pa.PythonFile(counter, mode="r"),
                read_options=csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    encoding=encoding,
                    autogenerate_column_names=not self.text.header,
                ),
                parse_options=csv.ParseOptions(
                    delimiter=self.text.separator, newlines_in_values=True
                ),
                convert_options=convert,
            )
            try:
                yield reader, counter
            finally:
                counter.end()
                _drain(reader)

    def _arrow_blocks(self, names: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
        try:
            with self._open(names) as (reader, counter):
                for batch in reader:
                    yield dict(zip(names, batch.columns, strict=True))
        except pa.ArrowInvalid as error:
            self._yield_to(str(error))
            raise RetypeError from error
        if counter.quotes % 2 or self._many_lines:
            # Arrow takes what follows a quote that is not closed for one text.
            self._verify()

    def _python_blocks(self, names: Sequence[str]) -> Iterator[dict[str, pa.Array]]:
        places = {name: self._names.index(name) for name in names}
        rows = self.text.rows(len(self._names))
        while block := [record for _, record in itertools.islice(rows, _PYTHON_ROWS)]:
            yield {
                name: pa.array([record[place] for record in block], pa.string())
                for name, place in places.items()
            }

    def _yield_to(self, refusal: str) -> None:
        """Change what Arrow refuses: the type of a column, or who reads the file."""
        found = _CONVERSION.match(refusal)
        if found is None or "UTF8" in refusal:
            self._leave_arrow()
            return
        name = self._names[int(found[1])]
        self._failures += 1
        numbers = [name for name, mode in self._modes.items() if mode is _Mode.NUMBERS]
        if self._modes[name] is _Mode.NUMBERS:
            # One column may be odd; a second is a sign that more are.
            for odd in numbers if self._failures > 1 else [name]:
                self._set(odd, _Mode.CAREFUL)
        else:
            self._set(name, _Mode.TEXT)

    def _leave_arrow(self) -> None:
        """Explain what is wrong with the file; if Python finds nothing, let it read the file."""
        self._verify()
        self._by_python = True
        for name in self._names:
            # What Arrow took for text may be a number in quotes.
            self._set(name, _Mode.TEXT if name in self._as_text else _Mode.CAREFUL)

    def _verify(self) -> None:
        for _ in self.text.records(len(self._names)):
            pass


def _drain(reader: csv.CSVStreamingReader) -> None:
    """Let Arrow come to the end of a source that has ended.

    It reads ahead in a thread of its own, through Python. One that still does when the
    process ends is stopped by Python inside C++, which aborts the process.
    """
    # What is wrong with the file has been said before, or is of no account.
    with contextlib.suppress(Exception):
        while True:
            reader.read_next_batch()


def _spellings() -> list[str]:
    """The usual marks as they are mostly written; in other spellings Python finds them."""
    return sorted(
        {
            spelling
            for mark in MISSING - {"-nan"}  # which is a number to `float`, sign and all
            for spelling in (mark, mark.upper(), mark.capitalize(), mark.title(), "NaN", "N/A")
        }
    )


def _names(text: Delimited) -> tuple[str, ...]:
    """Return the names of the columns.

    Raises:
        DataError: the file is empty, or its head is not that of a table.
    """
    file = text.file
    with closing(text.records()) as records:
        _, first = next(records, (0, None))
        if first is None:
            raise DataError(f"{file}: the file is empty. Expected a header and rows of values.")
        if text.header and next(records, None) is None:
            raise DataError(f"{file}: expected rows of values below the header, got none.")
    names = [name.strip() for name in first]
    if len(names) == 1:
        raise DataError(
            f"{file}: expected a target column and at least one feature, got only one column, "
            f"{shortened(names[0])!r}.{_hint(text, names[0])}"
        )
    if not text.header:
        return tuple(f"column_{place}" for place in range(1, len(names) + 1))
    for place, name in enumerate(names, start=1):
        if not name:
            raise DataError(
                f"{file}: column {place} has no name. Name it; if it is the row index that "
                "pandas writes, save with index=False. If the file has no header, set "
                "header: false."
            )
    check_different(str(file), names)
    return tuple(names)


def _hint(text: Delimited, line: str) -> str:
    for separator, word in SEPARATORS.items():
        if separator in line:
            return f" It looks separated by {word}: leave separator out, or set it to those."
    if len(line.split()) > 1:
        return " If it is separated by blanks, save it with commas."
    return ""
