"""How far the boundaries of several sweeps lie apart, and which of them breaks first.

Notation: M members, S slices: the combinations of the shared axes but the learning rate. A
boundary is known as a bracket: no rate at or below `safe` failed, `failing` did. Positions are
base-10 logarithms, so that differences are decades:

- a bracket that is closed lies at its middle, the mean of both ends' logarithms;
- one without a failure lies at its safe end or above, one that fails at the lowest rate below
  its failing end, and one with a rate in between that was not measured anywhere up to it. These
  count as open: they bound a shift but do not measure it.

A slice that pools several has the lowest of their boundaries, and none that is known while one
of them was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.alignment import Alignment
from stabilitysweep.analysis.axes import Axis, encode
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.table import beside, numbers, require_columns

_COLUMNS = ("safe", "failing", "status", "refined")


@dataclass(frozen=True, slots=True, eq=False)
class Brackets:
    """The boundary of every member in every slice.

    Attributes:
        safe: float64 [M, S], the largest rate at and below which nothing failed; 0 for none.
        failing: float64 [M, S], the smallest rate that failed; +inf for none.
        known: bool [M, S], whether anything is known; both ends are NaN where not.
        refined: bool [M, S], whether the bracket was narrowed between the grid's values.
        gap: bool [M, S], whether a rate between the ends was not measured.
    """

    safe: NDArray[np.float64]
    failing: NDArray[np.float64]
    known: NDArray[np.bool_]
    refined: NDArray[np.bool_]
    gap: NDArray[np.bool_]

    @property
    def low(self) -> NDArray[np.float64]:
        """float64 [M, S], log10 of the safe end; -inf where no rate is safe."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log10(self.safe))

    @property
    def high(self) -> NDArray[np.float64]:
        """float64 [M, S], log10 of the failing end; +inf where none failed."""
        return np.asarray(np.log10(self.failing))

    @property
    def closed(self) -> NDArray[np.bool_]:
        """Whether both ends are known, with nothing to measure between: bool [M, S]."""
        ends: NDArray[np.bool_] = np.isfinite(self.low) & np.isfinite(self.high)
        return self.known & ends & ~self.gap

    @property
    def position(self) -> NDArray[np.float64]:
        """float64 [M, S]: the middle of a closed bracket, the known end of an open one.

        NaN where nothing is known, or nothing but that it is not known.
        """
        middle = (self.low + self.high) / 2
        end = np.where(np.isfinite(self.low), self.low, self.high)
        at = np.where(self.closed, middle, end)
        return np.where(self.known & np.isfinite(at), at, np.nan)

    @property
    def width(self) -> float:
        """The median width of the closed brackets, in decades; 0 without any."""
        closed = self.closed
        return float(np.median((self.high - self.low)[closed])) if closed.any() else 0.0


@dataclass(frozen=True, slots=True)
class Shift:
    """How much higher the boundary of `other` lies than that of `one`.

    Attributes:
        one: name of a member.
        other: name of another.
        decades: the median over the slices in which both brackets are closed; None without one.
        low: how far it is at least, since brackets have a width: the median of
            log10(safe of other / failing of one). None if there is no bound.
        high: how far it is at most, in the same way.
        smallest: the least of the slices; None as `decades` is.
        largest: the greatest of the slices.
        deviation: their standard deviation.
        slices: number of slices in which both brackets are closed.
        open_slices: further slices in which something is known of both.
        refined: whether all these brackets were refined.
    """

    one: str
    other: str
    decades: float | None
    low: float | None
    high: float | None
    smallest: float | None
    largest: float | None
    deviation: float | None
    slices: int
    open_slices: int
    refined: bool

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Fragility:
    """How early a member breaks beside the others.

    Attributes:
        name: the member.
        share_stable: of the cells measured in all, the share that is stable in it; None
            without such a cell.
        below: how much lower its boundary lies than the mean of the others', in decades, the
            mean over the slices known in all; without a learning rate, how much smaller its
            share of stable cells is. None if nothing is known.
        along: the axis along which that differs most; None if nothing is known, or if it does
            not differ by more than the boundaries are known to.
        value: where on that axis it breaks earliest beside the others.
        below_there: `below` at that value alone.
    """

    name: str
    share_stable: float | None
    below: float | None
    along: str | None = None
    value: Any = None
    below_there: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


def brackets(aligned: Alignment) -> Brackets | None:
    """Gather the boundaries; None unless the learning rate is a shared axis known to all.

    Raises:
        ResultError: a boundary table lacks a column.
    """
    tables = [member.boundaries for member in aligned.members]
    if aligned.rate not in aligned.axes or any(table is None for table in tables):
        return None
    axes = aligned.slice_axes()
    parts = [
        _of_member(table, axes, member.pooled(aligned.axes) if member.missing else 1)
        for member, table in zip(aligned.members, tables, strict=True)
        if table is not None
    ]
    stacked = [np.stack(part) for part in zip(*parts, strict=True)]
    return Brackets(stacked[0], stacked[1], *(each > 0 for each in stacked[2:]))


def _of_member(
    table: pd.DataFrame, axes: Mapping[str, Axis], pooled: int
) -> tuple[NDArray[np.float64], ...]:
    """The attributes of `Brackets` of a member, [S] each.

    A slice is known by all of the `pooled` slices in it; those that never ran have no row.
    """
    require_columns(table, [*axes, *_COLUMNS])
    slices = int(np.prod([len(axis) for axis in axes.values()], dtype=np.int64))
    place = np.zeros(len(table), dtype=np.int64)
    for name, axis in axes.items():
        place = place * len(axis) + encode(table[name], axis)
    # A slice without a safe rate leaves none to those pooled with it.
    safe, failing = np.full(slices, np.inf), np.full(slices, np.inf)
    np.minimum.at(safe, place, np.nan_to_num(numbers(table["safe"]), nan=0.0))
    np.fmin.at(failing, place, numbers(table["failing"]))
    known, refined = np.zeros(slices), np.zeros(slices)
    np.add.at(known, place, 1.0)
    status = table["status"].astype(str).to_numpy()
    known[known < pooled] = 0.0
    known[np.unique(place[status == BoundaryStatus.UNMEASURED.value])] = 0.0
    # A gap counts unless another of those pooled with it ends the safe range no higher.
    open_at, ended = np.full(slices, np.inf), np.full(slices, np.inf)
    gap = status == BoundaryStatus.GAP.value
    ends = np.nan_to_num(numbers(table["safe"]), nan=0.0)
    np.minimum.at(open_at, place[gap], ends[gap])
    np.minimum.at(ended, place[~gap], ends[~gap])
    refined[np.unique(place)] = 1.0
    refined[np.unique(place[~table["refined"].to_numpy(dtype=np.bool_)])] = 0.0
    blank = known == 0
    safe[blank], failing[blank] = np.nan, np.nan
    return safe, failing, known, refined, (open_at < ended).astype(np.float64)


def shifts(names: tuple[str, ...], found: Brackets) -> list[Shift]:
    """Compare the boundaries of every two members, in the order of the members.

    Args:
        names: M names.
        found: their brackets.
    """
    return [_shift(names[a], names[b], found, a, b) for a, b in combinations(range(len(names)), 2)]


def _shift(one: str, other: str, found: Brackets, a: int, b: int) -> Shift:
    both = found.known[a] & found.known[b]
    closed = found.closed[a] & found.closed[b]
    used = closed if closed.any() else both
    low = found.low[b, used] - found.high[a, used]
    high = found.high[b, used] - found.low[a, used]
    apart = (found.position[b] - found.position[a])[closed]
    return Shift(
        one=one,
        other=other,
        decades=float(np.median(apart)) if len(apart) else None,
        low=_median_bound(low),
        high=_median_bound(high),
        smallest=float(apart.min()) if len(apart) else None,
        largest=float(apart.max()) if len(apart) else None,
        deviation=float(apart.std()) if len(apart) else None,
        slices=int(closed.sum()),
        open_slices=int((both & ~closed).sum()),
        refined=bool(closed.any() and found.refined[[a, b]][:, closed].all()),
    )


def _median_bound(bounds: NDArray[np.float64]) -> float | None:
    """The median of bounds, some of which may be infinite; None if it is."""
    if not len(bounds):
        return None
    ordered = np.sort(bounds)
    middle = ordered[[(len(ordered) - 1) // 2, len(ordered) // 2]]
    if not np.isfinite(middle).all():
        return None
    return float(middle.mean())


def fragilities(
    aligned: Alignment, found: Brackets | None, states: NDArray[np.int8]
) -> list[Fragility]:
    """Say of every member how early it breaks beside the others, the most fragile first.

    Args:
        aligned: the members.
        found: their brackets; None takes the cells instead.
        states: int8 [M, ...], 1 where a cell is stable, 0 where it failed, -1 unknown.
    """
    everywhere = (states >= 0).all(axis=0)
    if found is None:
        axes = dict(aligned.axes)
        height = np.where(everywhere, states, np.nan).astype(np.float64)
        resolution = 0.0
    else:
        axes = aligned.slice_axes()
        height = found.position.reshape(len(states), *map(len, axes.values()))
        resolution = found.width
    count = len(states)
    # Each beside the mean of the others: (sum - own) / (M - 1) - own. NaN where one of them is.
    below = (height.sum(axis=0) - count * height) / (count - 1)
    if found is not None:
        # What did not fail as far as was tried is not known to break early, nor do others beside
        # one that fails at its lowest rate break late: theirs may lie anywhere.
        ends = np.isfinite(found.high) & ~found.gap, np.isfinite(found.low)
        own, others = (known.reshape(height.shape) for known in ends)
        below = np.where(own & (others.sum(axis=0) - others == count - 1), below, np.nan)
    cells = int(everywhere.sum())
    made = [
        _fragility(
            member.name,
            float((states[place] == 1)[everywhere].sum() / cells) if cells else None,
            below[place],
            axes,
            resolution,
        )
        for place, member in enumerate(aligned.members)
    ]
    return sorted(made, key=_order)


def _order(one: Fragility) -> tuple[float, float]:
    below = -np.inf if one.below is None else one.below
    share = 1.0 if one.share_stable is None else one.share_stable
    return -round(below, 9), round(share, 9)


def _fragility(
    name: str,
    share: float | None,
    below: NDArray[np.float64],
    axes: Mapping[str, Axis],
    resolution: float,
) -> Fragility:
    known = ~np.isnan(below)
    if not known.any():
        return Fragility(name, share, None)
    best: tuple[float, str, Any, float] | None = None
    for place, (axis_name, axis) in enumerate(axes.items()):
        by_value = np.moveaxis(below, place, 0).reshape(len(axis), -1)
        has = ~np.isnan(by_value)
        rows = has.any(axis=1)
        if rows.sum() < 2:
            continue
        means = np.full(len(axis), np.nan)
        means[rows] = np.nansum(by_value[rows], axis=1) / has[rows].sum(axis=1)
        spread = float(np.nanmax(means) - np.nanmin(means))
        if spread > resolution + 1e-9 and (best is None or spread > best[0]):
            worst = int(np.nanargmax(means))
            best = (spread, axis_name, axis.values[worst], float(means[worst]))
    mean = float(below[known].mean())
    if best is None:
        return Fragility(name, share, mean)
    return Fragility(name, share, mean, best[1], best[2], best[3])


def safe_slices(aligned: Alignment, found: Brackets) -> pd.DataFrame:
    """The largest learning rate that is safe in all members, slice by slice.

    Returns:
        A row a slice, in the order of the axes: a column an axis; `safe`, the lowest of the
        members' safe ends, NaN where a member has none or is not known; `limited_by`, the
        members whose it is; then for each member `safe in NAME`.
    """
    axes = aligned.slice_axes()
    shape = tuple(map(len, axes.values()))
    places = np.indices(shape).reshape(len(shape), math.prod(shape))
    named = {
        name: pd.Series(
            [axis.values[place] for place in row], dtype=None if axis.numeric else object
        )
        for (name, axis), row in zip(axes.items(), places, strict=True)
    }
    columns: dict[str, Any] = {}
    some = np.where(found.safe > 0, found.safe, np.nan)
    lowest = found.safe.min(axis=0)  # NaN where one is not known, 0 where one has none
    columns["safe"] = np.where(lowest > 0, lowest, np.nan)
    columns["limited_by"] = pd.Series(
        [
            None
            if np.isnan(least)
            else ", ".join(
                member.name
                for member, own in zip(aligned.members, of_slice, strict=True)
                if own == least
            )
            for least, of_slice in zip(lowest, found.safe.T, strict=True)
        ],
        dtype=object,
    )
    for place, member in enumerate(aligned.members):
        columns[f"safe in {member.name}"] = some[place]
    return pd.DataFrame(beside(named, columns))
