"""What is known along the learning rate of every slice of a map, in three numbers each.

Notation: S slices, one for each combination of the axes but the learning rate; arrays of them have
a dimension for each of these axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.safety import SAFE, UNMEASURED, UNSTABLE, States, cell_states
from stabilitysweep.analysis.standing import Panel
from stabilitysweep.analysis.table import numbers
from stabilitysweep.analysis.withdrawn import Withdrawn

TOLERANCE = 1e-9
"""A learning rate that went through text and back may differ in its last digits."""

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Reason(StrEnum):
    """How settings lie on the map."""

    SAFE = "safe"
    UNSTABLE = "unstable"
    NEAR = "near"
    BETWEEN = "between"
    BEYOND = "beyond"
    UNMEASURED = "unmeasured"

    @property
    def words(self) -> str:
        """The same in words."""
        return _WORDS[self]


_WORDS = {
    Reason.SAFE: "safe",
    Reason.UNSTABLE: "unstable",
    Reason.NEAR: "within the margin of the boundary",
    Reason.BETWEEN: "between safe and unstable",
    Reason.BEYOND: "beyond the map",
    Reason.UNMEASURED: "not measured",
}


class Bounds(NamedTuple):
    """What is known along the learning rate, one number a slice.

    A map without that axis has a rate of 1 everywhere.
    """

    low: Numbers  # the lowest measured rate
    safe: Numbers  # the largest at and below which nothing failed, -inf without one
    failing: Numbers  # the smallest that fails, inf without one
    gap: Flags  # whether what lies above `safe` lacks seeds

    def reduced(self, dimensions: tuple[int, ...]) -> Bounds:
        """The worst over some axes."""
        return Bounds(
            self.low.max(axis=dimensions),
            self.safe.min(axis=dimensions),
            self.failing.min(axis=dimensions),
            np.asarray(self.gap.any(axis=dimensions)),
        )

    def part(self, index: tuple[slice, ...]) -> Bounds:
        """Some of the slices."""
        return Bounds(self.low[index], self.safe[index], self.failing[index], self.gap[index])


def worst_of(found: Iterable[Bounds]) -> Bounds:
    """The worst over several maps of the same slices."""
    parts = list(found)
    return Bounds(
        np.stack([each.low for each in parts]),
        np.stack([each.safe for each in parts]),
        np.stack([each.failing for each in parts]),
        np.stack([each.gap for each in parts]),
    ).reduced((0,))


def bounds_of_states(states: States) -> Bounds:
    """A map without a learning rate: every cell is a slice with the rate 1."""
    return Bounds(
        low=np.ones(states.shape),
        safe=np.where(states == SAFE, 1.0, -np.inf),
        failing=np.where(states == UNSTABLE, 1.0, np.inf),
        gap=states == UNMEASURED,
    )


def bounds_of_panel(
    panel: Panel,
    axes: Mapping[str, Axis],
    rate: str,
    withdrawn: Sequence[Sequence[Withdrawn]],
) -> Bounds:
    """The boundary of each slice in one data set, cut off at the first rate that lacks a seed."""
    shape = tuple(map(len, axes.values()))
    own = panel.axes[rate]
    size = math.prod(shape)
    safe, failing = np.full(size, -np.inf), np.full(size, np.inf)
    gap = np.ones(size, dtype=np.bool_)
    table = panel.boundaries
    if table is None:
        raise ValueError(f"expected {panel.label} to have boundaries")
    for name, axis in axes.items():
        table = table.loc[encode(table[name], axis) >= 0]
    index = [encode(table[name], axis) for name, axis in axes.items()]
    place = np.ravel_multi_index(index, shape) if axes else np.zeros(len(table), dtype=np.int64)
    safe[place] = np.nan_to_num(numbers(table["safe"]), nan=-np.inf)
    failing[place] = np.nan_to_num(numbers(table["failing"]), nan=np.inf)
    lacking = [BoundaryStatus.GAP.value, BoundaryStatus.UNMEASURED.value]
    gap[place] = table["status"].isin(lacking).to_numpy(dtype=np.bool_)
    safe, failing, gap = safe.reshape(shape), failing.reshape(shape), gap.reshape(shape)
    states = cell_states([panel], {**axes, rate: own}, withdrawn)
    rates = own.numbers
    # A rate of the grid with fewer seeds than were asked for ends what is safe.
    whole = np.logical_and.accumulate(states == SAFE, axis=-1).sum(axis=-1)
    broken = (states == UNSTABLE).any(axis=-1)
    first = np.where(broken, rates[(states == UNSTABLE).argmax(axis=-1)], np.inf)
    failing = np.minimum(failing, first)
    short = whole < len(rates)
    next_rate = rates[np.minimum(whole, len(rates) - 1)]
    highest = np.where(whole > 0, rates[np.maximum(whole - 1, 0)], -np.inf)
    cut = short & (next_rate <= safe * (1 + TOLERANCE))
    at_end = np.minimum(whole, len(rates) - 1)[..., np.newaxis]
    missing = short & (np.take_along_axis(states, at_end, axis=-1)[..., 0] == UNMEASURED)
    low = np.full(shape, rates[0])
    return Bounds(low, np.where(cut, highest, safe), failing, gap | missing)


def state_of(bounds: Bounds, index: tuple[int, ...], low: float, high: float) -> Reason:
    """How rates from `low` to `high` lie in one slice."""
    failing, safe = float(bounds.failing[index]), float(bounds.safe[index])
    if high * (1 + TOLERANCE) >= failing:
        return Reason.UNSTABLE
    if safe == -math.inf and failing == math.inf:
        return Reason.UNMEASURED
    if low * (1 + TOLERANCE) < bounds.low[index]:
        return Reason.BEYOND
    if high <= safe * (1 + TOLERANCE):
        return Reason.SAFE
    if bounds.gap[index]:
        return Reason.UNMEASURED
    return Reason.BEYOND if failing == math.inf else Reason.BETWEEN
