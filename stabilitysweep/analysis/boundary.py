"""Where stability ends along an increasing axis.

The boundary is the largest value with no failure at or below it. What is not measured
cannot be claimed: the first cell without a measured trial ends the walk up the axis.
Stable islands above the first failure do not move the boundary, nor do failures there.

Notation: X values along the axis, the last dimension; any dimensions before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class BoundaryStatus(StrEnum):
    """What the walk up the axis met after its last stable cell."""

    FOUND = "found"  # a failure: the boundary is known
    ALL_FAIL = "all_fail"  # a failure in the lowest cell: no value is safe
    NO_FAILURE = "no_failure"  # the end of the axis: the boundary lies beyond the range
    GAP = "gap"  # a cell that is not measured: the boundary lies here or above
    UNMEASURED = "unmeasured"  # the lowest cell is not measured: nothing can be said


STATUSES: tuple[BoundaryStatus, ...] = tuple(BoundaryStatus)


@dataclass(frozen=True, slots=True)
class Boundary:
    """The boundary of one y row of one panel.

    Attributes:
        row: the panel's value on the `rows` axis, None without one.
        column: the panel's value on the `columns` axis, None without one.
        y: the value on the y axis, None without one.
        value: the largest x with no failure at or below it; None if there is none.
        status: what ends it.
    """

    row: Any
    column: Any
    y: Any
    value: float | None
    status: BoundaryStatus


def find_boundary(
    failed: NDArray[np.bool_], measured: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Walks up the last axis as far as every cell is measured and none failed.

    Args:
        failed: bool [..., X], whether any trial of the cell failed.
        measured: bool [..., X], whether any trial of the cell was measured.

    Returns:
        `(index, status)`: int64 [...] from -1 (no such value) to X - 1, and int8 [...]
        into `STATUSES`.

    Example:
        >>> index, status = find_boundary(
        ...     failed=np.array([False, False, True, False]), measured=np.ones(4, dtype=bool)
        ... )
        >>> int(index), STATUSES[int(status)].value
        (1, 'found')
    """
    holds = measured & ~failed
    length = np.logical_and.accumulate(holds, axis=-1).sum(axis=-1, dtype=np.int64)
    size = holds.shape[-1]
    end = np.minimum(length, size - 1)[..., None]
    failed_there = np.take_along_axis(failed & measured, end, axis=-1)[..., 0]
    none_held = length == 0
    status = np.select(
        [length == size, failed_there & none_held, failed_there, none_held],
        [
            STATUSES.index(BoundaryStatus.NO_FAILURE),
            STATUSES.index(BoundaryStatus.ALL_FAIL),
            STATUSES.index(BoundaryStatus.FOUND),
            STATUSES.index(BoundaryStatus.UNMEASURED),
        ],
        STATUSES.index(BoundaryStatus.GAP),
    ).astype(np.int8)
    return length - 1, status
