"""Trials in a row, by number: what planning sorts into stacks before any of them is made.

Notation: T trials.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.grid import Grid, Trial
from stabilitysweep.models.programs import FED

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Lineup:
    """Trials that are made when they are asked for.

    A million of them are three arrays.

    Attributes:
        make: makes trials of their numbers, in the order given.
        numbers: int64 [T], increasing.
        kinds: int64 [T]: trials of one kind differ in their seed, and in numbers that a graph is
            fed, in nothing else; see `programs.FED`.
        rates: float64 [T], the learning rates.
    """

    make: Callable[[Iterable[int]], tuple[Trial, ...]]
    numbers: Whole
    kinds: Whole
    rates: NDArray[np.float64]

    def __len__(self) -> int:
        """T."""
        return len(self.numbers)

    def first_of_kinds(self) -> tuple[tuple[Trial, ...], list[Whole]]:
        """Return the first trial of each kind, in their order, and the places of all of it.

        Returns:
            The trials, and for each int64, increasing: which of the T are of its kind.
        """
        if not len(self):
            return (), []
        order = np.argsort(self.kinds, kind="stable")
        starts = np.flatnonzero(np.diff(self.kinds[order], prepend=-1))
        members = sorted(np.split(order, starts[1:]), key=lambda own: int(own[0]))
        return self.make(self.numbers[[own[0] for own in members]]), members


def lineup(grid: Grid, without: Collection[str] = ()) -> Lineup:
    """Line up the trials of a grid.

    Args:
        grid: of which.
        without: ids of trials to leave out.
    """
    seeds = len(grid) // grid.cells if grid.cells else 1
    numbers = np.arange(len(grid))
    if without:
        left = (number for number, own in enumerate(grid.ids()) if own not in without)
        numbers = np.fromiter(left, np.int64)
    cells = numbers // seeds
    return Lineup(
        grid.trials, numbers, grid.kinds(FED)[cells], grid.numbers("learning_rate")[cells]
    )


def line_of(trials: Sequence[Trial]) -> Lineup:
    """Line up trials that are made already."""
    rates = np.array([trial.training.learning_rate for trial in trials], np.float64)
    own = np.arange(len(trials))
    return Lineup(lambda numbers: tuple(trials[number] for number in numbers), own, own, rates)
