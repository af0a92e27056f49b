"""A result in numbers: those of its grid, and what refining has made of the boundary."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from stabilitysweep.analysis.refined_boundary import RefinedBoundary, refined_boundary
from stabilitysweep.result.refined import BoundedTrials


class SummedUpTrials(BoundedTrials):
    """The trials of a sweep and those of its refined boundary, summed up.

    Attributes:
        folder: the result folder.
    """

    @cached_property
    def refined_boundary(self) -> RefinedBoundary | None:
        """The refined boundary in a few numbers; None if `refine` has trained nothing."""
        if self.refined is None:
            return None
        return refined_boundary(self.boundaries, self.axes, self.summary, self.rate)

    def to_json(self) -> dict[str, Any]:
        """Return the summary, the refined boundary and the provenance."""
        found = super().to_json()
        provenance = {"provenance": found.pop("provenance")}
        refined = self.refined_boundary
        return found | {"refined": None if refined is None else refined.to_json()} | provenance
