"""A column as its source has it, and what is read from it: numbers, or codes of texts.

Notation: n rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stabilitysweep.data.raw import MISSING_CODE, Array

# What pandas takes for a missing value by default, lower-cased.
MISSING = frozenset(
    {"", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na", "#n/a n/a"}
    | {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
)
_SECONDS_A_DAY = 86_400
_TICKS_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SHORT_TYPES = {"double": "float64", "float": "float32", "halffloat": "float16"}


class Kind(StrEnum):
    """What a column holds."""

    NUMBERS = "numbers"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of a column before it is read.

    Attributes:
        kind: what it holds.
        dtype: the source's own word for its type.
        refusal: why it cannot be used, as what was got; empty if it can.
    """

    kind: Kind
    dtype: str
    refusal: str = ""


class Coded(NamedTuple):
    """Texts of a chunk.

    Attributes:
        codes: int32 [n], places in `levels`, or `MISSING_CODE`.
        levels: texts in any order, None for a missing one; some may not be met.
    """

    codes: NDArray[np.int32]
    levels: list[str | None]


Values = Array | Coded
"""Of one column: an array of numbers [n] of any real dtype, or texts."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands for a missing value.

    Attributes:
        texts: cells that are missing, as they are written.
        numbers: the marks that are numbers: they are met however they are written.
        usual: whether blanks, NA, null ... are missing too: in a file of text, which has
            no other way to say so.
    """

    texts: frozenset[str]
    numbers: tuple[float, ...]
    usual: bool

    @classmethod
    def of(cls, texts: Iterable[str], usual: bool) -> Marks:
        """The marks that a config lists."""
        texts = frozenset(texts)
        numbers = (as_number(text) for text in sorted(texts))
        return cls(texts, tuple(number for number in numbers if number is not None), usual)

    def blank(self, values: Array) -> Array:
        """Return numbers with NaN for each that is a mark."""
        # A mark is rounded to the dtype of the column, as its values were.
        with np.errstate(over="ignore"):
            hits = [found for mark in self.numbers if (found := values == mark).any()]
        if not hits:
            return values
        blanked = values.astype(np.result_type(values.dtype, np.float16))
        for found in hits:
            blanked[found] = np.nan
        return blanked

    def clean(self, text: str | None) -> str | None:
        """Return a text without blanks around it, None for a missing one."""
        if text is None:
            return None
        text = text.strip()
        if not text or text in self.texts or (self.usual and text.lower() in MISSING):
            return None
        return None if self.numbers and as_number(text) in self.numbers else text


def as_number(text: str, decimal: str = ".") -> float | None:
    """Return the number that a text is, NaN for one of the usual marks, None for other text."""
    # float takes 1_000 for a thousand; in a data file that is text.
    if "_" in text:
        return None
    if decimal != ".":
        if "." in text:
            return None
        text = text.replace(decimal, ".")
    try:
        return float(text)
    except ValueError:
        return float("nan") if text.strip().lower() in MISSING else None


def shortest(text: str) -> str:
    """Return the shortest text of the number that a text is: 3 for 3.0."""
    try:
        return str(int(text))
    except ValueError:
        number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def levels_of(numbers: Array) -> Coded:
    """Return numbers as texts."""
    unique, codes = np.unique(numbers, return_inverse=True)
    # numpy's own text of a number is the shortest that its dtype tells from others.
    levels = [None if value != value else shortest(str(value)) for value in unique]
    return Coded(codes.astype(np.int32).reshape(-1), levels)


def arrow_column(type_: pa.DataType) -> Column:
    """Return what a column of an Arrow type holds."""
    values = type_.value_type if pa.types.is_dictionary(type_) else type_
    name = str(values).removesuffix("[day]").removeprefix("large_")
    name = _SHORT_TYPES.get(name, name)
    if _is_text(values):
        return Column(Kind.TEXT, name)
    known = (
        pa.types.is_integer(values)
        or pa.types.is_floating(values)
        or pa.types.is_decimal(values)
        or pa.types.is_boolean(values)
        or pa.types.is_null(values)
        or _is_time(values)
    )
    return Column(Kind.NUMBERS, name, "" if known else name)


def arrow_values(array: pa.Array) -> Values:
    """Return the values of an Arrow array whose type `arrow_column` knows.

    Times become days, dates and timestamps those since 1970-01-01; booleans become 0 and 1.
    Whole numbers without a gap keep their dtype.
    """
    type_ = array.type
    if pa.types.is_dictionary(type_) and not _is_text(type_.value_type):
        array, type_ = array.dictionary_decode(), type_.value_type
    if pa.types.is_dictionary(type_) or _is_text(type_):
        return _coded(array)
    if _is_time(type_):
        bits = type_.bit_width
        ticks = array.cast(pa.int32() if bits == 32 else pa.int64()).cast(pa.float64(), safe=False)
        days: Array = ticks.to_numpy(zero_copy_only=False) / _ticks_a_day(type_)
        return days
    if pa.types.is_integer(type_) and array.null_count == 0:
        whole: Array = array.to_numpy(zero_copy_only=False)
        return whole
    if not pa.types.is_floating(type_):
        array = array.cast(pa.float64(), safe=False)
    numbers: Array = array.to_numpy(zero_copy_only=False)
    return numbers


def numpy_column(array: Array) -> Array | pa.Array:
    """Return a numpy array [n] as numbers, or as an Arrow array of what else it holds.

    Raises:
        ValueError: it holds what is neither number, text, date nor truth value; the message
            is what was got.
    """
    if array.dtype.kind in "iuf":
        return array
    if array.dtype.kind == "b":
        return array.astype(np.float64)
    if array.dtype.kind in "cV":
        raise ValueError(str(array.dtype))
    values: Any = array
    if array.dtype.kind in "SOT":
        # TensorFlow hands texts over as bytes.
        values = [item.decode() if isinstance(item, bytes) else item for item in array.tolist()]
    try:
        found = pa.array(values, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        kinds = sorted({type(item).__name__ for item in array.tolist()})
        raise ValueError(f"a mixture of {', '.join(kinds)}") from error
    if refusal := arrow_column(found.type).refusal:
        raise ValueError(refusal)
    return found


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or str(type_) == "string_view"
    )


def _is_time(type_: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(type_)) and not str(type_).startswith("month")


def _ticks_a_day(type_: pa.DataType) -> int:
    if pa.types.is_date32(type_):
        return 1
    unit = "ms" if pa.types.is_date64(type_) else type_.unit
    return _SECONDS_A_DAY * _TICKS_A_SECOND[unit]


def _coded(array: pa.Array) -> Coded:
    if not pa.types.is_dictionary(array.type):
        if str(array.type) == "string_view":
            array = array.cast(pa.large_string())
        array = array.dictionary_encode()
    codes = array.indices.cast(pa.int32()).fill_null(MISSING_CODE).to_numpy(zero_copy_only=False)
    return Coded(codes, array.dictionary.to_pylist())
