"""Seconds a trial: KerasTuner's GridSearch, a `model.fit` loop, and this tool.

One grid for all: the diabetes data, regression, networks of 2x64 and 4x64 units, 200 steps
of batch 32, plain SGD, learning rates from 1e-4 to 1 and eight strengths of L2.

Ours is the whole process, from the command line to the last figure, divided by the trials.
The peers are too slow for that: their cost is the slope between two numbers of trials, so
that start-up does not count against them, from a sample of the grid with learning rates at
which nothing fails. Each measurement of a peer is a process of its own, with TensorFlow's
default threads.

The peers train in two ways. `epochs` is the way of their own guides: arrays, a batch size,
epochs, validation data; 320 training rows make it 20 epochs of 10 steps. `one epoch` is as
lean as Keras gets: a prefetched data set and a single epoch of 200 steps.

    python tests/benchmarks/peers.py --trials 2400
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml
from shared import (
    described,
    diabetes,
    outcome_counts,
    positive,
    run_child,
    spread,
    table,
    time_sweep,
)

DEPTHS = [2, 4]
L2 = [0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
WIDTH, STEPS, BATCH = 64, 200, 32
EPOCHS = 20
VALIDATION_FRACTION = 0.276  # of 442 rows: leaves 320, ten whole batches
SAFE_RATES = (1e-4, 3e-2)
"""Where no trial of a peer fails: a trial that stops early would flatter it or abort it."""


def config_of(trials: int) -> dict[str, Any]:
    """Return the sweep with `trials` trials, rounded up to whole rows of the grid."""
    rates = max(2, math.ceil(trials / (len(DEPTHS) * len(L2))))
    return {
        "name": "peers",
        "dataset": {"name": "diabetes", "validation_fraction": VALIDATION_FRACTION},
        "model": {"name": "mlp", "width": WIDTH, "activation": "relu"},
        "training": {"optimizer": "sgd", "loss": "mse", "steps": STEPS, "batch_size": BATCH},
        "grid": {
            "depth": DEPTHS,
            "l2": L2,
            "learning_rate": {"from": 1e-4, "to": 1, "num": rates, "scale": "log"},
        },
    }


def sample(trials: int) -> dict[str, list[float]]:
    """Return a grid of `trials` combinations, a multiple of 4, as like the whole as may be.

    Both depths, with and without L2 (the median of its strengths), and as many safe
    learning rates as it takes.
    """
    rates = np.geomspace(*SAFE_RATES, trials // 4).tolist()
    return {"depth": DEPTHS, "l2": [0.0, 1e-4], "learning_rate": rates}


def fit_arguments(way: str) -> dict[str, Any]:
    """Return what `fit` trains on, with the same rows as ours; `way` as the module says."""
    import tensorflow as tf

    data = diabetes(VALIDATION_FRACTION)
    x, y = data.x_train.astype("float32"), data.y_train.astype("float32")
    if len(x) * EPOCHS != STEPS * BATCH:
        raise SystemExit(f"expected {STEPS * BATCH // EPOCHS} training rows, got {len(x)}")
    validation = data.x_validation.astype("float32"), data.y_validation.astype("float32")
    common = {"validation_data": validation, "verbose": 0}
    if way == "epochs":
        return {"x": x, "y": y, "batch_size": BATCH, "epochs": EPOCHS, **common}
    batches = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).repeat().batch(BATCH)
    return {"x": batches.prefetch(tf.data.AUTOTUNE), "steps_per_epoch": STEPS, **common}


def build(depth: int, l2: float, learning_rate: float) -> Any:
    """Build and compile one network, everything not named here left to Keras' defaults."""
    import keras

    def dense(units: int, activation: str | None = None) -> Any:
        penalty = keras.regularizers.L2(l2) if l2 else None
        return keras.layers.Dense(units, activation=activation, kernel_regularizer=penalty)

    layers = [dense(WIDTH, "relu") for _ in range(depth)]
    model = keras.Sequential([keras.Input((10,)), *layers, dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="mse")
    return model


def check_steps(model: Any) -> None:
    """Stop the measurement unless the budget was trained to the step."""
    trained = int(model.optimizer.iterations.numpy())
    if trained != STEPS:
        raise SystemExit(f"expected {STEPS} optimizer steps, got {trained}")


def fit_loop(trials: int, way: str) -> float:
    """Train one network after another with `model.fit`; return the seconds."""
    import keras

    arguments = fit_arguments(way)
    grid = sample(trials)
    started = time.perf_counter()
    for depth in grid["depth"]:
        for l2 in grid["l2"]:
            for rate in grid["learning_rate"]:
                keras.backend.clear_session()
                model = build(int(depth), l2, rate)
                model.fit(**arguments)
                check_steps(model)
    return time.perf_counter() - started


def grid_search(trials: int, way: str) -> float:
    """Train the same with KerasTuner's GridSearch; return the seconds of `search`."""
    import keras_tuner

    arguments = fit_arguments(way)
    grid = sample(trials)

    class Networks(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return build(**{name: hp.Choice(name, values) for name, values in grid.items()})

        def fit(self, hp: Any, model: Any, *arguments: Any, **options: Any) -> Any:
            history = model.fit(*arguments, **options)
            check_steps(model)
            return history

    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.GridSearch(
            Networks(),
            objective="val_loss",
            max_trials=trials,
            max_consecutive_failed_trials=trials + 1,
            overwrite=True,
            directory=folder,
        )
        started = time.perf_counter()
        tuner.search(**arguments)
        seconds = time.perf_counter() - started
        completed = [t for t in tuner.oracle.trials.values() if t.status == "COMPLETED"]
    if len(completed) != trials:
        raise SystemExit(f"expected {trials} completed trials, got {len(completed)}")
    return seconds


PEERS: dict[str, tuple[str, Callable[[int, str], float]]] = {
    "kerastuner": ("KerasTuner GridSearch", grid_search),
    "fit": ("`model.fit` in a loop", fit_loop),
}
WAYS = ("epochs", "one epoch")


def measure_peer(name: str, way: str, few: int, many: int) -> float:
    """Return a peer's seconds a trial: the slope between two numbers of trials."""
    less, more = (
        run_child(__file__, "--child", name, way, str(trials))["seconds"] for trials in (few, many)
    )
    return float(more - less) / (many - few)


def measure_ours(trials: int) -> tuple[float, int, dict[str, int]]:
    """Run the whole sweep; return its wall seconds, its number of trials, its outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        config, out = Path(folder, "peers.yaml"), Path(folder, "result")
        config.write_text(yaml.safe_dump(config_of(trials)), encoding="utf-8")
        seconds = time_sweep(config, out)
        counts = outcome_counts(out)
    return seconds, sum(counts.values()), counts


def main() -> None:
    """Measure in turns, and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=positive, default=2_400, help="of ours (2,400)")
    parser.add_argument(
        "--peer-trials",
        type=positive,
        nargs=2,
        default=(4, 12),
        metavar=("FEW", "MANY"),
        help="the two numbers of trials of the peers, multiples of 4 (4 12)",
    )
    parser.add_argument("--repeat", type=positive, default=3, help="repetitions (3)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, way, trials = options.child
        print(json.dumps({"seconds": PEERS[name][1](int(trials), way)}))
        return
    few, many = options.peer_trials
    if few % 4 or many % 4 or few >= many:
        parser.error(f"--peer-trials: expected multiples of 4, FEW < MANY, got {few} {many}")

    peers: dict[tuple[str, str], list[float]] = {(n, way): [] for way in WAYS for n in PEERS}
    whole: list[float] = []
    for _ in range(options.repeat):
        for (name, way), slopes in peers.items():
            slopes.append(measure_peer(name, way, few, many))
        seconds, count, counts = measure_ours(options.trials)
        whole.append(seconds)

    ours = [seconds / count for seconds in whole]
    rows = [[f"{PEERS[name][0]}, {way}", slopes] for (name, way), slopes in peers.items()]
    rows.append([f"stabilitysweep, {count:,} trials in one call", ours])
    print(described())
    print(f"- ours: {median(whole):.1f} s in all; {counts}")
    print(f"- peers: slope between {few} and {many} trials; {options.repeat} repetitions each\n")
    header = ["way", "seconds a trial (median)", "range", "times slower than ours"]
    cells = [
        [label, f"{median(v):.4g}", spread(v), f"{median(v) / median(ours):.0f}"]
        for label, v in rows
    ]
    print(table(header, cells))


if __name__ == "__main__":
    main()
