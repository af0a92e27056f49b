"""Several sweeps brought onto the axes they share.

Notation: M members are compared, on the product of the shared axes, each with the values that
every member has. What is not shared is named, never silently dropped:

- a value that not every member has is left out;
- an axis of some members where the others were trained at one value of it: all are looked at
  there;
- any other axis that is not shared is pooled over, like the seeds: a cell then holds only if it
  holds at every value.

Values match as those of axes do: numbers within a relative 1e-9, whatever they are written as.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import (
    Axis,
    encode,
    find_axis,
    find_value,
    held_rows,
    make_axes,
    value_label,
)
from stabilitysweep.analysis.table import RATE, require_columns
from stabilitysweep.errors import ResultError

_MOST_VALUES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One side of a comparison: a result, or the part of it at one value of an axis.

    Attributes:
        name: what it is called; no two members of a comparison have the same.
        trials: its trials table, N rows in any order.
        axes: name of each axis to its values, as the table has them.
        settings: the value of every setting that is no axis, as far as it is known.
        boundaries: one row a slice of the axes but the learning rate, with the columns `safe`,
            `failing`, `status` and `refined` (see `brackets`); None without such an axis.
        missing: trials that are not run yet.
        budget: how long it was trained, in words.
        dataset: the label of its data set; None where it has several.
        seeds: number of seeds that a whole cell has; None for as many as the trials have.
    """

    name: str
    trials: pd.DataFrame
    axes: Mapping[str, Sequence[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    boundaries: pd.DataFrame | None = None
    missing: int = 0
    budget: str = ""
    dataset: str | None = None
    seeds: int | None = None

    @property
    def whole(self) -> int:
        """Number of trials of a complete combination of its axes, at least 1."""
        found = int(self.trials["seed"].nunique()) if self.seeds is None else self.seeds
        return max(found, 1)

    def pooled(self, axes: Collection[str]) -> int:
        """Number of combinations of its other axes that are one on these."""
        others = [name for name in self.axes if name not in axes]
        return math.prod(len(make_axes({name: self.axes[name]})[name]) for name in others)


class Treatment(StrEnum):
    """What is done about an axis that is not shared as a whole."""

    LEFT_OUT = "left out"  # of the comparison: values that not every member has
    HELD = "held"  # at the one value that the other members were trained at
    POOLED = "pooled"  # over, like the seeds


@dataclass(frozen=True, slots=True)
class Unshared:
    """An axis, or some of its values, that the members do not share.

    Attributes:
        axis: its name.
        treatment: what is done about it.
        values: the members that have it, each with the values in question.
        held: the value it is held at, as a text; empty unless held.
    """

    axis: str
    treatment: Treatment
    values: Mapping[str, tuple[Any, ...]]
    held: str = ""

    def __str__(self) -> str:
        """Say it: `depth, of a alone, is pooled over: 1, 2, 4`."""
        each = "; ".join(f"{name}: {_listed(found)}" for name, found in self.values.items())
        if self.treatment is Treatment.LEFT_OUT:
            return f"{self.axis}: not in all, so left out: {each}"
        if self.treatment is Treatment.HELD:
            return f"{self.axis}: not swept in all, so looked at where it is {self.held} ({each})"
        return f"{self.axis}: not shared, so pooled over, like the seeds ({each})"

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        values = {name: list(found) for name, found in self.values.items()}
        held = {"held_at": self.held} if self.held else {}
        return {"axis": self.axis, "treatment": str(self.treatment), "values": values, **held}


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Members on what they share.

    Attributes:
        members: at least two, with their tables cut to what is compared.
        axes: the shared axes, in the order of the first member; at least one.
        unshared: what is not shared, in the order it was met.
        rate: the name of the axis of the learning rate.
    """

    members: tuple[Member, ...]
    axes: Mapping[str, Axis]
    unshared: tuple[Unshared, ...]
    rate: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of every shared axis."""
        return tuple(map(len, self.axes.values()))

    def slice_axes(self) -> dict[str, Axis]:
        """The shared axes but the learning rate."""
        return {name: axis for name, axis in self.axes.items() if name != self.rate}


def align(
    members: Sequence[Member], where: Mapping[str, Any] | None = None, rate: str = RATE
) -> Alignment:
    """Bring members onto the axes and values they share.

    Args:
        members: at least two, of different names.
        where: axes to hold at one value, as name to value or its text; members that have no
            such axis are taken as they are.
        rate: the name of the axis of the learning rate in all of them.

    Raises:
        ResultError: no axis is shared; the learning rate is an axis of all, and no value of it
            is; or `where` names what is no axis of any, or no value of one that has it.
    """
    held = [_hold(member, where or {}) for member in members]
    for name in where or {}:
        if not any(name in member.axes for member in members):
            find_axis(_all_axes(members), name, "where")
    shared: dict[str, Axis] = {}
    fixed: dict[str, Any] = {}
    unshared: list[Unshared] = []
    for name in _all_axes(held):
        _sort(name, held, rate, shared, fixed, unshared)
    if not shared:
        each = "; ".join(f"{member.name}: {', '.join(member.axes) or 'none'}" for member in held)
        raise ResultError(f"expected an axis in common, got axes {each}.")
    cut = tuple(_cut(member, shared, fixed) for member in held)
    return Alignment(cut, shared, tuple(unshared), rate)


def split(
    member: Member, axis: str, names: Mapping[Any, str] | None = None, *, complete: bool = True
) -> list[Member]:
    """Take a member apart along one of its axes.

    Args:
        member: what is taken apart.
        axis: along which.
        names: what to call the parts, by value; the values' own labels if None.
        complete: whether all trials are run. Then a value of another axis that a part never
            has, such as the batch size of all rows of another data set, is none of its own.

    Raises:
        ResultError: the member has no such axis.
    """
    made = find_axis(make_axes(member.axes), axis, "by")
    parts = []
    for place, (value, label) in enumerate(zip(made.values, made.labels, strict=True)):
        trials = _rows(member.trials, made, place)
        axes = {name: values for name, values in member.axes.items() if name != axis}
        if complete and len(trials):
            axes = {name: _met(trials[name], name, values) for name, values in axes.items()}
        whole = math.prod(map(len, axes.values())) * member.whole
        parts.append(
            Member(
                name=names[value] if names else label,
                trials=trials,
                axes=axes,
                settings={**member.settings, axis: value},
                boundaries=_rows(member.boundaries, made, place),
                missing=0 if complete else max(whole - len(trials), 0),
                budget=member.budget,
                dataset=str(value) if axis == "dataset" else member.dataset,
                seeds=member.seeds,
            )
        )
    return parts


def _met(column: pd.Series[Any], name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values of an axis that a column has."""
    axis = make_axes({name: values})[name]
    present = set(encode(column, axis).tolist())
    return tuple(value for value in values if axis.index_of(value) in present)


def _hold(member: Member, where: Mapping[str, Any]) -> Member:
    """The member at one value of the axes in `where` that it has."""
    made = make_axes(member.axes) if member.axes else {}
    own = {name: value for name, value in where.items() if name in made}
    trials = member.trials.loc[held_rows(member.trials, made, own, member.name)]
    boundaries, settings = member.boundaries, dict(member.settings)
    if boundaries is not None:
        boundaries = boundaries.loc[held_rows(boundaries, made, own)]
    for name, value in own.items():
        settings[name] = made[name].values[find_value(made[name], value, name)]
    axes = {name: values for name, values in member.axes.items() if name not in where}
    return replace(member, trials=trials, axes=axes, settings=settings, boundaries=boundaries)


def _sort(
    name: str,
    members: Sequence[Member],
    rate: str,
    shared: dict[str, Axis],
    fixed: dict[str, Any],
    unshared: list[Unshared],
) -> None:
    """Put one axis where it belongs: shared, held, or pooled over."""
    made = {m.name: make_axes({name: m.axes[name]})[name] for m in members if name in m.axes}
    all_values = {owner: axis.values for owner, axis in made.items()}
    if len(made) == len(members):
        first = next(iter(made.values()))
        common = [v for v in first.values if all(a.index_of(v) is not None for a in made.values())]
        if common:
            shared[name] = make_axes({name: common})[name]
            rest = {
                owner: tuple(v for v in axis.values if shared[name].index_of(v) is None)
                for owner, axis in made.items()
            }
            if any(rest.values()):
                left = {owner: values for owner, values in rest.items() if values}
                unshared.append(Unshared(name, Treatment.LEFT_OUT, left))
            return
        if name == rate:
            each = "; ".join(f"{owner}: {_listed(found)}" for owner, found in all_values.items())
            raise ResultError(
                f"{name}: expected values in common, since cells are compared where all were "
                f"trained, got {each}. Add values of one to the grid of the other: its next run "
                "trains only those."
            )
    else:
        others = [m.settings.get(name, _UNKNOWN) for m in members if name not in m.axes]
        known = others[0] is not _UNKNOWN and all(_alike(others[0], v) for v in others)
        if known and all(axis.index_of(others[0]) is not None for axis in made.values()):
            fixed[name] = others[0]
            held = value_label(others[0])
            unshared.append(Unshared(name, Treatment.HELD, all_values, held))
            return
    unshared.append(Unshared(name, Treatment.POOLED, all_values))


def _cut(member: Member, shared: Mapping[str, Axis], fixed: Mapping[str, Any]) -> Member:
    """The member's trials and boundaries on the shared values alone."""
    require_columns(member.trials, [*shared, "seed", "outcome"])
    trials, boundaries, settings = member.trials, member.boundaries, dict(member.settings)
    axes = dict(member.axes)
    for name, value in fixed.items():
        if name in axes:
            own = make_axes({name: axes.pop(name)})[name]
            place = find_value(own, value, name)
            trials, boundaries = _rows(trials, own, place), _rows(boundaries, own, place)
        settings[name] = value
    on_shared = np.ones(len(trials), dtype=np.bool_)
    for name, axis in shared.items():
        on_shared &= encode(trials[name], axis) >= 0
    trials = trials.loc[on_shared]
    if boundaries is not None:
        # Of an axis that is pooled over, only what is the member's own.
        own_axes = make_axes(axes) if axes else {}
        kept = np.ones(len(boundaries), dtype=np.bool_)
        for name, axis in {**own_axes, **shared}.items():
            if name in boundaries:  # all but the learning rate
                kept &= encode(boundaries[name], axis) >= 0
        boundaries = boundaries.loc[kept]
    axes |= {name: axis.values for name, axis in shared.items()}
    return replace(member, trials=trials, axes=axes, settings=settings, boundaries=boundaries)


_Table = TypeVar("_Table", pd.DataFrame, pd.DataFrame | None)


def _rows(table: _Table, axis: Axis, place: int) -> _Table:
    """The rows at one value of an axis; all where the table has no such column."""
    if table is None or axis.name not in table:
        return table
    rows: NDArray[np.bool_] = encode(table[axis.name], axis) == place
    return table.loc[rows]


def _all_axes(members: Sequence[Member]) -> dict[str, Axis]:
    """Every axis of any member, in the order it is met, with the values met first."""
    found: dict[str, Axis] = {}
    for member in members:
        for name, values in member.axes.items():
            found.setdefault(name, make_axes({name: values})[name])
    return found


_UNKNOWN = object()


def _alike(one: Any, other: Any) -> bool:
    if one is _UNKNOWN or other is _UNKNOWN:
        return False
    return make_axes({"value": [one]})["value"].index_of(other) is not None


def _listed(values: Sequence[Any]) -> str:
    """Values as a text, the middle of many left out."""
    labels = [value_label(value) for value in values]
    if len(labels) <= _MOST_VALUES:
        return ", ".join(labels)
    return f"{', '.join(labels[:3])}, ..., {labels[-1]} ({len(labels)})"
