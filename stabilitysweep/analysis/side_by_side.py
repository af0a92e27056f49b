"""The members of a comparison as maps beside each other, and the map of where they agree.

Notation: M members; panels in R rows, each of Y by X cells, as in `maps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.comparison import AGREEMENTS, Comparison, agreement_of
from stabilitysweep.analysis.map_record import StabilityMap
from stabilitysweep.analysis.maps import stability_map
from stabilitysweep.analysis.table import beside
from stabilitysweep.errors import ResultError


@dataclass(frozen=True, slots=True, eq=False)
class SideBySide:
    """Everything a figure of a comparison needs. The arrays are read-only.

    Attributes:
        maps: the members' maps, a column of panels for each.
        agreement: int8 [R, Y, X] into `AGREEMENTS`. A cell of the map is stable in a member if
            all that is pooled in it is, and failed if something of it is.
        stable_in: int64 [R, Y, X], the number of members in which it is stable.
        lowest: int64 [R, Y], the member whose boundary is the lowest of a row of cells; the
            first of those whose is. None if the maps have no boundary.
    """

    maps: StabilityMap
    agreement: NDArray[np.int8]
    stable_in: NDArray[np.int64]
    lowest: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Locks the arrays."""
        self.agreement.flags.writeable = False
        self.stable_in.flags.writeable = False

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        assert self.maps.columns is not None, "the members are its columns"
        return tuple(map(str, self.maps.columns.values))

    def to_frame(self) -> pd.DataFrame:
        """The maps' table, with `agreement` and `stable_in` of each cell, alike in all members."""
        members = len(self.names)
        added = {
            "agreement": _along(self.agreement, members, [str(each) for each in AGREEMENTS]),
            "stable_in": np.repeat(self.stable_in[:, None], members, axis=1).ravel(),
        }
        table = self.maps.to_frame()
        return pd.DataFrame(beside({str(name): table[name] for name in table}, added))


def side_by_side(
    comparison: Comparison,
    *,
    x: str | None = None,
    y: str | None = None,
    rows: str | None = None,
) -> SideBySide:
    """Lay the members' maps out beside each other.

    Args:
        comparison: what is compared.
        x: horizontal axis, one of the shared; a sensible one if None, as are the others.
        y: vertical axis.
        rows: axis of the rows of panels; what has no place is pooled over.

    Raises:
        ResultError: what is named is no shared axis, or has two places.
    """
    column = _free_name(comparison.kind, comparison.axes)
    for role, name in (("x", x), ("y", y), ("rows", rows)):
        if name == column:
            raise ResultError(
                f"{role}: expected a shared axis ({', '.join(comparison.axes)}), got {name!r}, "
                "along which the maps stand beside each other."
            )
    axes: dict[str, Sequence[Any]] = {name: axis.values for name, axis in comparison.axes.items()}
    maps = stability_map(
        _stacked(column, comparison.names, [member.trials for member in comparison.members]),
        {**axes, column: comparison.names},
        x=x,
        y=y,
        rows=rows,
        columns=column,
        boundaries=_boundaries(comparison, column),
        rate=comparison.aligned.rate,
    )
    maps = replace(maps, missing=_missing(comparison, maps))
    states = _pooled_states(comparison, maps)
    return SideBySide(maps, agreement_of(states), (states == 1).sum(axis=0), _lowest(maps))


def _stacked(
    column: str, names: Sequence[str], tables: Sequence[pd.DataFrame | None]
) -> pd.DataFrame:
    """The members' tables below each other, with a column that says whose a row is."""
    named = [
        table.drop(columns=column, errors="ignore").assign(**{column: name})
        for name, table in zip(names, tables, strict=True)
        if table is not None and len(table)
    ]
    if not named:
        whole = next(table for table in tables if table is not None)
        return whole.assign(**{column: pd.Series(dtype=object)})
    # Columns that one result has and another lacks say nothing about a comparison.
    common = [name for name in named[0] if all(name in table for table in named)]
    return pd.concat([table[common].astype(object) for table in named], ignore_index=True)


def _boundaries(comparison: Comparison, column: str) -> pd.DataFrame | None:
    tables = [member.boundaries for member in comparison.members]
    if comparison.brackets is None or not any(t is not None and len(t) for t in tables):
        return None
    return _stacked(column, comparison.names, tables)


def _missing(comparison: Comparison, maps: StabilityMap) -> int:
    """Trials on the maps that are not run yet: members may differ in how many seeds they have."""
    lacking = 0
    shown = [axis.name for axis in (maps.rows, maps.y, maps.x) if axis is not None]
    for place, member in enumerate(comparison.members):
        wanted = member.pooled(shown) * member.whole
        own = maps.trials[:, place]
        lacking += min(int(np.maximum(wanted - own, 0).sum()), member.missing)
    return lacking


def _pooled_states(comparison: Comparison, maps: StabilityMap) -> NDArray[np.int8]:
    """The members' states on the map's cells, int8 [M, R, Y, X]."""
    names = list(comparison.axes)
    shown = [axis.name for axis in (maps.rows, maps.y, maps.x) if axis is not None]
    rest = tuple(place + 1 for place, name in enumerate(names) if name not in shown)
    states = comparison.states
    failed = (states == 0).any(axis=rest, keepdims=True)
    stable = (states == 1).all(axis=rest, keepdims=True)
    pooled = np.select([failed, stable], [0, 1], -1).astype(np.int8).squeeze(axis=rest)
    kept = [name for name in names if name in shown]
    order = [0, *(1 + kept.index(name) for name in shown)]
    height, width = maps.shape[2:]
    return pooled.transpose(order).reshape(len(states), maps.shape[0], height, width)


def _lowest(maps: StabilityMap) -> NDArray[np.int64] | None:
    """See `SideBySide.lowest`."""
    if maps.bracket_safe is None or maps.bracket_failing is None:
        return None
    safe = np.nan_to_num(maps.bracket_safe, nan=-np.inf)
    failing = np.nan_to_num(maps.bracket_failing, nan=np.inf)
    order: NDArray[np.int64] = np.lexsort((failing, safe), axis=1)
    return order[:, 0]


def _along(codes: NDArray[np.int8], members: int, words: Sequence[str]) -> NDArray[Any]:
    """Codes [R, Y, X] as words, once for every member, in the order of a map's table."""
    named = np.array(words, dtype=object)[codes]
    return np.repeat(named[:, None], members, axis=1).ravel()


def _free_name(kind: str, axes: Mapping[str, Any]) -> str:
    """What the axis of the members is called: `kind`, or more where an axis is called so."""
    name = kind
    while name in axes:
        name += "s"
    return name
