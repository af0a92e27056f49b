"""Several sweeps side by side: where all are stable, how alike they are, which breaks first.

Notation: M members, as `alignment` brings them onto the axes they share. A *cell* is one
combination of the shared axes' values, all seeds of it; arrays over cells have the axes'
order. A cell is *stable* in a member if every trial of it was run and none failed, *failed*
if one failed; otherwise nothing can be said of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.alignment import Alignment, Member, Unshared, align
from stabilitysweep.analysis.axes import Axis, encode, make_axes, value_label
from stabilitysweep.analysis.shifts import (
    Brackets,
    Fragility,
    Shift,
    brackets,
    fragilities,
    safe_slices,
    shifts,
)
from stabilitysweep.analysis.table import CRASHED, DIVERGED, NONFINITE, RATE, beside, outcome_codes
from stabilitysweep.errors import ResultError


class Agreement(StrEnum):
    """In which members a cell is stable."""

    ALL = "all"
    SOME = "some"
    NONE = "none"
    UNMEASURED = "not measured"


_DATASET = "dataset"
AGREEMENTS: tuple[Agreement, ...] = tuple(Agreement)


@dataclass(frozen=True, slots=True)
class Overlap:
    """How alike the stable regions of two members are.

    Attributes:
        one: name of a member.
        other: name of another.
        overlap: intersection over union in [0, 1]; 1 where neither has a stable cell; None
            without a cell known in both.
        both: cells that are stable in both.
        either: cells that are stable in one of them at least.
        measured: cells known in both.
    """

    one: str
    other: str
    overlap: float | None
    both: int
    either: int
    measured: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is no axis and not the same in all: it limits what a comparison says.

    Attributes:
        setting: its name.
        values: every member's value; members where it is not known are left out.
    """

    setting: str
    values: Mapping[str, Any]

    def __str__(self) -> str:
        """Say it: `steps: a 100, b 5000`."""
        each = ", ".join(f"{name} {value_label(value)}" for name, value in self.values.items())
        return f"{self.setting}: {each}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """What several sweeps, or one sweep's data sets, have in common and where they part.

    Attributes:
        kind: what the members are: `result`, or the axis that one result was split along.
        aligned: the members on the axes they share.
        differences: settings that differ between them.
        states: int8 [M, ...], 1 where a cell is stable in a member, 0 where it failed in it, -1
            where that is not known.
        agreement: int8 [...] into `AGREEMENTS`. A cell that is not known in all is `some` if
            it is stable in one and failed in another, else `not measured`.
        overlaps: of every two members.
        brackets: the members' boundaries along the learning rate; None without such an axis.
        shifts: of every two members' boundaries; empty without a learning rate.
        fragilities: of every member, the most fragile first.
    """

    kind: str
    aligned: Alignment
    differences: tuple[Difference, ...]
    states: NDArray[np.int8]
    agreement: NDArray[np.int8]
    overlaps: tuple[Overlap, ...]
    brackets: Brackets | None
    shifts: tuple[Shift, ...]
    fragilities: tuple[Fragility, ...]

    def __post_init__(self) -> None:
        """Locks the arrays."""
        self.states.flags.writeable = False
        self.agreement.flags.writeable = False

    @property
    def members(self) -> tuple[Member, ...]:
        """What is compared, in the order given."""
        return self.aligned.members

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        return tuple(member.name for member in self.members)

    @property
    def axes(self) -> Mapping[str, Axis]:
        """The shared axes, with the values that all members have."""
        return self.aligned.axes

    @property
    def unshared(self) -> tuple[Unshared, ...]:
        """What is not shared of the members' axes, and what was done about it."""
        return self.aligned.unshared

    @property
    def counts(self) -> dict[Agreement, int]:
        """The number of cells of each kind of agreement, all four, zero included."""
        of_kind = np.bincount(self.agreement.ravel(), minlength=len(AGREEMENTS))
        return {kind: int(count) for kind, count in zip(AGREEMENTS, of_kind, strict=True)}

    @property
    def most_fragile(self) -> Fragility | None:
        """The member that breaks first; None if none breaks before another, or none is known."""
        first = self.fragilities[0]
        return None if first.below is None or first.below <= 1e-9 else first

    @property
    def unit(self) -> str:
        """What fragility is counted in."""
        return "share of cells" if self.brackets is None else "decades"

    def safe_slices(self) -> pd.DataFrame:
        """The largest learning rate that is safe in all members, a row a slice.

        Columns: the shared axes but the learning rate; `safe`, NaN where there is none or a
        member is not measured; `limited_by`; `safe in NAME` for every member. Empty without a
        learning rate among the shared axes.
        """
        if self.brackets is None:
            return pd.DataFrame()
        return safe_slices(self.aligned, self.brackets)

    def to_frame(self) -> pd.DataFrame:
        """Every shared cell as a row: its values, `agreement`, `stable_in`, `known_in`, members.

        `stable_in` and `known_in` count members; the column of a member, by its name, is
        `stable`, `failed`, or None where it is not known. A member named as another column is
        has its number before its name.
        """
        places = np.indices(self.aligned.shape).reshape(len(self.axes), -1)
        named = {
            name: pd.Series(
                [axis.values[place] for place in row], dtype=None if axis.numeric else object
            )
            for (name, axis), row in zip(self.axes.items(), places, strict=True)
        }
        states = self.states.reshape(len(self.members), -1)
        measured = {
            "agreement": [str(AGREEMENTS[code]) for code in self.agreement.ravel()],
            "stable_in": (states == 1).sum(axis=0),
            "known_in": (states >= 0).sum(axis=0),
        }
        columns = beside(named, measured)
        words = np.array(["failed", "stable", None], dtype=object)
        for number, (name, own) in enumerate(zip(self.names, states, strict=True), start=1):
            columns[name if name not in columns else f"{number} {name}"] = words[own]
        return pd.DataFrame(columns)

    def to_json(self) -> dict[str, Any]:
        """The whole comparison as plain values, for `store.write_json`."""
        safe = self.safe_slices()
        fragile = self.most_fragile
        measured = int((self.states >= 0).all(axis=0).sum())
        return {
            "compared": self.kind,
            "members": [
                {
                    "name": member.name,
                    "dataset": member.dataset,
                    "budget": member.budget,
                    "trials_compared": len(member.trials),
                    "missing": member.missing,
                }
                for member in self.members
            ],
            "axes": {name: list(axis.values) for name, axis in self.axes.items()},
            "unshared": [each.to_json() for each in self.unshared],
            "differences": {each.setting: dict(each.values) for each in self.differences},
            "cells": {str(kind): count for kind, count in self.counts.items()},
            "overlaps": [each.to_json() for each in self.overlaps],
            "shifts": [each.to_json() for each in self.shifts],
            "fragility": {
                "unit": self.unit,
                "most_fragile": None if fragile is None else fragile.name,
                "members": [each.to_json() for each in self.fragilities],
            },
            "safe_in_all": {
                "cells": self.counts[Agreement.ALL],
                "of": measured,
                "slices": safe.astype(object).where(safe.notna(), None).to_dict("records"),
            },
        }

    def _repr_html_(self) -> str:
        """The members, the cells and every two members as tables, for notebooks."""
        moved = {(each.one, each.other): each.decades for each in self.shifts}
        pairs = pd.DataFrame(
            [
                {
                    "from": each.one,
                    "to": each.other,
                    "overlap": each.overlap,
                    "shift (decades)": moved.get((each.one, each.other)),
                }
                for each in self.overlaps
            ]
        )
        table = pairs.to_html(index=False, border=0, float_format=lambda value: f"{value:.3f}")
        return f"<p>{escape(repr(self))}</p>{table}"

    def __repr__(self) -> str:
        """The members, and how many cells all agree on."""
        counts = ", ".join(f"{count:,} in {kind}" for kind, count in self.counts.items() if count)
        counts = counts.replace(f"in {Agreement.UNMEASURED}", str(Agreement.UNMEASURED))
        return f"Comparison({', '.join(self.names)}: cells stable {counts})"


def compare(
    members: Sequence[Member],
    *,
    kind: str = "result",
    where: Mapping[str, Any] | None = None,
    rate: str = RATE,
) -> Comparison:
    """Compare members on the axes they share.

    Args:
        members: at least two; their names differ.
        kind: what they are, see `Comparison`.
        where: axes to hold at one value, as name to value or its text.
        rate: the name of the axis of the learning rate in all of them.

    Raises:
        ResultError: fewer than two members, or two of one name; see also `alignment.align`.
    """
    if len(members) < 2:
        got = f"one ({members[0].name})" if members else "none"
        raise ResultError(f"expected at least two to compare, got {got}.")
    names = tuple(member.name for member in members)
    if len(set(names)) < len(names):
        raise ResultError(f"expected different names, got {', '.join(names)}.")
    aligned = align(members, where, rate)
    states = np.stack([_states(member, aligned.axes) for member in aligned.members])
    found = brackets(aligned)
    return Comparison(
        kind=kind,
        aligned=aligned,
        differences=tuple(_differences(aligned.members, {kind, _DATASET})),
        states=states,
        agreement=agreement_of(states),
        overlaps=tuple(
            _overlap(names[a], names[b], states[a], states[b])
            for a, b in combinations(range(len(names)), 2)
        ),
        brackets=found,
        shifts=() if found is None else tuple(shifts(names, found)),
        fragilities=tuple(fragilities(aligned, found, states)),
    )


def agreement_of(states: NDArray[np.int8]) -> NDArray[np.int8]:
    """In which members a cell is stable, as `AGREEMENTS` has them.

    Args:
        states: int8 [M, ...], 1 stable, 0 failed, -1 not known.

    Example:
        >>> code = agreement_of(np.array([[1, 1, 0, 1], [1, 0, 0, -1]], dtype=np.int8))
        >>> [AGREEMENTS[place].value for place in code]
        ['all', 'some', 'none', 'not measured']
    """
    stable, failed = states == 1, states == 0
    code = np.select(
        [stable.any(axis=0) & failed.any(axis=0), stable.all(axis=0), failed.all(axis=0)],
        [AGREEMENTS.index(each) for each in (Agreement.SOME, Agreement.ALL, Agreement.NONE)],
        AGREEMENTS.index(Agreement.UNMEASURED),
    )
    return code.astype(np.int8)


def _states(member: Member, axes: Mapping[str, Axis]) -> NDArray[np.int8]:
    """What is known of every shared cell of a member, int8 [...]."""
    shape = tuple(map(len, axes.values()))
    trials = member.trials
    cell = np.zeros(len(trials), dtype=np.int64)
    for name, axis in axes.items():
        cell = cell * len(axis) + encode(trials[name], axis)
    codes = outcome_codes(trials)
    cells = math.prod(shape)
    failed = np.bincount(cell[(codes == DIVERGED) | (codes == NONFINITE)], minlength=cells)
    ran = np.bincount(cell[codes != CRASHED], minlength=cells)
    crashed = np.bincount(cell[codes == CRASHED], minlength=cells)
    # Combinations that come to the same are one: a complete cell may have fewer trials.
    wanted = member.pooled(axes) * member.whole if member.missing else 1
    whole = (crashed == 0) & (ran >= wanted)
    states = np.select([failed > 0, whole], [0, 1], -1).astype(np.int8)
    return states.reshape(shape)


def _overlap(one: str, other: str, mine: NDArray[np.int8], yours: NDArray[np.int8]) -> Overlap:
    known = (mine >= 0) & (yours >= 0)
    both = int(((mine == 1) & (yours == 1) & known).sum())
    either = int((((mine == 1) | (yours == 1)) & known).sum())
    measured = int(known.sum())
    overlap = None if measured == 0 else both / either if either else 1.0
    return Overlap(one, other, overlap, both, either, measured)


def _differences(members: Sequence[Member], subject: set[str]) -> list[Difference]:
    """Settings that are neither an axis of any, nor what is compared, and not the same in all."""
    swept = {name for member in members for name in member.axes} | subject
    names = dict.fromkeys(name for member in members for name in member.settings)
    found = []
    for name in names:
        values = {m.name: m.settings[name] for m in members if name in m.settings}
        if name in swept or len(values) < 2:
            continue
        # A user's models name their optimizer as its class: Adam is adam.
        said = [v.lower() if isinstance(v, str) else v for v in values.values()]
        if len(make_axes({name: said})[name]) > 1:
            found.append(Difference(name, values))
    return found
