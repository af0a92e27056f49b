"""Records of why a trial failed, and of what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stabilitysweep.analysis.wording import changed
from stabilitysweep.types import Cause


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one trial failed.

    Attributes:
        cause: the code.
        sentence: the same in words, with the numbers that speak for it.
    """

    cause: Cause
    sentence: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """A cell near a failed trial's in which no seed failed.

    Attributes:
        changes: for each axis on which it differs, the trial's own value and the cell's.
        seeds: number of seeds measured there, all of which neither diverged nor became
            non-finite.
        steps_away: places on the axes between the two cells; a categorical axis counts 1.
    """

    changes: Mapping[str, tuple[Any, Any]]
    seeds: int
    steps_away: int

    def __str__(self) -> str:
        """Say it: `at learning rate 0.03 instead of 0.1 all 3 seeds are stable`."""
        seeds = "the one seed is" if self.seeds == 1 else f"all {self.seeds} seeds are"
        return f"{changed(self.changes)} {seeds} stable"
