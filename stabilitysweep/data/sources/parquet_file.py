"""Read a Parquet file: the columns that are needed, batch by batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stabilitysweep.data.sources.columns import arrow_column, arrow_values
from stabilitysweep.data.sources.table import Chunk, Table, check_different, shortened
from stabilitysweep.errors import DataError

_BATCH_ROWS = 2**14
_BUFFER_BYTES = 2**20
# pandas keeps the index of a frame in such columns; it is no feature.
_INDEX = re.compile(r"__index_level_\d+__")


class ParquetTable(Table):
    """The columns of a Parquet file."""

    def __init__(self, file: Path, target: str) -> None:
        """Read the names and types from the end of the file.

        Raises:
            DataError: the file is not Parquet, or cut short, or has no rows.
        """
        self._file = file
        with self._opened() as source:
            schema = source.schema_arrow
            rows = source.metadata.num_rows
        check_different(str(file), schema.names)
        columns = {
            field.name: arrow_column(field.type)
            for field in schema
            if not _INDEX.fullmatch(field.name)
        }
        super().__init__(str(file), columns, target)
        self.rows = rows
        if rows == 0:
            raise DataError(f"{file}: expected rows, got none.")

    def chunks(self, names: Sequence[str]) -> Iterator[Chunk]:
        """Read some columns."""
        with self._opened() as source:
            for batch in source.iter_batches(batch_size=_BATCH_ROWS, columns=list(names)):
                yield {name: arrow_values(batch.column(name)) for name in names}

    @contextmanager
    def _opened(self) -> Iterator[parquet.ParquetFile]:
        try:
            # Read through a buffer: a file may be one row group, and need not be there whole.
            with parquet.ParquetFile(
                self._file,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            ) as source:
                yield source
        except (pa.ArrowException, OSError) as error:
            reason = shortened(str(error).splitlines()[0]) if str(error) else type(error).__name__
            raise DataError(
                f"{self._file}: not a Parquet file, or damaged or cut short: {reason} "
                "Write or copy it anew."
            ) from error
