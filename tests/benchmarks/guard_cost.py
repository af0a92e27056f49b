"""What `StabilityGuard` adds to a step of Keras' own `fit`.

Two models whose step takes about 10 ms and one with shorter ones, in the graph and under XLA.
Each is built four times, without the guard and with it, and the four take turns of 100 steps: a
turn has all the checks and copies that are due in it. The bar: the guard's default adds less than
5 % to a step of 10 ms. What the callbacks of a `fit` are called with is called here as well, but
`fit` itself is not: it would trace every step anew in each turn. Wall time and the processor's
time of all threads: the second holds on a busy machine as well.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared import described, table, write_page

STEPS = 100
"""Steps of a turn: whole periods of all that is done now and then."""
WARM_UP = 30
ROUNDS = 6
CASES: dict[str, dict[str, Any] | None] = {
    "no guard": None,
    "every 1": {"every": 1},
    "every 10": {"every": 10},
    "every 100": {"every": 100},
}
DEFAULT = "every 100"
BAR = 5.0
LEAST_STEP = 8.0
"""Milliseconds of a step that the bar is for: shorter ones pay the same fraction of one."""


def dense(layers: Any) -> tuple[list[Any], tuple[int, ...], int]:
    """Five layers of 384 units, batches of 256."""
    return [layers.Dense(384, activation="relu") for _ in range(5)], (256,), 256


def convolutions(layers: Any) -> tuple[list[Any], tuple[int, ...], int]:
    """Two convolutions with batch normalisation, images of 24x24, batches of 32."""
    return (
        [
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(24, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
        ],
        (24, 24, 3),
        32,
    )


def recurrent(layers: Any) -> tuple[list[Any], tuple[int, ...], int]:
    """An LSTM of 64 units over 20 steps, batches of 32."""
    return [layers.LSTM(64)], (20, 16), 32


MODELS = {"dense": dense, "convolutions": convolutions, "LSTM": recurrent}


class Trained:
    """One model in training, with the guard or without."""

    def __init__(
        self, build: Callable[..., Any], guarded: dict[str, Any] | None, xla: bool
    ) -> None:
        """Build, compile, and take the first steps."""
        import keras
        import numpy as np
        import tensorflow as tf

        from stabilitysweep.integrations.keras import StabilityGuard

        keras.utils.set_random_seed(0)
        body, shape, batch = build(keras.layers)
        model = keras.Sequential([keras.Input(shape), *body, keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-4), loss=loss, jit_compile=xla)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(batch * 4, *shape)).astype(np.float32)
        y = rng.integers(0, 10, batch * 4)
        self.model, self.guard = model, None
        self._data = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch).cache().repeat()
        self._iterator = iter(self._data)
        model.make_train_function()
        if guarded is not None:
            self.guard = StabilityGuard(report=None, quiet=True, early=True, **guarded)
            self.guard.set_model(model)
            self.guard.on_train_begin()
        self.turn(WARM_UP)

    def turn(self, steps: int = STEPS) -> tuple[float, float]:
        """Take some steps; return milliseconds a step, of the clock and of the processor."""
        guard, model = self.guard, self.model
        started, busy = time.perf_counter(), time.process_time()
        for step in range(steps):
            if guard is not None:
                guard.on_train_batch_begin(step)
            logs = model.train_function(self._iterator)
            float(logs["loss"])  # as the callbacks of `fit` do
            if guard is not None:
                guard.on_train_batch_end(step, logs)
        return (
            1e3 * (time.perf_counter() - started) / steps,
            1e3 * (time.process_time() - busy) / steps,
        )


Measured = dict[str, list[tuple[float, float]]]
"""For each case and turn the milliseconds a step, of the clock and of the processor."""


def measured(build: Callable[..., Any], xla: bool) -> Measured:
    """Train in turns."""
    trained = {name: Trained(build, settings, xla) for name, settings in CASES.items()}
    turns: Measured = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, own in trained.items():
            turns[name].append(own.turn())
    return turns


def added(found: Measured, case: str, which: int) -> float:
    """What a case adds in percent: the median of its turns, each against its neighbours."""
    alone = [turn[which] for turn in found["no guard"]]
    return statistics.median(
        100 * (turn[which] / ((before + after) / 2) - 1)
        for turn, before, after in zip(found[case], alone, [*alone[1:], alone[-1]], strict=True)
    )


def page(folder: Path) -> tuple[str, bool]:
    """Measure all; say whether the bar is met."""
    warnings.simplefilter("ignore")
    rows: list[list[str]] = []
    met = True
    for name, build in MODELS.items():
        for xla in (False, True):
            if xla and name == "convolutions":
                continue  # on a processor XLA takes many times as long: nobody trains so
            found = measured(build, xla)
            step = statistics.median(turn[0] for turn in found["no guard"])
            met &= step < LEAST_STEP or added(found, DEFAULT, 0) < BAR
            for which, clock in enumerate(("wall", "processor")):
                step = statistics.median(turn[which] for turn in found["no guard"])
                own = [f"{added(found, case, which):+.1f} %" for case in list(CASES)[1:]]
                compiled = "XLA" if xla else "graph"
                rows.append([name, compiled, clock, f"{step:.1f} ms", *own])
                print(rows[-1], file=sys.stderr, flush=True)
    heads = ["model", "compiled", "time", "step without", *list(CASES)[1:]]
    text = f"""# What the guard costs

{described()}

Added to the time of a training step by [`StabilityGuard`](guard.md), by `every` (100 is the
default), of the clock and of the processor, all threads together. Medians of {ROUNDS} turns of
{STEPS} steps, each against the turns without the guard before and after it. Adam, float32.

{table(heads, rows, text=3)}

Bar, the default below {BAR:.0f} % of the wall time of steps of {LEAST_STEP:.0f} ms and more:
{"met" if met else "missed"}. Measured by `tests/benchmarks/guard_cost.py`.
"""
    return text, met


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__ or ""))
