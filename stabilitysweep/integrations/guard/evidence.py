"""The evidence of one `fit`: the last steps that were looked at, and the readings of the last."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from stabilitysweep.integrations.watching import Found, Reading, is_due
from stabilitysweep.numerics.moments import Moment, Quantity, TensorStats
from stabilitysweep.types import Kind, Stage

KEPT = 8
"""Moments that are kept."""
CURVE = 64
"""Readings that are kept, or those of two executions where that is more."""


class Evidence:
    """Puts together what was seen of a step at different times."""

    def __init__(self, every: int, steps_per_execution: int) -> None:
        """Start with nothing."""
        self._every = every
        self.curve: deque[Reading] = deque(maxlen=max(CURVE, 2 * steps_per_execution))
        self._readings: dict[int, Reading] = {}
        self._states: dict[int, tuple[TensorStats, ...]] = {}

    def add(self, reading: Reading) -> None:
        """Keep the reading of a step; of those that may be shown for longer."""
        self.curve.append(reading)
        if reading.found is not None or is_due(reading.step, self._every):
            self._readings[reading.step] = reading
            while len(self._readings) > 4 * KEPT:
                del self._readings[min(self._readings)]

    def add_state(self, step: int, tensors: tuple[TensorStats, ...]) -> None:
        """Keep what the state looked like after a step."""
        self._states[step] = tensors
        while len(self._states) > KEPT:
            del self._states[min(self._states)]

    def moments(self, looks: Mapping[int, tuple[TensorStats, ...]]) -> tuple[Moment, ...]:
        """Return the last steps that were looked at, in order.

        Args:
            looks: the gradients of some steps, times the loss scale.
        """
        known = {reading.step: reading for reading in self.curve} | self._readings
        steps = sorted(step for step in {*looks, *self._states} if step in known)
        return tuple(
            _moment(
                known[step],
                looks.get(step) or _named(known[step].found, looks),
                self._states.get(step, ()),
            )
            for step in steps[-KEPT:]
        )


def _named(
    found: Found | None, looks: Mapping[int, tuple[TensorStats, ...]]
) -> tuple[TensorStats, ...]:
    """The gradient that was found in a step whose gradients were only added up.

    That it is not finite is known, not in how many entries: one is counted.
    """
    if found is None or found.stage is not Stage.GRADIENT:
        return ()
    alike = (stats for look in looks.values() for stats in look if stats.tensor == found.tensor)
    nan = found.kind is Kind.NAN
    return tuple(
        replace(stats, largest=0.0, mean=0.0, zeros=0.0, nans=int(nan), infs=int(not nan))
        for stats in itertools.islice(alike, 1)
    )


def _moment(
    reading: Reading, gradients: tuple[TensorStats, ...], state: tuple[TensorStats, ...]
) -> Moment:
    scale = reading.loss_scale
    unscaled = (
        replace(stats, largest=stats.largest / scale, mean=stats.mean / scale)
        for stats in gradients
    )
    loss = () if reading.lossless else (_loss(reading.loss),)
    return Moment(
        step=reading.step,
        loss=None if reading.lossless else reading.loss,
        loss_scale=scale,
        skipped=reading.skipped,
        tensors=(*loss, *unscaled, *state),
    )


def _loss(loss: float) -> TensorStats:
    size = abs(loss) if math.isfinite(loss) else 0.0
    return TensorStats(
        Quantity.LOSS,
        "loss",
        "float32",
        1,
        largest=size,
        mean=size,
        zeros=float(loss == 0),
        nans=int(math.isnan(loss)),
        infs=int(math.isinf(loss)),
    )
