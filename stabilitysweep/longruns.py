"""Long runs: how long, with which seeds, where they are stored, and what they came to.

The runs of a budget are a result of their own, in RESULT/confirmed/5000_steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.analysis.survival import LEVEL, Survival, survival_table
from stabilitysweep.analysis.table import beside
from stabilitysweep.config import SweepConfig
from stabilitysweep.errors import UserError
from stabilitysweep.folder import CONFIRMED as CONFIRMED
from stabilitysweep.folder import is_begun

TIMES = 50
"""How many times the sweep's budget a long run has, unless told otherwise."""

SEEDS = 20
"""How many fresh seeds, unless told otherwise."""

_FOLDER = re.compile(r"([1-9][0-9]*)_(steps|epochs)")

Cell = Mapping[str, Any]
"""Axis to value; without the data set, that is all of them."""


class CellVerdict(StrEnum):
    """What the long runs of a cell say of it."""

    SURVIVED = "survived"  # every run neither diverged nor became non-finite
    WITHDRAWN = "withdrawn"  # at least one did
    UNKNOWN = "unknown"  # none failed, but some could not be run


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a run is: steps or epochs, the other None."""

    steps: int | None
    epochs: int | None

    def __str__(self) -> str:
        """In words: `5,000 steps`."""
        number, unit = (self.steps, "step") if self.steps else (self.epochs or 0, "epoch")
        return f"{number:,} {unit}{'s' * (number != 1)}"

    @property
    def folder(self) -> str:
        """The name of its folder: `5000_steps`."""
        return f"{self.steps}_steps" if self.steps else f"{self.epochs}_epochs"


@dataclass(frozen=True, slots=True)
class Tried:
    """A cell and its long runs.

    Attributes:
        cell: axis to value, as it was asked for.
        runs: one a data set, and a value of what else the cell leaves open.
        verdict: over all of them.
    """

    cell: Cell
    runs: tuple[Survival, ...]
    verdict: CellVerdict


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What confirming cells came to.

    Attributes:
        folder: the result folder of the long runs.
        budget: how long they are.
        seeds: the fresh seeds that were asked for.
        until: how many cells were to survive; None if all were tried.
        tried: the cells, best first.
        untried: number of further cells, not needed any more.
    """

    folder: Path
    budget: Budget
    seeds: range
    until: int | None
    tried: tuple[Tried, ...]
    untried: int

    @property
    def survived(self) -> list[Cell]:
        """The cells of which every long run survived, best first."""
        return [each.cell for each in self.tried if each.verdict is CellVerdict.SURVIVED]

    @property
    def withdrawn(self) -> list[Cell]:
        """The cells of which a long run failed."""
        return [each.cell for each in self.tried if each.verdict is CellVerdict.WITHDRAWN]

    @property
    def short(self) -> int:
        """How many cells fewer survived than were to."""
        return max((self.until or 0) - len(self.survived), 0)

    def to_frame(self) -> pd.DataFrame:
        """Return the long runs as a table, see `Result.confirmations`, with a `verdict`."""
        rows = [
            ({"steps": self.budget.steps, "epochs": self.budget.epochs}, runs)
            for each in self.tried
            for runs in each.runs
        ]
        table = survival_table(rows)
        verdicts = [each.verdict.value for each in self.tried for _ in each.runs]
        own = {str(name): table[name] for name in table}
        return pd.DataFrame(beside(own, {"verdict": verdicts}))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, for `write_json`."""
        return {
            "folder": str(self.folder),
            "steps": self.budget.steps,
            "epochs": self.budget.epochs,
            "seeds": {"from": self.seeds.start, "num": len(self.seeds)},
            "level": LEVEL,
            "until": self.until,
            "short": self.short,
            "untried": self.untried,
            "tried": [
                {
                    "cell": dict(each.cell),
                    "verdict": each.verdict.value,
                    "runs": [runs.to_json() for runs in each.runs],
                }
                for each in self.tried
            ],
        }

    def __repr__(self) -> str:
        """Count the cells by verdict."""
        return (
            f"Confirmation({len(self.survived)} of {len(self.tried)} cells survived "
            f"{self.budget} with {len(self.seeds)} fresh seeds)"
        )

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return str(self.to_frame().to_html(index=False))


@dataclass(frozen=True, slots=True)
class LongRuns:
    """The long runs of one budget, as a result holds them.

    Attributes:
        budget: how long they are.
        folder: their own result folder.
        cells: of each cell, what became of its runs.
        missing: number of runs that an interrupted confirmation has not made.
    """

    budget: Budget
    folder: Path
    cells: tuple[Survival, ...]
    missing: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, for `write_json`."""
        return {
            "folder": str(Path(*self.folder.parts[-2:])),
            "steps": self.budget.steps,
            "epochs": self.budget.epochs,
            "missing": self.missing,
            "cells": [runs.to_json() for runs in self.cells],
        }


def long_run(config: SweepConfig, steps: int | None = None) -> Budget:
    """Return the budget of a long run.

    Args:
        config: the sweep's.
        steps: asked for; None is `TIMES` that of the sweep, in epochs if it counts in those.

    Raises:
        UserError: not more steps than the sweep has.
    """
    own, epochs = config.training.steps, config.training.epochs
    if steps is None:
        return Budget(None, TIMES * epochs) if epochs else Budget(TIMES * int(own or 0), None)
    if steps < 1 or (own is not None and steps <= own):
        least = "at least 1" if own is None else f"more than the {own:,} of the sweep"
        raise UserError(f"steps: expected {least}, got {steps:,}.")
    return Budget(steps, None)


def fresh_seeds(config: SweepConfig, stored: Iterable[int], number: int) -> range:
    """Return seeds that no trial of a sweep has: those after its last.

    Args:
        config: the sweep's.
        stored: seeds of its trials, those of earlier configs included.
        number: how many, at least 1.

    Raises:
        UserError: fewer than one.
    """
    if number < 1:
        raise UserError(f"seeds: expected at least 1, got {number}.")
    first = max([config.seeds.stop, *(seed + 1 for seed in stored)])
    return range(first, first + number)


def stored_long_runs(folder: Path) -> Iterator[tuple[Budget, Path]]:
    """Find the long runs in a result folder, the shortest first: their budget and folder."""
    place = folder / CONFIRMED
    found = []
    for path in place.iterdir() if place.is_dir() else ():
        name = _FOLDER.fullmatch(path.name)
        if name is not None and is_begun(path):
            number = int(name[1])
            steps, epochs = (number, None) if name[2] == "steps" else (None, number)
            found.append((name[2], number, Budget(steps, epochs), path))
    for _, _, budget, path in sorted(found, key=lambda entry: entry[:2]):
        yield budget, path
