"""Whether settings lie in the part of a map where training is safe, fast enough to ask often.

The learning rate is treated apart: for every combination of the other axes (a *slice*) it is safe
from the lowest measured rate up to the boundary, refined or not, and unstable from the smallest
that fails on, be there stable ones above it or not. Along another axis of numbers a value may lie
between two of the grid; then the slices *around* it count.

Notation: S slices, with a dimension for each of the other axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from stabilitysweep.analysis.axes import Axis
from stabilitysweep.analysis.safety import cell_states, joint_axes
from stabilitysweep.analysis.slice_bounds import (
    TOLERANCE,
    Bounds,
    Numbers,
    Reason,
    bounds_of_panel,
    bounds_of_states,
    state_of,
    worst_of,
)
from stabilitysweep.analysis.standing import Panel, Source, make_panels
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.errors import ResultError

OffMap = Literal["refuse", "nearest", "allow"]
"""What becomes of settings that the map does not decide on; see `Region`."""


class Verdict(NamedTuple):
    """Whether settings are allowed, and how they lie."""

    allowed: bool
    reason: Reason


class _Around(NamedTuple):
    """The slices around settings."""

    places: tuple[tuple[int, ...], ...]  # on each axis that is not free
    free: frozenset[str]  # axes that have no value: the worst over all of theirs counts
    beyond: bool  # whether a number lies outside of what its axis has
    foreign: bool  # whether a value is of another kind than those of its axis, or a new category


@dataclass(frozen=True, slots=True)
class _Scale:
    """An axis as settings are looked up on it."""

    axis: Axis
    known: dict[tuple[type, Any], int | None]
    coordinates: Numbers
    logarithmic: bool

    def place(self, value: object) -> int | None:
        """Where a value is on the axis; None where it is no value of it."""
        try:
            key = (type(value), value)
            if key not in self.known:
                if len(self.known) > 10_000:
                    self.known.clear()
                self.known[key] = self.axis.index_of(value)
            return self.known[key]
        except TypeError:  # a value that cannot be hashed
            return self.axis.index_of(value)

    def coordinate(self, value: float) -> float:
        """The value on a scale on which the axis is 1 long."""
        low, high = self.axis.values[0], self.axis.values[-1]
        if self.logarithmic:
            # What is not positive lies as far below as can be told.
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-300))
        return (value - low) / (high - low) if high > low else 0.0


class Region:
    """The part of a map where training is safe, in all its data sets.

    Attributes:
        axes: the axes of the map, that of the learning rate last, without those that are held.
        rate: the name of the axis of the learning rate; None without one.
        held: axes that are held at one value, and that value.
        datasets: what it is safe in.
        off_map: `refuse` allows a value between two measured ones where all that is measured
            around it is safe, and nothing beyond; `nearest` lets the nearest measured cell decide;
            `allow` turns away only what is known to be unstable.
        margin: factor in learning rate that is kept from the boundary, at least 1.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        where: Mapping[str, object] | None = None,
        *,
        margin: float = 1.0,
        off_map: OffMap = "refuse",
        withdrawn: Sequence[Sequence[Withdrawn]] = (),
    ) -> None:
        """Put the maps of several results, and of their data sets, together.

        Args:
            sources: at least one.
            where: axes to hold at one value, each with the value or its text.
            margin: see the attributes, as for `off_map`.
            off_map: see there.
            withdrawn: for each source, the cells of which long runs failed: they are unstable.

        Raises:
            ResultError: no trials, different axes, an axis or value there is none of, a margin
                below 1 or without an axis of the learning rate, or another `off_map`.
        """
        _require_settings(margin, off_map)
        panels = _panels(sources, where or {})
        axes = joint_axes(panels)
        rate = _only_rate(sources)
        self.rate = rate if all(panel.boundaries is not None for panel in panels) else None
        if self.rate is None and margin > 1:
            raise ResultError(
                "margin: expected a map with an axis of the learning rate, since it is a factor in "
                f"that; the axes are {', '.join(axes)}."
            )
        self.off_map, self.margin = off_map, float(margin)
        self.datasets = tuple(panel.label for panel in panels)
        held = {name: axis.values[0] for name, axis in axes.items() if name in (where or {})}
        if self.rate is None:
            self._all_rates = (1.0, 1.0)
            states = cell_states(panels, axes, withdrawn)
            bounds = bounds_of_states(states)
        else:
            own = axes.pop(rate)
            self._all_rates = (float(own.numbers[0]), float(own.numbers[-1]))
            if panels[0].held is not None:
                held[rate] = panels[0].held
                self._all_rates = (float(panels[0].held),) * 2
            bounds = worst_of(bounds_of_panel(panel, axes, rate, withdrawn) for panel in panels)
        self.held = held
        self._scales = {name: _scale(axis) for name, axis in axes.items()}
        self._bounds: dict[frozenset[str], Bounds] = {frozenset(): bounds}
        self.axes = {name: axis for name, axis in axes.items() if name not in held}
        if self.rate is not None and rate not in held:
            self.axes[rate] = own

    def verdict(self, values: Mapping[str, object]) -> Verdict:
        """Say whether settings are allowed.

        Args:
            values: a value of each axis; others are ignored. An axis that is left out may have any
                value: it counts as unsafe if it is at one of them. One that is held needs none.
        """
        first = self._at(values, 1.0)
        if first.allowed and self.margin > 1:
            further = self._at(values, self.margin)
            if not further.allowed:
                beyond = further.reason is Reason.BEYOND
                return Verdict(False, Reason.BEYOND if beyond else Reason.NEAR)
        return first

    def allows_any(self, names: frozenset[str] | set[str]) -> bool:
        """Whether any settings of these axes are allowed, whatever the others are."""
        others = frozenset(self._scales) - set(names) - set(self.held)
        bounds = self._reduced(others)
        low: Numbers | float = bounds.low
        high: Numbers | float = bounds.low
        if self.rate is not None and self.rate not in names:
            low, high = self._all_rates
        if self.off_map == "allow":
            return bool((bounds.failing > high * self.margin).any())
        inside = (bounds.low <= low * (1 + TOLERANCE)) | (self.off_map == "nearest")
        top = bounds.safe * (1 + TOLERANCE)
        if self.off_map == "nearest":  # above the top the highest measured cell decides
            top = np.where(np.isinf(bounds.failing) & (bounds.safe > -np.inf), np.inf, top)
        return bool((inside & (high * self.margin <= top)).any())

    def measured(self) -> tuple[int, int]:
        """How many slices were measured at all, and how many there are."""
        bounds = self._bounds[frozenset()]
        known = (bounds.safe > -np.inf) | (bounds.failing < np.inf)
        return int(known.sum()), int(known.size)

    def _at(self, values: Mapping[str, object], factor: float) -> Verdict:
        low, high = self._all_rates
        if self.rate is not None and self.rate in values:
            number = _number(values[self.rate])
            if number is None:
                return Verdict(self.off_map == "allow", Reason.BEYOND)
            low = high = number
        high *= factor
        found = self._around(values)
        bounds = self._reduced(found.free)
        nearest = self.off_map == "nearest"
        if nearest and found.beyond and not found.foreign:
            return self._nearest(bounds, values, found, high)
        states = {state_of(bounds, index, low, high) for index in itertools.product(*found.places)}
        measured = states - {Reason.UNMEASURED, Reason.BEYOND}
        if measured == {Reason.UNSTABLE}:
            return Verdict(False, Reason.UNSTABLE)
        if found.foreign or found.beyond:
            return Verdict(self.off_map == "allow", Reason.BEYOND)
        if states == {Reason.SAFE}:
            return Verdict(True, Reason.SAFE)
        if nearest:
            return self._nearest(bounds, values, found, high)
        for reason in (Reason.BEYOND, Reason.UNMEASURED, Reason.BETWEEN):
            if reason in states:
                return Verdict(self.off_map == "allow", reason)
        return Verdict(self.off_map == "allow", Reason.BETWEEN)

    def _around(self, values: Mapping[str, object]) -> _Around:
        """Find the slices around settings: those at the edge beyond it, all of a category's."""
        places: list[tuple[int, ...]] = []
        free: list[str] = []
        foreign = beyond = False
        for name, scale in self._scales.items():
            if name not in values:
                if name in self.held:
                    places.append((0,))
                else:
                    free.append(name)
                continue
            place = scale.place(values[name])
            if place is not None:
                places.append((place,))
                continue
            number = _number(values[name]) if scale.axis.numeric else None
            if number is None:
                foreign = True
                places.append(tuple(range(len(scale.axis))))
                continue
            above = int(np.searchsorted(scale.axis.numbers, number))
            beyond |= above in (0, len(scale.axis))
            near = {max(above - 1, 0), min(above, len(scale.axis) - 1)}
            places.append(tuple(sorted(near)))
        return _Around(tuple(places), frozenset(free), beyond, foreign)

    def _nearest(
        self,
        bounds: Bounds,
        values: Mapping[str, object],
        found: _Around,
        rate: float,
    ) -> Verdict:
        """What the nearest measured cell says: of the nearest slice, the nearest rate."""
        scales = [scale for name, scale in self._scales.items() if name not in found.free]
        distance: Numbers = np.zeros((1,) * len(scales))
        index: list[slice] = []
        for number, (scale, places) in enumerate(zip(scales, found.places, strict=True)):
            shape = [1] * len(scales)
            value = values.get(scale.axis.name)
            at = _number(value) if scale.axis.numeric else None
            if at is None:  # a category, or what is held
                index.append(slice(places[0], places[0] + 1))
                continue
            index.append(slice(None))
            shape[number] = len(scale.axis)
            apart = scale.coordinates - scale.coordinate(at)
            distance = distance + (apart**2).reshape(shape)
        near = bounds.part(tuple(index))
        measured = (near.safe > -np.inf) | (near.failing < np.inf)
        distance = np.where(measured, np.broadcast_to(distance, measured.shape), np.inf)
        best = np.unravel_index(int(distance.argmin()), distance.shape)
        if not measured[best]:
            return Verdict(False, Reason.UNMEASURED)
        safe, failing = float(near.safe[best]), float(near.failing[best])
        if rate * (1 + TOLERANCE) >= failing:
            return Verdict(False, Reason.UNSTABLE)
        if safe == -math.inf:
            return Verdict(False, Reason.UNSTABLE)
        if rate <= safe or failing == math.inf:
            return Verdict(True, Reason.SAFE)
        closer = math.sqrt(safe * failing) if safe > 0 else (safe + failing) / 2
        return Verdict(rate <= closer, Reason.SAFE if rate <= closer else Reason.BETWEEN)

    def _reduced(self, free: frozenset[str]) -> Bounds:
        """The bounds over the axes that are not free, the worst over those that are."""
        if free not in self._bounds:
            dimensions = tuple(n for n, name in enumerate(self._scales) if name in free)
            self._bounds[free] = self._bounds[frozenset()].reduced(dimensions)
        return self._bounds[free]


def _require_settings(margin: float, off_map: OffMap) -> None:
    if off_map not in get_args(OffMap):
        expected = ", ".join(map(repr, get_args(OffMap)))
        raise ResultError(f"off_map: expected one of {expected}, got {off_map!r}.")
    number = isinstance(margin, int | float | np.number) and not isinstance(margin, bool)
    if not (number and math.isfinite(margin) and margin >= 1):
        raise ResultError(f"margin: expected a factor of at least 1, got {margin!r}.")


def _panels(sources: Sequence[Source], where: Mapping[str, object]) -> list[Panel]:
    if not sources:
        raise ResultError("expected at least one result, got none.")
    panels = make_panels(sources, where)
    empty = [panel.label for panel in panels if not len(panel.trials)]
    if empty:
        raise ResultError(f"expected trials to go by; {empty[0]} has none. Run the sweep first.")
    return panels


def _only_rate(sources: Sequence[Source]) -> str:
    rates = sorted({source.rate for source in sources})
    if len(rates) > 1:
        raise ResultError(
            f"expected one axis of the learning rate in all results, got {' and '.join(rates)}."
        )
    return rates[0]


def _number(value: object) -> float | None:
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float | np.number):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _scale(axis: Axis) -> _Scale:
    logarithmic = axis.numeric and axis.values[0] > 0 and _is_logarithmic(axis.numbers)
    scale = _Scale(axis, {}, np.zeros(len(axis)), logarithmic)
    if not axis.numeric:
        return scale
    coordinates = np.array([scale.coordinate(value) for value in axis.numbers])
    return _Scale(axis, {}, coordinates, logarithmic)


def _is_logarithmic(values: Numbers) -> bool:
    """Whether positive numbers lie more evenly on a log scale."""
    if len(values) < 3:
        return True
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(ratios.std() / ratios.mean() < steps.std() / steps.mean())
