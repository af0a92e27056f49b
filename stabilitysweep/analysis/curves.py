"""How far the learning rate may go, and how much it matters, along another axis.

A *slice* is a combination of the values of all axes but the learning rate; the table of
slices has a row for each. A figure puts one axis along x and draws a line for each value of
another; the slices that differ in the rest are spread over: their middle one is shown, and
the range of all.

Notation: G lines of X points. Every array has the shape [G, X].
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, find_axis, find_value, make_axes, values_at
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.overlays import places_in
from stabilitysweep.analysis.table import RATE, beside, numbers, require_columns
from stabilitysweep.errors import ResultError

MOST_LINES = 8
"""Lines that can be told apart."""

Quantity = Literal["boundary", "sensitivity"]

# What a reader looks for first along x.
_PREFERRED = ("depth", "batch_size", "precision", "width")


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The largest stable learning rate, or the sensitivity to it, along an axis.

    The arrays are read-only.

    Attributes:
        quantity: `boundary` or `sensitivity`.
        x: the horizontal axis; None if the learning rate is the only axis (X = 1).
        by: the axis with a line for each value; None for one line (G = 1).
        pooled: names of the axes that the slices are spread over.
        fixed: axes held at one value: those in `where`, and those with only one value.
        steps: the fewest and the most steps that the boundaries hold for; None if unknown.
        value: float64 [G, X]. For `boundary` the safe end of the middle slice, the lower one of
            two: the largest rate with no failure at or below it; NaN where that slice has none.
            For `sensitivity` the median over the slices that have one; NaN without.
        failing: float64 [G, X], the smallest failing rate of that same slice; NaN where none
            failed. None for `sensitivity`.
        lowest: float64 [G, X], the least `value` of the slices that have one.
        highest: float64 [G, X], the largest.
        slices: int64 [G, X], the slices that are measured.
        none_safe: int64 [G, X], those of them that fail at their lowest rate.
        open_ended: int64 [G, X], those of them without a failure as far as they were measured.
    """

    quantity: Quantity
    x: Axis | None
    by: Axis | None
    pooled: tuple[str, ...]
    fixed: Mapping[str, Any]
    steps: tuple[int, int] | None
    value: NDArray[np.float64]
    failing: NDArray[np.float64] | None
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    slices: NDArray[np.int64]
    none_safe: NDArray[np.int64]
    open_ended: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Locks the arrays."""
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def to_frame(self) -> pd.DataFrame:
        """Return all that a figure of the curves shows, one row a point, x the fastest.

        Columns: the fixed axes and those of the figure; for `boundary` then `safe`, `failing`,
        `lowest_safe`, `highest_safe`, `none_safe`, `open_ended`, for `sensitivity` then
        `sensitivity`, `lowest`, `highest`; `slices`; `fewest_steps` and `most_steps`, if known.
        """
        places = np.indices(self.value.shape).reshape(2, -1)
        named: dict[str, Any] = {
            name: values_at([value], np.zeros(places.shape[1], dtype=np.int64))
            for name, value in self.fixed.items()
        }
        for axis, place in zip((self.by, self.x), places, strict=True):
            if axis is not None:
                named[axis.name] = values_at(axis.values, place)
        if self.failing is None:
            shown = {"sensitivity": self.value, "lowest": self.lowest, "highest": self.highest}
            counted = {}
        else:
            shown = {
                "safe": self.value,
                "failing": self.failing,
                "lowest_safe": self.lowest,
                "highest_safe": self.highest,
            }
            counted = {"none_safe": self.none_safe, "open_ended": self.open_ended}
        counted["slices"] = self.slices
        columns: dict[str, Any] = {n: array.ravel() for n, array in (shown | counted).items()}
        if self.steps is not None:
            columns["fewest_steps"], columns["most_steps"] = self.steps
        return pd.DataFrame(beside(named, columns))


def curves(
    table: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    quantity: Quantity,
    *,
    x: str | None = None,
    by: str | None = None,
    where: Mapping[str, object] | None = None,
    pool: Collection[str] = (),
    rate: str = RATE,
) -> Curves:
    """Spreads the slices out along an axis, a line for each value of another.

    Args:
        table: one row a slice, as `Result.sensitivity` has it.
        axes: name of each axis to the grid's values.
        quantity: `boundary` or `sensitivity`.
        x: name of the horizontal axis; None chooses depth, batch size, precision, width or
            another with several values, in that order.
        by: name of the axis with a line for each value; None chooses the precision, or another
            with few values.
        where: axes to hold at one value, as name to value or its text.
        pool: names of axes to spread over rather than draw lines for.
        rate: the name of the axis of the learning rate.

    Raises:
        ResultError: a name is no axis, is the learning rate, or has two places; a value is not
            on its axis; `by` has more than `MOST_LINES` values; the table lacks a column.
    """
    made = make_axes(axes)
    asked = [("x", x), ("by", by), *(("where", name) for name in where or ())]
    _check(made, [*asked, *(("pool", name) for name in pool)], rate)
    others = {name: axis for name, axis in made.items() if name != rate}
    fixed = {
        name: find_value(others[name], value, f"where {name}")
        for name, value in (where or {}).items()
    }
    free = [
        axis
        for name, axis in others.items()
        if len(axis) > 1 and name not in {x, by, *fixed, *pool}
    ]
    if x is None and free:
        chosen = min(free, key=_order_along_x)
        free.remove(chosen)
        x = chosen.name
    lines = [axis for axis in free if len(axis) <= MOST_LINES]
    if by is None and lines:
        by = min(lines, key=_order_of_lines).name
    fixed |= {
        name: 0 for name, axis in others.items() if len(axis) == 1 and name not in {x, by, *fixed}
    }
    pooled = tuple(name for name in others if name not in {x, by, *fixed})
    require_columns(table, [*others, "safe", "failing", "status", quantity_column(quantity)])

    _, kept, place = places_in(table, others, fixed, (by, x))
    shape = len(made[by]) if by else 1, len(made[x]) if x else 1
    spread = _boundaries if quantity == "boundary" else _sensitivities
    return Curves(
        quantity=quantity,
        x=made[x] if x else None,
        by=made[by] if by else None,
        pooled=pooled,
        fixed={name: others[name].values[value] for name, value in fixed.items()},
        steps=_steps(table[kept]),
        **spread(table[kept], place, shape),
    )


def quantity_column(quantity: Quantity) -> str:
    """The column of the table of slices that a figure is about."""
    return "safe" if quantity == "boundary" else "sensitivity"


def _check(made: Mapping[str, Axis], asked: Sequence[tuple[str, str | None]], rate: str) -> None:
    places: dict[str, str] = {}
    for role, name in asked:
        if name is None:
            continue
        axis = find_axis(made, name, role)
        if name == rate:
            raise ResultError(
                f"{role}: expected an axis other than the learning rate, since that is what is "
                f"drawn; got {name!r}."
            )
        if name in places:
            raise ResultError(
                f"expected each axis in one place; {name!r} was asked for as {places[name]} and "
                f"as {role}"
            )
        if role == "by" and len(axis) > MOST_LINES:
            raise ResultError(
                f"by: expected an axis of at most {MOST_LINES} values, a line for each; {name} "
                f"has {len(axis)}."
            )
        places[name] = role


def _order_along_x(axis: Axis) -> tuple[int, bool, int]:
    first = _PREFERRED.index(axis.name) if axis.name in _PREFERRED else len(_PREFERRED)
    return first, not axis.numeric, -len(axis)


def _order_of_lines(axis: Axis) -> tuple[bool, bool, int]:
    return axis.name != "precision", axis.numeric, len(axis)


def _steps(table: pd.DataFrame) -> tuple[int, int] | None:
    steps = numbers(table["steps"]) if "steps" in table else np.empty(0)
    steps = steps[~np.isnan(steps)]
    return (int(steps.min()), int(steps.max())) if len(steps) else None


def _boundaries(
    table: pd.DataFrame, place: NDArray[np.int64], shape: tuple[int, int]
) -> dict[str, Any]:
    """The arrays of `Curves` for the boundary."""
    status = table["status"].astype(str).to_numpy()
    measured = status != BoundaryStatus.UNMEASURED.value
    place, status = place[measured], status[measured]
    safe, failing = numbers(table["safe"])[measured], numbers(table["failing"])[measured]
    ended = np.isin(status, (BoundaryStatus.FOUND.value, BoundaryStatus.ALL_FAIL.value))
    failing = np.where(ended, failing, np.nan)  # one above a gap does not end the safe range

    points = shape[0] * shape[1]
    # The middle slice is one of them, so that its two ends are a bracket that was measured.
    order = np.lexsort((np.nan_to_num(failing, nan=np.inf), _low(safe), place))
    present, start, length = np.unique(place[order], return_index=True, return_counts=True)
    middle = order[start + (length - 1) // 2]
    value, fails = np.full(points, np.nan), np.full(points, np.nan)
    value[present], fails[present] = safe[middle], failing[middle]
    lowest, highest = _range(place, safe, points)
    none_safe = np.bincount(place[np.isnan(safe)], minlength=points)
    open_ended = np.bincount(place[~ended], minlength=points)
    found = {
        "value": value,
        "failing": fails,
        "lowest": lowest,
        "highest": highest,
        "slices": np.bincount(place, minlength=points).astype(np.int64),
        "none_safe": none_safe.astype(np.int64),
        "open_ended": open_ended.astype(np.int64),
    }
    return {name: array.reshape(shape) for name, array in found.items()}


def _sensitivities(
    table: pd.DataFrame, place: NDArray[np.int64], shape: tuple[int, int]
) -> dict[str, Any]:
    """The arrays of `Curves` for the sensitivity."""
    points = shape[0] * shape[1]
    value = numbers(table["sensitivity"])
    known = ~np.isnan(value)
    grouped = pd.Series(value[known]).groupby(place[known]).median()
    median = np.full(points, np.nan)
    median[grouped.index.to_numpy(dtype=np.int64)] = grouped.to_numpy()
    lowest, highest = _range(place, value, points)
    none = np.zeros(points, dtype=np.int64)
    found = {
        "value": median,
        "lowest": lowest,
        "highest": highest,
        "slices": np.bincount(place[known], minlength=points).astype(np.int64),
        "none_safe": none,
        "open_ended": none.copy(),
    }
    arrays: dict[str, Any] = {name: array.reshape(shape) for name, array in found.items()}
    return arrays | {"failing": None}


def _low(safe: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(safe), -np.inf, safe)


def _range(
    place: NDArray[np.int64], value: NDArray[np.float64], points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest number at each point; NaN without one."""
    lowest, highest = np.full(points, np.nan), np.full(points, np.nan)
    np.fmin.at(lowest, place, value)
    np.fmax.at(highest, place, value)
    return lowest, highest
