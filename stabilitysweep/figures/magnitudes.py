"""What a figure of a diagnosis shows, apart from its drawing.

Notation: K tensors in the order of computation, T steps.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.diagnosis.records import Moment, Quantity


@dataclass(frozen=True, slots=True, eq=False)
class Magnitudes:
    """The sizes of some tensors over the steps.

    Attributes:
        names: of the tensors, K.
        steps: T, increasing.
        skipped: bool [T], whether loss scaling skipped the step.
        largest: float64 [K, T], largest magnitude of a finite entry; 0 where none is finite.
        nans: int64 [K, T], entries that are NaN.
        infs: int64 [K, T], entries that are infinite.
        first: row of the tensor that is first not finite in the last step; None if it is
            not among these.
    """

    names: tuple[str, ...]
    steps: tuple[int, ...]
    skipped: NDArray[np.bool_]
    largest: NDArray[np.float64]
    nans: NDArray[np.int64]
    infs: NDArray[np.int64]
    first: int | None

    @property
    def zero(self) -> NDArray[np.bool_]:
        """Where every entry is zero, bool [K, T]."""
        found: NDArray[np.bool_] = (self.largest == 0) & (self.nans == 0) & (self.infs == 0)
        return found


def magnitudes(
    moments: Sequence[Moment], quantities: Collection[Quantity], *, failed: bool = True
) -> Magnitudes:
    """Lay out the tensors of some kinds over moments that all hold the same tensors.

    Args:
        moments: at least one.
        quantities: which kinds.
        failed: whether the last step is that of an onset; only then is a tensor the first.
    """
    last = moments[-1]
    kept = [place for place, stats in enumerate(last.tensors) if stats.quantity in quantities]
    bad = last.first_bad() if failed else None
    first = [row for row, place in enumerate(kept) if bad and last.tensors[place] is bad]

    def table(name: str) -> NDArray[np.float64]:
        rows = [[getattr(moment.tensors[place], name) for moment in moments] for place in kept]
        return np.array(rows, np.float64).reshape(len(kept), len(moments))

    return Magnitudes(
        names=tuple(last.tensors[place].tensor for place in kept),
        steps=tuple(moment.step for moment in moments),
        skipped=np.array([moment.skipped for moment in moments]),
        largest=table("largest"),
        nans=table("nans").astype(np.int64),
        infs=table("infs").astype(np.int64),
        first=first[0] if first else None,
    )
