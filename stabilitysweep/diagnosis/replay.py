"""A trial trained once more from its seed, and its last steps looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from stabilitysweep.data import PreparedData
from stabilitysweep.diagnosis.records import Moment, Quantity, Replay, TensorStats
from stabilitysweep.engines.base import Engine, Stack, first_precision, input_dtype
from stabilitysweep.numerics.statistics import read_statistics, statistics
from stabilitysweep.types import Onset, Stage, TrialResult


def replay(
    engine: Engine, stored: TrialResult, stack: Stack, data: PreparedData, steps: int
) -> Replay:
    """Train a trial again, compare it with what is stored, and look at its last steps.

    Args:
        engine: the one that trained it.
        stored: the trial as it is stored.
        stack: of this one trial, with the program and places it had then.
        data: what it was trained on.
        steps: how many steps to look at, up to the onset or the end; at least 1.
    """
    (result,) = engine.run(stack, data)
    onset = result.onset
    if onset is not None and onset.stage is Stage.INPUT:
        moments = [_look_at_input(data, input_dtype(first_precision(stack.program)))]
    else:
        last = result.steps_run if onset is None else onset.step
        moments = engine.inspect(
            stack,
            data,
            max(last - steps + 1, 1),
            last,
            predictions=onset is not None and onset.stage is Stage.PREDICTION,
        )
    return Replay(result, tuple(moments), tuple(differences(stored, result)))


def differences(stored: TrialResult, replayed: TrialResult) -> Iterator[str]:
    """Say in what a replay's verdict differs from the stored one, one line each."""
    for name in ("outcome", "onset", "nan_step", "skipped_steps", "steps_run"):
        before, now = getattr(stored, name), getattr(replayed, name)
        if before != now:
            yield f"{name.replace('_', ' ')}: stored {_words(before)}, replayed {_words(now)}"

    if stored.onset is None and replayed.onset is None:
        for name in ("initial_loss", "final_loss"):
            before, now = getattr(stored, name), getattr(replayed, name)
            if before != now:
                yield f"{name.replace('_', ' ')}: stored {before!r}, replayed {now!r}"


def _words(value: object) -> str:
    if isinstance(value, Onset):
        return f"step {value.step}, {value.stage} {value.tensor}, {value.kind}"
    return "none" if value is None else str(value)


def _look_at_input(data: PreparedData, dtype: str) -> Moment:
    """Look at the columns of the training rows that are not finite as the model sees them."""
    tensors: list[TensorStats] = []
    for name, column in zip(data.feature_names, data.x_train.T, strict=True):
        with np.errstate(over="ignore"):
            seen = tf.cast(tf.constant(column), dtype)
        found = read_statistics(Quantity.INPUT, name, dtype, len(column), statistics(seen).numpy())
        if not found.finite:
            tensors.append(found)
    return Moment(0, None, 1.0, skipped=False, tensors=tuple(tensors))
