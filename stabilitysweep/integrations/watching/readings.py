"""What is read of a watched step; nothing here imports TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stabilitysweep.types import Kind, Onset, Stage


@dataclass(frozen=True, slots=True)
class Found:
    """Something that is not finite.

    Attributes:
        stage: what it is.
        tensor: the variable it is in, or `loss`.
        kind: NaN, +Inf or -Inf; NaN where a tensor holds several kinds.
    """

    stage: Stage
    tensor: str
    kind: Kind

    def at(self, step: int) -> Onset:
        """Return the same as an onset."""
        return Onset(step, self.stage, self.tensor, self.kind)


@dataclass(frozen=True, slots=True)
class Reading:
    """One step of a `fit`, read.

    Attributes:
        step: counted from 1 of this `fit`.
        iteration: the optimizer's count of steps after it; a skipped step does not count.
        loss: of this batch, with penalties; NaN where `lossless`.
        gradient_norm: global L2 norm of the unscaled gradients; may overflow to Inf. None where
            the step was read lightly.
        loss_scale: used in the step; 1 without loss scaling.
        skipped: whether loss scaling skipped the update.
        found: the first of the loss and the gradients that is not finite.
        found_before: the first weight that was not finite before the update. Only looked for
            where `found` is something.
        lossless: whether the training step told no loss.
    """

    step: int
    iteration: int
    loss: float
    gradient_norm: float | None
    loss_scale: float
    skipped: bool
    found: Found | None = None
    found_before: Found | None = None
    lossless: bool = False

    @property
    def broken(self) -> bool:
        """Whether something was not finite, and loss scaling did not catch it."""
        return self.found is not None and not self.skipped

    @property
    def loss_is_nan(self) -> bool:
        """Whether the loss was a NaN, rather than finite, infinite or not told."""
        return not self.lossless and math.isnan(self.loss)
