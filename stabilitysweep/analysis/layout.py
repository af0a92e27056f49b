"""Which axis goes where on a map, when nobody says.

A map shows four axes at most: x and y within a panel, rows and columns of panels. The
rest is pooled over. The choice, in this order:

- x: the learning rate, else the numeric axis with the most values.
- y: the numeric axis with the most values of those left; without one, a categorical.
- columns: the precision. rows: the activation, or the next categorical.
- places still empty take the next categorical, then the next numeric axis: an axis that
  can be shown says more than one that is pooled over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from stabilitysweep.analysis.axes import Axis, find_axis
from stabilitysweep.analysis.table import RATE
from stabilitysweep.errors import ResultError

# Ties in the number of values go to what a reader looks for first.
_NUMERIC_PREFERENCE = (
    "depth", "batch_size", "width", "l2", "weight_decay", "l1", "dropout", "momentum",
    "clipnorm", "warmup_steps",
)  # fmt: skip
_CATEGORICAL_PREFERENCE = (
    "activation", "dataset", "optimizer", "initializer", "scaling", "imputation",
    "encoding", "unknown_categories", "target_scaling", "missing_indicator",
)  # fmt: skip

# More panels than this are not drawn unless asked for: they would be too small to read.
_MAX_COLUMNS = 6
_MAX_ROWS = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of every axis.

    Attributes:
        x: name of the horizontal axis of each panel.
        y: name of the vertical one, None for a single strip.
        rows: name of the axis down the rows of panels, or None.
        columns: name of the axis along the columns of panels, or None.
        pooled: names of the axes pooled over: each has at least two values.
    """

    x: str
    y: str | None
    rows: str | None
    columns: str | None
    pooled: tuple[str, ...]


def choose_layout(
    axes: Mapping[str, Axis],
    *,
    x: str | None = None,
    y: str | None = None,
    rows: str | None = None,
    columns: str | None = None,
    fixed: Collection[str] = (),
    pool: Collection[str] = (),
    rate: str = RATE,
) -> Layout:
    """Gives every axis its place; see the top of this file for the defaults.

    Args:
        axes: the sweep's axes by name.
        x: name of the axis wanted there; None chooses. So for `y`, `rows`, `columns`.
        y: see `x`.
        rows: see `x`.
        columns: see `x`.
        fixed: names of the axes held at one value: they have no place.
        pool: names of the axes to pool over rather than show.
        rate: the name of the axis of the learning rate.

    Raises:
        ResultError: a name is no axis, or has two places, or no axis is left for x.
    """
    asked = {"x": x, "y": y, "rows": rows, "columns": columns}
    _check(axes, asked, fixed, pool)
    used = {name for name in asked.values() if name} | set(fixed) | set(pool)
    free = [axis for axis in axes.values() if axis.name not in used and len(axis) > 1]

    def take(candidate: Axis | None) -> str | None:
        if candidate is None:
            return None
        free.remove(candidate)
        return candidate.name

    x = x or take(_first(free, _is(rate)) or _most_values(free, numeric=True))
    x = x or take(_most_values(free, numeric=False)) or _single_valued(axes, used)
    if x is None:
        raise ResultError(
            f"x: expected an axis to be left ({', '.join(axes)}); all are fixed or pooled over"
        )
    y = y or take(_most_values(free, numeric=True) or _preferred(free, numeric=False))
    few = _at_most(_MAX_COLUMNS)
    columns = columns or take(_first(free, _is("precision")))
    rows = rows or take(_preferred(list(filter(_at_most(_MAX_ROWS), free)), numeric=False))
    columns = columns or take(_preferred(list(filter(few, free)), numeric=False))
    columns = columns or take(_most_values(list(filter(few, free)), numeric=True))
    rows = rows or take(_most_values(list(filter(few, free)), numeric=True))
    shown = {x, y, rows, columns} | set(fixed)
    pooled = tuple(name for name, axis in axes.items() if name not in shown and len(axis) > 1)
    return Layout(x=x, y=y, rows=rows, columns=columns, pooled=pooled)


def _check(
    axes: Mapping[str, Axis],
    asked: Mapping[str, str | None],
    fixed: Collection[str],
    pool: Collection[str],
) -> None:
    places: dict[str, str] = {}
    named = [(role, name) for role, name in asked.items() if name is not None]
    named += [("where", name) for name in fixed] + [("pool", name) for name in pool]
    for role, name in named:
        find_axis(axes, name, role)
        if name in places:
            raise ResultError(
                f"expected each axis in one place; {name!r} was asked for as "
                f"{places[name]} and as {role}"
            )
        places[name] = role


def _is(name: str) -> Callable[[Axis], bool]:
    return lambda axis: axis.name == name


def _at_most(number: int) -> Callable[[Axis], bool]:
    return lambda axis: len(axis) <= number


def _first(free: list[Axis], test: Callable[[Axis], bool]) -> Axis | None:
    return next(filter(test, free), None)


def _most_values(free: list[Axis], *, numeric: bool) -> Axis | None:
    candidates = [axis for axis in free if axis.numeric == numeric]
    return min(candidates, key=lambda axis: (-len(axis), _rank(axis)), default=None)


def _preferred(free: list[Axis], *, numeric: bool) -> Axis | None:
    candidates = [axis for axis in free if axis.numeric == numeric]
    return min(candidates, key=_rank, default=None)


def _rank(axis: Axis) -> int:
    if axis.name == "precision":  # it belongs in the columns, so it comes last elsewhere
        return 1000
    preference = _NUMERIC_PREFERENCE if axis.numeric else _CATEGORICAL_PREFERENCE
    return preference.index(axis.name) if axis.name in preference else len(preference)


def _single_valued(axes: Mapping[str, Axis], used: set[str]) -> str | None:
    return next((name for name in axes if name not in used), None)
