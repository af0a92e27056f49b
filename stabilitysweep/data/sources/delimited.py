"""A file of separated text as Python reads it: to open it, to explain it, to find a line.

What is exact here is slow: Arrow reads the rows (see `csv_file`), and this is for the head
of a file, for the line of a row, and for what Arrow refuses.
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import itertools
import lzma
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from stabilitysweep.data.listing import SHOWN
from stabilitysweep.data.sources.table import listed_places
from stabilitysweep.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
csv.field_size_limit(2**31 - 1)  # a text may be long, and the default is 128 KiB
_HEAD = 2**18
_HEAD_LINES = 30
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


@dataclass(frozen=True, slots=True)
class Delimited:
    """How a file of text is written.

    Attributes:
        file: the file; compressed or not, which is told from its first bytes.
        separator: of the columns; empty while it is not known.
        encoding: of the text.
        decimal: the decimal point.
        header: whether the first record names the columns.
    """

    file: Path
    separator: str
    encoding: str
    decimal: str
    header: bool

    @property
    def is_utf8(self) -> bool:
        """Whether the text is UTF-8, with or without a byte order mark."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig", "ascii")

    def told(self) -> Delimited:
        """Return this with the separator that the head of the file speaks for."""
        if self.separator:
            return self
        with reading(self), open_text(self) as handle:
            head = handle.read(_HEAD)
        candidates = [mark for mark in SEPARATORS if mark != self.decimal]
        return replace(self, separator=max(candidates, key=lambda mark: _fitness(head, mark)))

    def records(self, width: int | None = None) -> Generator[tuple[int, list[str]], None, None]:
        """Read the records, header included, each with the line that it begins in.

        Args:
            width: how many values each must have; None does not look.

        Raises:
            DataError: the file is not text, not CSV, or a record is short or long.
        """
        with reading(self), open_text(self) as handle:
            reader = csv.reader(
                handle, delimiter=self.separator, strict=True, skipinitialspace=True
            )
            begins = 1
            try:
                for record in reader:
                    if record:
                        if width is not None and len(record) != width:
                            first = "header" if self.header else "first row"
                            raise DataError(
                                f"{self.file}, line {begins}: expected {width} values as in the "
                                f"{first}, got {len(record)}. Mend the line, or put a text that "
                                "holds the separator in quotes."
                            )
                        yield begins, record
                    begins = reader.line_num + 1
            except csv.Error as error:
                raise DataError(
                    f"{self.file}, line {begins}: not CSV: {error}. Is a quote not closed?"
                ) from error

    def rows(self, width: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Read the records below the header."""
        return itertools.islice(self.records(width), int(self.header), None)


@dataclass(frozen=True, slots=True)
class Lines:
    """Says in which lines of a file rows stand, by reading it again."""

    text: Delimited

    def __call__(self, rows: Sequence[int]) -> str:
        """`lines 2, 4`: the first few, and how many more there are."""
        wanted = set(rows[:SHOWN])
        last = max(wanted, default=0)
        found = [
            line
            for row, (line, _) in enumerate(itertools.islice(self.text.rows(), last + 1))
            if row in wanted
        ]
        return listed_places("line", [*found, *rows[SHOWN:]])


@contextmanager
def reading(text: Delimited) -> Iterator[None]:
    """Say in one message why a file cannot be read."""
    file = text.file
    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_text(text, error.object[error.start]) from error
    except LookupError as error:
        raise DataError(
            f"{file}: encoding: {error}. Expected utf-8, latin-1 or the like."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{file}: expected text in {text.encoding}: {error}. Set encoding to the one it has."
        ) from error
    except (OSError, *_DAMAGED) as error:
        # What the system says has a number; what an unpacker says has none.
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
        reason = str(error).rstrip(".")
        raise DataError(
            f"{file}: the compressed file is damaged or cut short: {reason}. Copy it anew."
        ) from error


def open_bytes(file: Path) -> BinaryIO:
    """Open a file, unpacked if its first bytes say that it is compressed."""
    with file.open("rb") as handle:
        start = handle.read(8)
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")
    if kind == "gzip":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if kind == "bz2":
        return cast(BinaryIO, bz2.open(file, "rb"))
    if kind == "xz":
        return cast(BinaryIO, lzma.open(file, "rb"))
    if kind == "zstd":
        return io.BufferedReader(pa.input_stream(str(file), compression="zstd"))
    return _only_member(file) if kind == "zip" else file.open("rb")


def open_text(text: Delimited) -> io.TextIOWrapper:
    """Open a file as text, without the byte order mark that Excel writes first."""
    encoding = "utf-8-sig" if text.is_utf8 else text.encoding
    handle = open_bytes(text.file)
    try:
        return io.TextIOWrapper(handle, encoding=encoding, newline="")
    except LookupError:
        handle.close()
        raise


def _only_member(file: Path) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    members = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise DataError(
            f"{file}: expected one file in the archive, got {len(members)}. Unpack it, and name "
            "the file."
        )
    return cast(BinaryIO, archive.open(members[0]))


def _fitness(head: str, separator: str) -> tuple[bool, float, int]:
    """How well a separator fits the head of a file: better is larger."""
    lines = io.StringIO(head, newline="")
    records = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    widths = []
    # What is no CSV is explained where it is read.
    with suppress(csv.Error):
        widths = [len(record) for record in itertools.islice(records, _HEAD_LINES) if record]
    if not widths:
        return False, 0.0, 0
    # The last record may be cut where the head ends.
    widths = widths[:-1] if len(widths) > 2 and len(head) == _HEAD else widths
    alike = sum(width == widths[0] for width in widths) / len(widths)
    return widths[0] > 1, alike, widths[0]


def _not_text(text: Delimited, byte: int) -> DataError:
    if not text.is_utf8:
        return DataError(
            f"{text.file}: expected text in {text.encoding}, got the byte 0x{byte:02x} that is "
            "none. Set encoding to the one the file has."
        )
    with text.file.open("rb") as handle:
        start = handle.read(2)
    utf16 = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    remedy = "Set encoding: utf-16." if utf16 else "Set encoding, for instance to latin-1, or save"
    remedy += "" if utf16 else " the file in UTF-8."
    return DataError(
        f"{text.file}: expected text in UTF-8, got the byte 0x{byte:02x} that is none. {remedy}"
    )
