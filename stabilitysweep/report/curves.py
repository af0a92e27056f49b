"""Loss curves of all trials, in as many bytes as a page has room for.

Curves are read off at K steps, evenly spread in logarithms, and each loss becomes a whole number
between the lowest and the highest there is. N is the number of trials.

A loss is positive almost always, and spans many decades where training diverges: its logarithm is
kept. Where a loss of the user's own is not above 0, the inverse hyperbolic sine is, which is
linear around 0 and logarithmic far from it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.types import Trace

MOST_POINTS = 96
"""Points that a curve has at most: a curve on a page is no wider than a few hundred dots."""

FEWEST_POINTS = 8
"""With fewer a curve shows nothing: then there are none."""

_FINE = 24
"""With room for so many points of two bytes, there are two; else one, and more points."""

_OF_BASE64 = 4 / 3


def curves(ids: Sequence[str], traces: Mapping[str, Trace], room: float) -> dict[str, Any] | None:
    """Return the loss curves of trials as a page has them; None without any, or without room.

    Args:
        ids: the trials, N; one without a trace has no points.
        traces: by trial id.
        room: bytes there are for them.

    Returns:
        `steps` [K], `points` K, `scale` (`log10`, or `asinh` where a loss is not above 0), `lo`
        and `hi` of the scaled losses, and `data`: base64 of N times K codes of `bits` 8 or 16. The
        largest code is a loss that is not finite, the one below it a step that was not run; a
        lower code c is the scaled loss lo + (hi - lo) * c / (largest - 2).
    """
    known = [trace for trace in traces.values() if len(trace.steps)]
    form = points_in(room, len(ids))
    if not known or form is None:
        return None
    most, bits = form
    every = np.unique(np.concatenate([trace.steps for trace in known]))
    steps = thinned(every, most)
    losses = read_off(ids, traces, steps)
    finite = losses[np.isfinite(losses)]
    scale = "log10" if (finite > 0).all() else "asinh"
    codes, lo, hi = quantised(losses, scale, bits)
    return {
        "steps": [int(step) for step in steps],
        "points": len(steps),
        "scale": scale,
        "lo": lo,
        "hi": hi,
        "bits": bits,
        "data": base64.b64encode(codes.tobytes()).decode("ascii"),
    }


def points_in(room: float, number: int) -> tuple[int, int] | None:
    """Return how many points each of some curves may have, and the bits of each; None for none.

    Args:
        room: bytes there are for them.
        number: of curves.
    """
    points = room / _OF_BASE64 / number if number else 0
    bits = 16 if points >= 2 * _FINE else 8
    most = min(MOST_POINTS, int(points * 8 / bits))
    return (most, bits) if most >= FEWEST_POINTS else None


def thinned(steps: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """Return at most so many of some increasing steps, evenly spread in logarithms."""
    if len(steps) <= most:
        return steps
    wanted = np.geomspace(max(int(steps[0]), 1), int(steps[-1]), most)
    nearest = np.searchsorted(steps, wanted).clip(1, len(steps) - 1)
    below = np.abs(steps[nearest - 1] - wanted) <= np.abs(steps[nearest] - wanted)
    return np.unique(steps[nearest - below])


def read_off(
    ids: Sequence[str], traces: Mapping[str, Trace], steps: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the losses of trials at some steps, float64 [N, K].

    Between two steps of its trace a loss is that of the later one, as far as the trace goes:
    nothing is made up, and a loss that is not finite stays where it was met. Beyond its end it is
    minus infinity, which a loss never is that was run for.
    """
    losses = np.full((len(ids), len(steps)), -np.inf)
    alike: dict[bytes, list[int]] = {}
    for row, trial in enumerate(ids):
        trace = traces.get(trial)
        if trace is not None and len(trace.steps):
            alike.setdefault(trace.steps.tobytes(), []).append(row)
    for rows in alike.values():
        own = traces[ids[rows[0]]].steps
        run = int(np.searchsorted(steps, own[-1], side="right"))
        at = np.searchsorted(own, steps[:run])
        met = np.stack([traces[ids[row]].loss for row in rows])[:, at].astype(np.float64)
        losses[rows, :run] = np.where(np.isfinite(met), met, np.nan)
    return losses


def quantised(
    losses: NDArray[np.float64], scale: str, bits: int
) -> tuple[NDArray[Any], float, float]:
    """Return the codes of losses, and the lowest and the highest scaled loss.

    Args:
        losses: NaN where not finite, minus infinity where not run.
        scale: `log10` or `asinh`.
        bits: of a code, 8 or 16.
    """
    largest = 2**bits - 1
    finite = np.isfinite(losses)
    scaled = np.zeros(losses.shape)
    values = losses[finite]
    scaled[finite] = np.log10(values) if scale == "log10" else np.arcsinh(values)
    lo = float(scaled[finite].min()) if len(values) else 0.0
    hi = float(scaled[finite].max()) if len(values) else 0.0
    codes = np.zeros(losses.shape, np.int64)
    if hi > lo:
        codes = np.rint((scaled - lo) / (hi - lo) * (largest - 2)).astype(np.int64)
    codes = np.where(finite, codes, np.where(np.isneginf(losses), largest - 1, largest))
    return codes.astype("<u2" if bits == 16 else "<u1"), lo, hi
