"""Which learning rates to train next, so that every boundary lies between two close ones.

A boundary is bracketed by the last rate that is safe and the first that fails. Each round cuts
the brackets of all slices into several parts on a log scale, and the next round goes on with the
lowest part that ends in a failure. A bisection takes the fewest trials, but a round for each
halving; some more trials at once fill the stacks that a round trains anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.errors import UserError

TOLERANCE = 0.05
"""How far apart the ends of a bracket may be, as a share of the safe one."""

MOST_PARTS = 5
"""Parts into which a round cuts a bracket, at most."""

_TOLERANCES = (1e-4, 10.0)
_SLACK = 1e-6  # rates are rounded: a part may be that much wider than planned


@dataclass(frozen=True, slots=True)
class Tally:
    """What a table of boundaries comes to: numbers of slices.

    Attributes:
        within: bracketed within the tolerance.
        wider: bracketed, but farther apart.
        ragged: of both, those with stable rates above the first failure.
        others: those without a bracket, by the status that says why. Where a rate of 0 alone
            is safe, all fail.
    """

    within: int
    wider: int
    ragged: int
    others: Mapping[BoundaryStatus, int]

    @property
    def slices(self) -> int:
        """Number of all slices."""
        return self.within + self.wider + sum(self.others.values())


def check_tolerance(tolerance: float) -> float:
    """Return a tolerance that can be met.

    Raises:
        UserError: it cannot.
    """
    least, most = _TOLERANCES
    if not least <= tolerance <= most:
        raise UserError(f"tolerance: expected a number from {least:g} to {most:g}, got {tolerance}")
    return tolerance


def is_within(safe: float, failing: float, tolerance: float) -> bool:
    """Whether a bracket is narrow enough; NaN at either end is no bracket, nor is 0.

    Args:
        safe: the largest rate at and below which nothing fails.
        failing: the smallest that fails.
        tolerance: failing / safe is to be at most 1 + tolerance.
    """
    return safe > 0 and failing / safe <= (1 + tolerance) * (1 + _SLACK)


def next_rates(boundaries: pd.DataFrame, tolerance: float = TOLERANCE) -> dict[int, list[float]]:
    """Say what to train next.

    Args:
        boundaries: see `brackets.boundaries`.
        tolerance: see `is_within`.

    Returns:
        For the position of each slice that has a bracket too wide, the rates inside of it,
        increasing: one to four of them, so that 1 + tolerance is reached in the fewest rounds
        of at most `MOST_PARTS` parts each. Nothing for a slice without a bracket: with no
        failure, all above 0 failing, or a gap below the first failure.

    Example:
        >>> table = pd.DataFrame({"safe": [1.0], "failing": [2.0], "status": ["found"]})
        >>> next_rates(table, tolerance=0.5)
        {0: [1.41421]}
    """
    found = {}
    rows = zip(boundaries["safe"], boundaries["failing"], boundaries["status"], strict=True)
    for place, (safe, failing, status) in enumerate(rows):
        bracketed = status == BoundaryStatus.FOUND and safe > 0
        if bracketed and not is_within(safe, failing, tolerance):
            found[place] = between(float(safe), float(failing), tolerance)
    return found


def between(safe: float, failing: float, tolerance: float) -> list[float]:
    """The rates that cut a bracket into equal parts on a log scale.

    They are rounded to six significant digits, or to as many more as tell them apart.
    """
    parts = _parts(math.log(failing / safe) / math.log1p(tolerance))
    step = math.log(failing / safe) / parts
    digits = max(6, 3 - math.floor(math.log10(tolerance)))
    exact = [safe * math.exp(step * place) for place in range(1, parts)]
    return [float(f"{rate:.{digits}g}") for rate in exact]


def tally(boundaries: pd.DataFrame, tolerance: float = TOLERANCE) -> Tally:
    """Count the slices of a table of boundaries by what is known of them.

    Args:
        boundaries: see `brackets.boundaries`.
        tolerance: see `is_within`.
    """
    status = reasons(boundaries)
    found = boundaries.loc[status == BoundaryStatus.FOUND]
    narrow = sum(
        is_within(safe, failing, tolerance)
        for safe, failing in zip(found["safe"], found["failing"], strict=True)
    )
    counts = status.value_counts()
    return Tally(
        within=narrow,
        wider=len(found) - narrow,
        ragged=int((found["islands"] > 0).sum()),
        others={
            status: int(counts[status.value])
            for status in BoundaryStatus
            if status is not BoundaryStatus.FOUND and status.value in counts
        },
    )


def reasons(boundaries: pd.DataFrame) -> pd.Series[str]:
    """The status of each slice; where a rate of 0 alone is safe, that all fail."""
    nothing = (boundaries["status"] == BoundaryStatus.FOUND) & ~(boundaries["safe"] > 0)
    return boundaries["status"].where(~nothing, BoundaryStatus.ALL_FAIL.value)


def cells_of(
    boundaries: pd.DataFrame, axes: Sequence[str], rate: str, rates: Mapping[int, Sequence[float]]
) -> list[dict[str, object]]:
    """The cells of a follow-up: every slice with the rates it is to have.

    Args:
        boundaries: has a column for each of the other axes.
        axes: all axes, in the order of the grid.
        rate: the axis of the learning rate.
        rates: for the position of a slice, its rates.
    """
    others = [name for name in axes if name != rate]
    columns = {name: boundaries[name].tolist() for name in others}
    return [
        {name: columns[name][place] for name in others} | {rate: sorted(set(own))}
        for place, own in sorted(rates.items())
        if own
    ]


def _parts(needed: float) -> int:
    """Into how many parts to cut, if so many (not whole) would reach the tolerance at once."""
    whole = max(math.ceil(needed * (1 + _SLACK) + _SLACK), 2)
    rounds = 1
    while MOST_PARTS**rounds < whole:
        rounds += 1
    parts = 2
    while parts**rounds < whole:
        parts += 1
    return parts
