"""The trials on the lattice of their axes: places, twins and cells.

A *place* is a value's position on its axis. *Twins* of a trial have the same settings and
seed but for one axis. N is the number of trials, A of axes, M of cells with a row; the order
of the rows does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode, make_axes
from stabilitysweep.analysis.table import (
    CRASHED,
    DIVERGED,
    NONFINITE,
    RATE,
    numbers,
    outcome_codes,
    require_columns,
)
from stabilitysweep.errors import ResultError

# The side on which numbers stay smaller, as a rule.
_MORE_IS_SAFER = frozenset({"batch_size", "l1", "l2", "dropout", "weight_decay", "warmup_steps"})
_LOWER_IS_SAFER = frozenset({"learning_rate", "depth", "width", "momentum", "clipnorm"})
# No clipping is clipping at infinity: the one axis on which `null` has a place among numbers.
_MISSING_IS = {"clipnorm": math.inf}
_SAFEST = ("float64", "float32")


def safer_direction(axis: str, rate: str = RATE) -> int:
    """Return -1 where lower values are safer as a rule, 1 where higher ones, 0 if unknown.

    Args:
        axis: its name.
        rate: the name of the axis of the learning rate.
    """
    if axis in _LOWER_IS_SAFER or axis == rate:
        return -1
    return 1 if axis in _MORE_IS_SAFER else 0


@dataclass(frozen=True, eq=False)
class Lattice:
    """A trials table as places on its axes.

    Attributes:
        axes: the A axes. An axis of numbers also has the values that only the table holds, as
            those between two of the grid.
        ordered: the names of the axes whose values have an order; they are increasing. On any
            other axis all places are one apart.
        places: int64 [N, A], place on each axis; -1 where a value is not on it.
        seeds: int64 [N], the same number for the same seed.
        measured: bool [N]; False for crashed trials and those off the grid, which say nothing.
        failed: bool [N], those measured that diverged or became non-finite.
        failures: number of trials that failed, those off the grid included.
        rate: the name of the axis of the learning rate, be there such an axis or not.
    """

    axes: Mapping[str, Axis]
    ordered: frozenset[str]
    places: NDArray[np.int64]
    seeds: NDArray[np.int64]
    measured: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    failures: int
    rate: str = RATE

    @classmethod
    def of(
        cls, trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], rate: str = RATE
    ) -> Lattice:
        """Read a trials table.

        Args:
            trials: the trials table, N rows in any order.
            axes: name of each axis to the grid's values.
            rate: the name of the axis of the learning rate.

        Raises:
            ResultError: the table lacks a column or holds an unknown outcome.
        """
        require_columns(trials, [*axes, "seed", "outcome"])
        made: dict[str, Axis] = {}
        for name, axis in make_axes(axes).items():
            made[name] = _in_order(_with_values_between(axis, trials[name]))
        places = np.column_stack([encode(trials[name], axis) for name, axis in made.items()])
        outcome = outcome_codes(trials)
        broke = (outcome == DIVERGED) | (outcome == NONFINITE)
        on_grid = (places >= 0).all(axis=1)
        return cls(
            axes=made,
            ordered=frozenset(name for name, axis in made.items() if _order(axis) is not None),
            places=places,
            seeds=pd.factorize(trials["seed"], use_na_sentinel=False)[0].astype(np.int64),
            measured=on_grid & (outcome != CRASHED),
            failed=on_grid & broke,
            failures=int(broke.sum()),
            rate=rate,
        )

    def column(self, axis: str) -> NDArray[np.int64]:
        """Return the place of every trial on one axis, int64 [N]; -1 off it."""
        found: NDArray[np.int64] = self.places[:, list(self.axes).index(axis)]
        return found

    def groups(self, *, but: str | None = None, seeds: bool = True) -> NDArray[np.int64]:
        """Number the trials with the same settings.

        Args:
            but: the axis that does not count: a group is then a trial and its twins.
            seeds: whether the seed counts.

        Returns:
            int64 [N], from 0, without gaps.
        """
        group = self.seeds if seeds else np.zeros(len(self.seeds), dtype=np.int64)
        for place, (name, axis) in enumerate(self.axes.items()):
            if name != but:
                # Numbered anew each time, so that no product of many axes can overflow.
                combined = group * (len(axis) + 1) + self.places[:, place] + 1
                group = pd.factorize(combined)[0].astype(np.int64)
        return group

    @cached_property
    def cells(self) -> Cells:
        """The cells that have a row."""
        numbered = self.groups(seeds=False)
        _, first = np.unique(numbered, return_index=True)
        size = len(first)
        return Cells(
            places=self.places[first],
            measured=np.bincount(numbered[self.measured], minlength=size),
            failed=np.bincount(numbered[self.failed], minlength=size),
        )

    def away(self, places: NDArray[np.int64], origin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many places lie between `origin` and others, on each axis.

        Args:
            places: int64 [M, A].
            origin: int64 [A].

        Returns:
            int64 [M, A], 0 or more; a change on an axis without an order counts 1.
        """
        apart: NDArray[np.int64] = np.abs(places - origin)
        without = np.array([name not in self.ordered for name in self.axes])
        return np.where(without, np.minimum(apart, 1), apart)

    def safer(self, places: NDArray[np.int64], origin: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return on which axes others are safer than `origin`, as a rule of thumb.

        Args:
            places: int64 [M, A].
            origin: int64 [A].

        Returns:
            int64 [M, A]: 1 where safer, -1 where less safe, 0 where alike or unknown.
        """
        direction = np.array(
            [safer_direction(name, self.rate) for name in self.axes], dtype=np.int64
        )
        direction *= np.array([name in self.ordered for name in self.axes])
        found: NDArray[np.int64] = np.sign(places - origin) * direction
        if "precision" in self.axes:
            column = list(self.axes).index("precision")
            safe = np.array([str(value) in _SAFEST for value in self.axes["precision"].values])
            found[:, column] = np.where(safe[places[:, column]], 1, -1) * (
                places[:, column] != origin[column]
            )
        return found

    def row_of(self, trials: pd.DataFrame, trial_id: str) -> int:
        """Return the row of a trial.

        Raises:
            ResultError: there is no trial of this id.
        """
        require_columns(trials, ["trial_id"])
        rows = np.flatnonzero((trials["trial_id"] == trial_id).to_numpy())
        if not len(rows):
            raise ResultError(f"expected a trial of the table, got {trial_id!r}")
        return int(rows[0])


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a lattice that have a row.

    Attributes:
        places: int64 [M, A], place on each axis; -1 off it.
        measured: int64 [M], its trials that could be run.
        failed: int64 [M], those of them that diverged or became non-finite.
    """

    places: NDArray[np.int64]
    measured: NDArray[np.int64]
    failed: NDArray[np.int64]

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Whether a trial was measured and none failed, bool [M]."""
        found: NDArray[np.bool_] = (self.measured > 0) & (self.failed == 0)
        return found


def _with_values_between(axis: Axis, column: pd.Series[Any]) -> Axis:
    """Add the numbers that an axis of numbers lacks and the table has, as `refine` adds them."""
    if not axis.numeric:
        return axis
    held = numbers(column)
    new = [value for value in np.unique(held[np.isfinite(held)]) if axis.index_of(value) is None]
    return make_axes({axis.name: [*axis.values, *new]})[axis.name] if new else axis


def _order(axis: Axis) -> list[float] | None:
    """Return the number that each value of an axis stands for; None if it has no order."""
    if axis.numeric:
        return [float(value) for value in axis.values]
    stand_in = _MISSING_IS.get(axis.name)
    found = [stand_in if value is None else value for value in axis.values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in found):
        return [float(value) for value in found]  # type: ignore[arg-type]
    return None


def _in_order(axis: Axis) -> Axis:
    order = _order(axis)
    if axis.numeric or order is None:
        return axis
    ranked = sorted(zip(order, range(len(order)), strict=True))
    return Axis(axis.name, tuple(axis.values[place] for _, place in ranked), numeric=False)
