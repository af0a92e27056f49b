"""Cells that were safe in a sweep and whose long runs failed: they are picked no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stabilitysweep.analysis.advice import Advice, Change
from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.standing import DATASET, Standing

_MORE_STEPS = 10
_MOST_NOTES = 3


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A cell of which long runs failed.

    Attributes:
        axes: its value on each axis, of the data set where that is one.
        failures: how many runs diverged or became non-finite, at least 1.
        runs: of how many.
        budget: how long they were, in words.
    """

    axes: Mapping[str, Any]
    failures: int
    runs: int
    budget: str

    def __str__(self) -> str:
        """In words."""
        named = ", ".join(f"{name} {value_label(value)}" for name, value in self.axes.items())
        runs = "1 long run" if self.failures == 1 else f"{self.failures:,} long runs"
        return f"{named}: withdrawn by {runs} of {self.budget} (of {self.runs:,})"

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "axes": dict(self.axes)}


def withdrawn_cells(
    stands: Standing, withdrawn: Sequence[Sequence[Withdrawn]]
) -> dict[int, Withdrawn]:
    """Find the safe cells of which long runs failed, in any data set that is looked at.

    Args:
        stands: how the cells stand.
        withdrawn: of each source, what is known; fewer lists leave the last ones without.

    Returns:
        The cells in the order of the grid, each with what is known first.
    """
    safe = stands.safe.all(axis=0)
    found: dict[int, Withdrawn] = {}
    for panel in stands.panels:
        for own in withdrawn[panel.source] if panel.source < len(withdrawn) else ():
            if panel.dataset is not None and own.axes.get(DATASET, panel.dataset) != panel.dataset:
                continue
            meant = safe.copy()
            for column, (name, axis) in enumerate(stands.axes.items()):
                if name in own.axes:
                    place = axis.index_of(own.axes[name])
                    meant &= stands.places[:, column] == (-1 if place is None else place)
            for cell in np.flatnonzero(meant).tolist():
                found.setdefault(cell, own)
    return dict(sorted(found.items()))


def withdrawn_notes(withdrawn: Sequence[Withdrawn]) -> Iterator[str]:
    """Say which safe cells are left out, the first few of them one by one."""
    yield from map(str, withdrawn[:_MOST_NOTES])
    more = len(withdrawn) - _MOST_NOTES
    if more > 0:
        cells = "1 more safe cell" if more == 1 else f"{more:,} more safe cells"
        yield f"{cells} withdrawn by long runs"


def none_left(cells: int, settings: Mapping[str, Any]) -> tuple[str, tuple[Advice, ...]]:
    """Say that long runs have withdrawn every safe cell, and what to change.

    Args:
        cells: how many, at least 1.
        settings: see `picks.recommend`.
    """
    unit = "epochs" if settings.get("epochs") and not settings.get("steps") else "steps"
    budget = settings.get(unit)
    more = f"{_MORE_STEPS} times as many {unit}"
    if isinstance(budget, int):
        more = f"{budget * _MORE_STEPS:,} {unit} instead of {budget:,}"
    text = f"{more}: what fails late is not met in a short sweep"
    held = "the only safe cell failed" if cells == 1 else f"all {cells:,} safe cells failed"
    return f"{held} in long runs.", (Advice(Change.STEPS, text, unit, (_MORE_STEPS,)),)
