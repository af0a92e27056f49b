"""Rules that warn before anything is non-finite."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from stabilitysweep.analysis.wording import number
from stabilitysweep.integrations.guard.records import GuardWarning
from stabilitysweep.integrations.guard.settings import EarlyRules
from stabilitysweep.integrations.watching.readings import Reading
from stabilitysweep.numerics.moments import Moment, Quantity

BLOCKS, BLOCK = 4, 5
WINDOW = BLOCKS * BLOCK
"""Steps over which the loss must grow."""
HISTORY = 100
"""Steps whose largest loss it must exceed: noise goes up and down, but stays where it was."""
SCALE_STEPS = 100
"""Steps within which halvings of the loss scale are counted."""
_RISEN = 0.01
"""Losses below this share of the first one are not worth a warning, however they grow."""


class EarlyWarnings:
    """Judges step after step of one `fit`."""

    def __init__(self, rules: EarlyRules, limits: Mapping[str, float]) -> None:
        """Start with nothing seen.

        Args:
            rules: what to warn of.
            limits: base-2 logarithm of the largest finite number by dtype.
        """
        self._rules, self._limits = rules, limits
        self._losses: deque[float] = deque(maxlen=HISTORY)
        self._halved: deque[int] = deque()
        self._scale: float | None = None
        self._first_loss: float | None = None

    @property
    def judges_magnitudes(self) -> bool:
        """Whether there is a rule for them."""
        return self._rules.headroom_bits is not None

    def of_step(self, reading: Reading) -> Iterator[GuardWarning]:
        """Judge one more step."""
        yield from self._of_scale(reading)
        yield from self._of_loss(reading)

    def of_moment(
        self, moment: Moment, computed_in: Mapping[str, str], *, scaled: bool
    ) -> Iterator[GuardWarning]:
        """Judge the magnitudes of a step.

        Args:
            moment: the step.
            computed_in: the dtype that each weight is computed in, by its name.
            scaled: with loss scaling gradients are brought near to the largest number.
        """
        bits = self._rules.headroom_bits
        if bits is None:
            return
        for stats in moment.tensors:
            of_gradient = stats.quantity is Quantity.GRADIENT and not scaled
            if not (of_gradient or stats.quantity is Quantity.WEIGHT) or not stats.largest:
                continue
            dtype = computed_in.get(stats.tensor, stats.dtype)
            left = self._limits.get(dtype, math.inf) - math.log2(stats.largest)
            if left < bits:
                text = (
                    f"the largest entry of {stats.quantity} {stats.tensor}, {number(stats.largest)}"
                    f", is {left:.1f} bits below the largest number of {dtype}"
                )
                yield GuardWarning("headroom", moment.step, text)
                return

    def _of_scale(self, reading: Reading) -> Iterator[GuardWarning]:
        scale, before = reading.loss_scale, self._scale
        self._scale = scale
        if before is None or scale >= before:
            return
        rules = self._rules
        self._halved.append(reading.step)
        while self._halved[0] <= reading.step - SCALE_STEPS:
            self._halved.popleft()
        if rules.min_loss_scale is not None and scale < rules.min_loss_scale:
            text = (
                f"the loss scale has fallen to {number(scale)}, below {rules.min_loss_scale:g}: "
                "gradients overflow however little the loss is scaled"
            )
            yield GuardWarning("loss_scale", reading.step, text)
        elif rules.halvings is not None and len(self._halved) >= rules.halvings:
            text = (
                f"the loss scale was halved {len(self._halved)} times within {SCALE_STEPS} steps, "
                f"to {number(scale)}"
            )
            yield GuardWarning("loss_scale", reading.step, text)

    def _of_loss(self, reading: Reading) -> Iterator[GuardWarning]:
        factor = self._rules.loss_growth
        usable = not reading.lossless and math.isfinite(reading.loss) and reading.loss > 0
        if factor is None or not usable:
            self._losses.clear()
            return
        self._losses.append(reading.loss)
        if self._first_loss is None:
            self._first_loss = reading.loss
        if len(self._losses) < WINDOW or reading.loss <= self._losses[-WINDOW]:
            return  # most steps: no more is computed
        own = list(self._losses)
        least = factor**BLOCK
        if max(own[-BLOCK:]) < least ** (BLOCKS - 1) * min(own[-WINDOW : BLOCK - WINDOW]):
            return
        levels = _levels(own[-WINDOW:])
        highest = max(own[:-WINDOW], default=0.0)
        if levels[-1] < max(_RISEN * self._first_loss, highest):
            return
        if all(after >= least * before for before, after in itertools.pairwise(levels)):
            rate = (levels[-1] / levels[0]) ** (1 / (WINDOW - BLOCK))
            text = (
                f"the loss has grown by a factor of {rate:.2f} a step over the last {WINDOW} steps,"
                f" from {number(levels[0])} to {number(levels[-1])}"
            )
            yield GuardWarning("loss_growth", reading.step, text)


def _levels(losses: Sequence[float]) -> list[float]:
    """The medians of the blocks of a window."""
    return [statistics.median(losses[at : at + BLOCK]) for at in range(0, WINDOW, BLOCK)]
