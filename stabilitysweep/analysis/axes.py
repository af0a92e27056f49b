"""Axes of a sweep: their values, how they are written, and which row holds which.

An axis is *numeric* when every value is a finite number (booleans are not numbers
here); its values are then kept in increasing order, whatever the order in the config,
since boundaries and true scales need it. Any other axis is *categorical* and keeps the
config's order. A missing value (None, NaN) is a value like any other: `clipnorm: [null, 1]`.
"""

from __future__ import annotations

import difflib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.errors import ResultError

# A value that went through text and back may differ in its last digits; neighbouring
# values of any real grid differ by far more.
_RELATIVE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Axis:
    """One swept hyperparameter.

    Attributes:
        name: the column of the trials table.
        values: the grid's values without repetitions; increasing if `numeric`.
        numeric: whether every value is a finite number.
    """

    name: str
    values: tuple[Any, ...]
    numeric: bool

    def __len__(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The values as float64 [len(self)], increasing.

        Raises:
            ValueError: the axis is categorical.
        """
        if not self.numeric:
            raise ValueError(f"axis {self.name!r} is categorical: it has no numbers")
        return np.asarray(self.values, dtype=np.float64)

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as short texts, all different."""
        return value_labels(self.values)

    def index_of(self, value: object) -> int | None:
        """Position of `value` on the axis, or None.

        Numbers match within a relative 1e-9; a text also matches the number it spells
        and the label of a value ("1e-4", "none", "true").
        """
        plain = _plain(value)
        if self.numeric and is_number(plain):
            near = 2 * _RELATIVE_TOLERANCE * abs(plain)
            candidates = range(
                bisect_left(self.values, plain - near), bisect_right(self.values, plain + near)
            )
        else:
            candidates = range(len(self.values))
        for index in candidates:
            if _same(self.values[index], plain):
                return index
        if isinstance(plain, str):
            try:
                number = float(plain)
            except ValueError:
                number = math.nan
            for index, own in enumerate(self.values):
                spelt = not isinstance(own, str) and not math.isnan(number) and _same(own, number)
                if spelt or value_label(own).lower() == plain.lower():
                    return index
        return None


def make_axes(axes: Mapping[str, Sequence[object]]) -> dict[str, Axis]:
    """Turns a grid's names and values into axes, in the same order.

    Args:
        axes: axis name to the grid's values, which may repeat or be unsorted.

    Raises:
        ResultError: there is no axis, or one has no values.
    """
    if not axes:
        raise ResultError("expected a sweep with at least one axis; its grid is empty")
    made: dict[str, Axis] = {}
    for name, values in axes.items():
        distinct = _different(list(map(_plain, values)))
        if not distinct:
            raise ResultError(f"expected axis {name!r} to have values; its list is empty")
        numeric = all(map(is_number, distinct))
        made[name] = Axis(name, tuple(sorted(distinct) if numeric else distinct), numeric)
    return made


def _different(values: list[Any]) -> list[Any]:
    """The values without repetitions; of several that are the same, the first."""
    if all(map(is_number, values)):  # then neighbours tell, and an axis may have thousands
        ordered = sorted(values)
        if not any(map(_same, ordered, ordered[1:])):
            return values
    distinct: list[Any] = []
    for value in values:
        if not any(_same(value, known) for known in distinct):
            distinct.append(value)
    return distinct


def find_axis(axes: Mapping[str, Axis], name: str, role: str) -> Axis:
    """The axis called `name`.

    Args:
        axes: the axes there are.
        name: the name asked for.
        role: what it was asked for ("x", "where", ...), for the message.

    Raises:
        ResultError: no axis has that name; the message lists those there are.
    """
    if name in axes:
        return axes[name]
    near = difflib.get_close_matches(name, list(axes), n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ResultError(
        f"{role}: expected an axis of the sweep ({', '.join(axes)}), got {name!r}.{hint}"
    )


def find_value(axis: Axis, value: object, role: str) -> int:
    """Position of `value` on `axis`.

    Raises:
        ResultError: the axis has no such value; the message lists those it has.
    """
    index = axis.index_of(value)
    if index is None:
        raise ResultError(
            f"{role}: expected one of the values of {axis.name} ({', '.join(axis.labels)}), "
            f"got {value_label(_plain(value))!r}"
        )
    return index


def encode(column: pd.Series[Any], axis: Axis) -> NDArray[np.int64]:
    """Position on the axis of every row's value.

    Args:
        column: the axis' column of the trials table, N rows, of any dtype.
        axis: the axis.

    Returns:
        int64 [N], from 0 to len(axis) - 1; -1 where the value is not on the axis.
    """
    # Only the few distinct values are matched in Python, however many rows there are.
    try:
        codes, distinct = pd.factorize(column, use_na_sentinel=False)
    except TypeError:  # lists, which have no hash
        codes, distinct = pd.factorize(column.map(_plain), use_na_sentinel=False)
    places = [axis.index_of(value) for value in distinct]
    table = np.array([-1 if place is None else place for place in places], dtype=np.int64)
    return table[codes] if len(table) else np.empty(0, dtype=np.int64)


def held_rows(
    table: pd.DataFrame, axes: Mapping[str, Axis], where: Mapping[str, object], of: str = ""
) -> NDArray[np.bool_]:
    """Which rows of a table have the values of `where`, bool [N].

    Args:
        table: of trials or of slices; an axis that it has no column of holds in every row.
        axes: the axes that may be held.
        where: axis to value; a text also matches the number that it spells.
        of: whose axes these are, for the message.

    Raises:
        ResultError: an axis or a value that there is not.
    """
    kept = np.ones(len(table), dtype=np.bool_)
    for name, value in where.items():
        axis = find_axis(axes, name, "where")
        place = find_value(axis, value, f"where {name}" + (f", {of}" if of else ""))
        if name in table:
            kept &= encode(table[name], axis) == place
    return kept


def value_label(value: object, digits: int = 3) -> str:
    """A value as a short text: 0.0001 is `0.0001`, 1e-05 is `1e-5`, None is `none`.

    Args:
        value: an axis value.
        digits: significant digits of a number.
    """
    value = _plain(value)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) < 10**6:
        return str(value)
    if isinstance(value, int | float):
        mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    if isinstance(value, tuple):
        return f"[{', '.join(value_label(item, digits) for item in value)}]"
    return str(value)


def values_at(values: Sequence[object], places: NDArray[Any]) -> pd.Series[Any]:
    """The values at some places, as a column of their own type; place -1 is the last."""
    plain = [str(value) if isinstance(value, str) else value for value in values]
    held = np.empty(len(plain), dtype=object)
    held[:] = plain
    column: pd.Series[Any] = pd.Series(held[places.astype(np.int64)], dtype=object)
    return column.infer_objects()


def grid_order(column: pd.Series[Any], values: Sequence[object]) -> pd.Series[Any]:
    """Rank the cells of an axis column in the order of the grid, numbers by size.

    Args:
        column: of the trials table.
        values: the axis' values as the table has them; others come after.
    """
    if pd.api.types.is_numeric_dtype(column):
        return column
    order = {str(value): place for place, value in enumerate(values)}
    places = column.map(lambda value: order.get(str(value), len(order)))
    return places.astype(np.int64)  # also without a row


def value_labels(values: Iterable[object]) -> tuple[str, ...]:
    """Labels of several values, with as many digits as it takes to tell them apart."""
    values = tuple(values)
    labels: tuple[str, ...] = ()
    for digits in range(3, 18):
        labels = tuple(value_label(value, digits) for value in values)
        if len(set(labels)) == len(labels):
            break
    return labels


def _plain(value: object) -> Any:
    """A value as Python's own hashable type: no NumPy scalars, NaN and NA as None."""
    if isinstance(value, list | tuple | np.ndarray):
        return tuple(_plain(item) for item in value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def is_number(value: object) -> bool:
    """Whether a value is a finite number; a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _same(own: object, other: object) -> bool:
    if is_number(own) and is_number(other):
        return math.isclose(own, other, rel_tol=_RELATIVE_TOLERANCE)  # type: ignore[arg-type]
    return bool(own == other)
