"""The largest box of safe cells around a pick.

A *box* takes a few values of each axis and has all their combinations: neighbouring values of an
axis of numbers, any values of another. It is safe if every cell in it is.

Notation: A axes; a box is given by a tuple of places for each of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, value_label, value_labels
from stabilitysweep.analysis.safety import SAFE, UNMEASURED, UNSTABLE, States
from stabilitysweep.errors import ResultError

MOST_STEPS = 100_000
"""Parts of boxes looked at: a search that ends before has tried every box, so it is exact."""

_RESTARTS = 30
_SEED = 0

Places = tuple[int, ...]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SafeBox:
    """A box of safe cells, and what it leaves out.

    Attributes:
        axes: the values that the box has on each axis, numbers increasing; at least one.
        numeric: the axes of numbers among them: those whose values are neighbours.
        pick: the cell that it was grown from, its value on each axis.
        held: axes that the box is not looked for along, each with its one value.
        datasets: what every cell of it is safe in.
        cells: how many it has.
        safe: safe cells there are in all, those of the box among them.
        unstable: cells in which a trial diverged or became non-finite.
        unmeasured: cells that lack a seed, not run yet or crashed.
        left_out: for each axis the values that the box has not, each with the number of safe
            cells at that value; without the axes of which it has all.
        exact: whether no larger box contains the pick. False where there were too many boxes to
            look at them all (see `MOST_STEPS`): then it is the largest that was found.
    """

    axes: Mapping[str, tuple[Any, ...]]
    numeric: tuple[str, ...]
    pick: Mapping[str, Any]
    held: Mapping[str, Any]
    datasets: tuple[str, ...]
    cells: int
    safe: int
    unstable: int
    unmeasured: int
    left_out: Mapping[str, tuple[tuple[Any, int], ...]]
    exact: bool

    @property
    def outside(self) -> int:
        """Safe cells that it leaves out."""
        return self.safe - self.cells

    def __str__(self) -> str:
        """In words: the box, a line an axis, and what is left out."""
        width = max(map(len, [*self.axes, *self.held]))
        size = "largest" if self.exact else "largest found"
        lines = [f"{size} box of safe cells: {_count(self.cells, 'cell')} of {self._total():,}"]
        for name, values in self.axes.items():
            text = f"  {name:{width}}  {self._in_words(name, values)}"
            if name in self.left_out:
                missing = self.left_out[name]
                labels = value_labels(value for value, _ in missing)
                parts = [
                    f"{label} ({count:,} safe)"
                    for label, (_, count) in zip(labels, missing, strict=True)
                    if count
                ]
                none = [
                    label for label, (_, count) in zip(labels, missing, strict=True) if not count
                ]
                parts += [f"{', '.join(none)} (none safe)"] if none else []
                text += f"; without {', '.join(parts)}"
            lines.append(text)
        lines += [f"  {name:{width}}  {value_label(v)} (held)" for name, v in self.held.items()]
        lines.append(
            f"left out: {_count(self.outside, 'safe cell')}; {self.unstable:,} unstable, "
            f"{self.unmeasured:,} not measured"
        )
        if len(self.datasets) > 1:
            lines.append(f"safe in {', '.join(self.datasets)}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The same as plain values, for `write_json`."""
        return {
            "axes": {name: list(values) for name, values in self.axes.items()},
            "pick": dict(self.pick),
            "held": dict(self.held),
            "datasets": list(self.datasets),
            "cells": self.cells,
            "safe_cells": self.safe,
            "safe_cells_outside": self.outside,
            "unstable_cells": self.unstable,
            "unmeasured_cells": self.unmeasured,
            "left_out": {
                name: [{"value": value, "safe_cells": count} for value, count in missing]
                for name, missing in self.left_out.items()
            },
            "exact": self.exact,
        }

    def _total(self) -> int:
        return self.safe + self.unstable + self.unmeasured

    def _in_words(self, name: str, values: tuple[Any, ...]) -> str:
        labels = value_labels(values)
        if name in self.numeric and len(values) > 2:
            return f"{labels[0]} to {labels[-1]} ({len(values)} values)"
        return ", ".join(labels)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def safe_box(
    states: States,
    axes: Mapping[str, Axis],
    pick: Mapping[str, Any],
    *,
    held: Mapping[str, Any] | None = None,
    datasets: Sequence[str] = (),
    most_steps: int = MOST_STEPS,
) -> SafeBox:
    """Find the largest box of safe cells around a pick.

    Args:
        states: of each cell, see `safety.cell_states`.
        axes: of these cells, in their order.
        pick: the value of a safe cell on each axis.
        held: axes to hold at a value instead of looking along them, with the pick's values.
        datasets: for the record.
        most_steps: see `MOST_STEPS`.

    Raises:
        ResultError: an axis without a value in `pick`, a value that is not on its axis, or a
            pick that is no safe cell.
    """
    places: dict[str, int] = {}
    for name, axis in axes.items():
        if name not in pick:
            raise ResultError(f"pick: expected a value of every axis, got none of {name}.")
        place = axis.index_of(pick[name])
        if place is None:
            raise ResultError(
                f"pick: expected one of the values of {name} ({', '.join(axis.labels)}), got "
                f"{value_label(pick[name])!r}."
            )
        places[name] = place
    held = {name: axes[name].values[places[name]] for name in held or {} if name in axes}
    index = tuple(places[name] if name in held else slice(None) for name in axes)
    states = states[index]
    axes = {name: axis for name, axis in axes.items() if name not in held}
    centre = tuple(places[name] for name in axes)
    if int(states[centre]) != SAFE:
        state = {UNSTABLE: "unstable", UNMEASURED: "not measured with all its seeds"}
        named = ", ".join(f"{name} {value_label(pick[name])}" for name in axes)
        raise ResultError(
            f"pick: expected a safe cell, got {named}: it is {state[int(states[centre])]}."
        )
    safe = states == SAFE
    numeric = tuple(axis.numeric for axis in axes.values())
    chosen, exact = largest_box(safe, numeric, centre, most_steps)
    left_out = {}
    for number, (axis, own) in enumerate(zip(axes.values(), chosen, strict=True)):
        others = [place for place in range(len(axis)) if place not in own]
        if others:
            counts = safe.sum(axis=tuple(n for n in range(safe.ndim) if n != number))
            left_out[axis.name] = tuple((axis.values[p], int(counts[p])) for p in others)
    return SafeBox(
        axes={
            axis.name: tuple(axis.values[place] for place in own)
            for axis, own in zip(axes.values(), chosen, strict=True)
        },
        numeric=tuple(name for name, axis in axes.items() if axis.numeric),
        pick={name: axis.values[places[name]] for name, axis in axes.items()} | held,
        held=held,
        datasets=tuple(datasets),
        cells=math.prod(map(len, chosen)),
        safe=int(safe.sum()),
        unstable=int((states == UNSTABLE).sum()),
        unmeasured=int((states == UNMEASURED).sum()),
        left_out=left_out,
        exact=exact,
    )


def largest_box(
    safe: Flags, numeric: Sequence[bool], centre: Places, most_steps: int = MOST_STEPS
) -> tuple[tuple[Places, ...], bool]:
    """The largest box of safe cells that contains one of them.

    Branch and bound: the values of one axis after another are chosen, and what is left to
    choose from are the cells that are safe with all of them. It begins with the best of some
    greedy boxes, and that is also what comes out where it is cut off.

    Args:
        safe: whether a cell is, bool, with a dimension for each of the A axes.
        numeric: of each axis, whether its values have to be neighbours.
        centre: the place of the cell on each axis; the cell is safe.
        most_steps: how many parts of boxes are looked at, at least 1.

    Returns:
        The places on each axis, increasing; and whether it is certain that none is larger.
    """
    if not safe.ndim:
        return (), True
    kept = [_along(safe, number, own, centre) for number, own in enumerate(numeric)]
    small = safe[np.ix_(*kept)]
    middle = tuple(own.index(place) for own, place in zip(kept, centre, strict=True))
    # The axis with the most values last: along it the best choice needs no search.
    order = sorted(range(safe.ndim), key=lambda number: (len(kept[number]), number))
    search = _Search(
        tuple(numeric[number] for number in order),
        tuple(middle[number] for number in order),
        most_steps,
    )
    turned = small.transpose(order)
    search.offer(_greedy(turned, search.numeric, search.centre))
    search.look(turned, 0, ())
    found = dict(zip(order, search.best, strict=True))
    boxes = tuple(
        tuple(sorted(kept[number][place] for place in found[number])) for number in range(safe.ndim)
    )
    return boxes, search.steps <= most_steps


class _Search:
    """A depth-first search for the largest box, one axis a level."""

    def __init__(self, numeric: tuple[bool, ...], centre: Places, most_steps: int) -> None:
        self.numeric, self.centre, self.most_steps = numeric, centre, most_steps
        self.best: tuple[Places, ...] = ()
        self.size = 0
        self.steps = 0

    def offer(self, box: tuple[Places, ...]) -> None:
        size = math.prod(map(len, box))
        if size > self.size:
            self.best, self.size = box, size

    def look(self, safe: Flags, level: int, chosen: tuple[Places, ...]) -> None:
        """Go through the choices along the first axis of `safe`, those cells that are left."""
        centre, numeric = self.centre[level:], self.numeric[level:]
        if safe.ndim == 1:
            self.offer((*chosen, _along(safe, 0, numeric[0], centre)))
            return
        taken = math.prod(map(len, chosen))
        kept = _along(safe, 0, numeric[0], centre)
        for own in _choices(kept, centre[0], numeric[0]):
            if self.steps > self.most_steps:
                return
            self.steps += 1
            rest = np.asarray(safe[list(own)].all(axis=0))
            if taken * len(own) * _bound(rest, numeric[1:], centre[1:]) > self.size:
                self.look(rest, level + 1, (*chosen, own))


def _along(safe: Flags, number: int, numeric: bool, centre: Places) -> Places:
    """The places on one axis that a box may have at most: the line through the centre."""
    index: tuple[Any, ...] = (*centre[:number], slice(None), *centre[number + 1 :])
    line = safe[index]
    if not numeric:
        return tuple(np.flatnonzero(line).tolist())
    low = high = centre[number]
    while low > 0 and line[low - 1]:
        low -= 1
    while high + 1 < len(line) and line[high + 1]:
        high += 1
    return tuple(range(low, high + 1))


def _choices(kept: Places, centre: int, numeric: bool) -> Iterator[Places]:
    """What a box may have of these places, the most first: the centre is always among them."""
    if numeric:
        low, high = kept[0], kept[-1]
        spans = [(a, b) for a in range(low, centre + 1) for b in range(centre, high + 1)]
        for a, b in sorted(spans, key=lambda span: span[0] - span[1]):
            yield tuple(range(a, b + 1))
        return
    others = [place for place in kept if place != centre]
    for number in range(len(others), -1, -1):
        for few in itertools.combinations(others, number):
            yield tuple(sorted((centre, *few)))


def _bound(safe: Flags, numeric: Sequence[bool], centre: Places) -> int:
    """At least as many cells as the largest box of these has."""
    lines = (len(_along(safe, n, own, centre)) for n, own in enumerate(numeric))
    return min(int(safe.sum()), math.prod(lines))


def _greedy(safe: Flags, numeric: Sequence[bool], centre: Places) -> tuple[Places, ...]:
    """The best of some boxes that grow by the step that adds the most cells, or any step."""
    generator = np.random.default_rng(_SEED)
    best: tuple[Places, ...] = tuple((place,) for place in centre)
    for start in range(_RESTARTS):
        box = [[place] for place in centre]
        while steps := list(_steps(safe, numeric, box)):
            gains = [1 / len(box[number]) for number, _ in steps]
            most = [step for step, gain in zip(steps, gains, strict=True) if gain == max(gains)]
            # The first goes by what it gains alone, the others at random.
            among = most if start == 0 else steps
            number, place = among[0 if start == 0 else int(generator.integers(len(among)))]
            box[number].append(place)
        if math.prod(map(len, box)) > math.prod(map(len, best)):
            best = tuple(tuple(sorted(own)) for own in box)
    return best


def _steps(
    safe: Flags, numeric: Sequence[bool], box: Sequence[list[int]]
) -> Iterator[tuple[int, int]]:
    """The axes and places by which a box can grow and stay safe."""
    for number, own in enumerate(box):
        if numeric[number]:
            near = [min(own) - 1, max(own) + 1]
        else:
            near = [place for place in range(safe.shape[number]) if place not in own]
        for place in near:
            if 0 <= place < safe.shape[number]:
                added = [*box[:number], [place], *box[number + 1 :]]
                if safe[np.ix_(*added)].all():
                    yield number, place
