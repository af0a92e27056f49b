"""The learning rate of every step, as a table both engines read.

With T steps, w of them warm-up, peak learning rate p and t the steps applied so far:

    warm-up, t < w    p * t / w                            (0 at the first step, as Keras)
    constant          p
    cosine            p * (1 + cos(pi * s)) / 2            s = (t - w) / (T - w), at most 1
    exponential       p * decay_rate ** s

which are `keras.optimizers.schedules.CosineDecay(0, T - w, warmup_target=p,
warmup_steps=w)` and `ExponentialDecay(p, T - w, decay_rate)` behind the same warm-up; the
tests compare them with Keras' own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import TrainingSettings


def learning_rates(training: TrainingSettings, steps: int) -> NDArray[np.float64]:
    """Return the learning rate by steps applied so far: float64 [steps].

    A trial that skips steps under loss scaling reads the table at its own count.
    """
    applied = np.arange(steps, dtype=np.float64)
    warmup = training.warmup_steps
    progress = np.clip((applied - warmup) / max(steps - warmup, 1), 0.0, 1.0)
    match training.schedule:
        case "cosine":
            factor = 0.5 * (1.0 + np.cos(np.pi * progress))
        case "exponential":
            factor = training.decay_rate**progress
        case _:
            factor = np.ones(steps)
    if warmup:
        factor = np.where(applied < warmup, applied / warmup, factor)
    rates: NDArray[np.float64] = training.learning_rate * factor
    return rates
