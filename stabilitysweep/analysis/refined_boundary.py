"""What refining has made of the boundary, in a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import encode, make_axes, value_label
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.summary import RateLimit, Summary
from stabilitysweep.analysis.table import RATE, numbers


@dataclass(frozen=True, slots=True)
class RefinedBoundary:
    """The boundary between the learning rates of a grid.

    Attributes:
        slices: how many slices have rates between those of the grid.
        of: slices of the grid, a slice being a setting of the other axes.
        lowest: over these slices, the smallest of the largest stable learning rates; None if
            no slice has a bracket.
        highest: the largest.
        width: by how much `failing` exceeds `safe` at most, as a share of `safe`.
        steps: the fewest and the most steps for which it holds; None if no trial reached its end.
        overall: the largest learning rate at and below which no trial failed; None where the
            grid alone knows, since a slice that was not refined, or has no bracket, decides.
        by: the same for each value of each axis that is not of numbers, by axis and value; those
            alone where there is one.
    """

    slices: int
    of: int
    lowest: float | None
    highest: float | None
    width: float | None
    steps: tuple[int, int] | None
    overall: float | None
    by: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """The same as plain dicts, lists and finite numbers (strict JSON)."""
        return {
            "slices": self.slices,
            "of": self.of,
            "lowest": self.lowest,
            "highest": self.highest,
            "width": self.width,
            "steps": None if self.steps is None else list(self.steps),
            "largest_stable_learning_rate": {
                "overall": self.overall,
                "by": {axis: dict(limits) for axis, limits in self.by.items()},
            },
        }


def refined_boundary(
    boundaries: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    found: Summary,
    rate: str = RATE,
) -> RefinedBoundary | None:
    """Sum up the boundaries of slices that were refined.

    Args:
        boundaries: see `brackets.boundaries`, N rows.
        axes: name of each axis to the grid's values.
        found: the summary of the grid's trials.
        rate: the name of the axis of the learning rate.

    Returns:
        None if no slice was refined.
    """
    refined = boundaries["refined"].to_numpy(np.bool_)
    if not refined.any():
        return None
    safe, failing = numbers(boundaries["safe"]), numbers(boundaries["failing"])
    status = boundaries["status"].astype(str)
    known = status.isin([BoundaryStatus.FOUND, BoundaryStatus.NO_FAILURE]).to_numpy()

    def limit(rows: NDArray[np.bool_], of_grid: RateLimit | None) -> float | None:
        """The lowest boundary of some slices, if all have one and refining has found it."""
        if of_grid is None or of_grid.status is not BoundaryStatus.FOUND or not rows.any():
            return None
        lowest = safe[rows].min()
        deciding = rows & (safe == lowest)
        if not known[rows].all() or not refined[deciding].all():
            return None
        return float(lowest)

    by: dict[str, dict[str, float]] = {}
    for name, axis in make_axes(axes).items():
        if axis.numeric or name == rate:
            continue
        codes = encode(boundaries[name], axis)
        of_grid = found.stable_rate_by.get(name, {})
        own = {
            value_label(value): limit(codes == code, of_grid.get(value_label(value)))
            for code, value in enumerate(axis.values)
        }
        by[name] = {value: lowest for value, lowest in own.items() if lowest is not None}
    bracket = refined & (safe > 0) & ~np.isnan(failing)
    steps = boundaries.loc[refined, "steps"].dropna()
    return RefinedBoundary(
        slices=int(refined.sum()),
        of=len(boundaries),
        lowest=float(safe[bracket].min()) if bracket.any() else None,
        highest=float(safe[bracket].max()) if bracket.any() else None,
        width=float((failing[bracket] / safe[bracket]).max() - 1) if bracket.any() else None,
        steps=(int(steps.min()), int(steps.max())) if len(steps) else None,
        overall=limit(np.ones(len(safe), np.bool_), found.stable_rate),
        by={name: limits for name, limits in by.items() if limits},
    )
