"""One search of `stable_search.py`, with the map and without, in a process of its own.

    python tests/benchmarks/stable_search_arms.py RESULT bayesian 0

prints, for each of the two, what became of every trial.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import stable_search_model
from shared import diabetes

from stabilitysweep.integrations.keras_tuner import keep_stable

EPOCHS, BATCH_SIZE = 3, 16
TRIALS, INITIAL = 12, 6
ITERATIONS = 3
_NO_LIMIT = 10**6


class BatchByBatch(keras.callbacks.Callback):
    """Sees the loss after every batch.

    Keras gives the mean over the epoch so far: what is not finite in one batch stays in it.
    Each epoch begins a new mean.

    Attributes:
        first: the epoch, from 1, of the first batch that was not finite; None without one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: int | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.first is None and not np.isfinite(logs["loss"]):
            self.first = self._epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.first is None and not all(np.isfinite(value) for value in logs.values()):
            self.first = self._epoch


class Searched(keras_tuner.HyperModel):
    """The hypermodel, with the same initial weights for the same values in both arms."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self.trials: list[dict[str, Any]] = []

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        keras.utils.set_random_seed(1000 + self._seed)
        return stable_search_model.build(hp)

    def fit(self, hp: Any, model: keras.Model, *data: Any, **settings: Any) -> Any:
        seen = BatchByBatch()
        settings["callbacks"] = [*settings.get("callbacks", ()), seen]
        history = model.fit(*data, **settings)
        loss = float(np.min(history.history["val_loss"]))
        self.trials.append(
            {
                "values": {name: hp.values[name] for name in ("depth", "activation")}
                | {"learning_rate": float(hp.values["learning_rate"])},
                "nonfinite": seen.first,
                "loss": loss if np.isfinite(loss) else None,
            }
        )
        return history


def tuner_of(kind: str, seed: int, hypermodel: Searched, folder: Path) -> Any:
    """A tuner of KerasTuner as a user makes it."""
    more: dict[str, Any] = {
        "objective": "val_loss",
        "seed": seed + 1,  # 0 would be drawn anew
        "directory": folder,
        "overwrite": True,
        "max_consecutive_failed_trials": _NO_LIMIT,
    }
    if kind == "grid":
        hp = keras_tuner.HyperParameters()
        hp.Fixed("depth", 2)
        return keras_tuner.GridSearch(hypermodel, hyperparameters=hp, **more)
    if kind == "hyperband":
        return keras_tuner.Hyperband(
            hypermodel, max_epochs=EPOCHS, hyperband_iterations=ITERATIONS, **more
        )
    if kind == "random":
        return keras_tuner.RandomSearch(hypermodel, max_trials=TRIALS, **more)
    return keras_tuner.BayesianOptimization(
        hypermodel, max_trials=TRIALS, num_initial_points=INITIAL, **more
    )


def search(kind: str, seed: int, result: str | None) -> dict[str, Any]:
    """Run a search, with the map of a result or without."""
    data = diabetes()
    hypermodel = Searched(seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tuner = tuner_of(kind, seed, hypermodel, Path(folder))
        if result is not None:
            keep_stable(tuner, result)
        tuner.search(
            data.x_train,
            data.y_train,
            batch_size=BATCH_SIZE,
            epochs=EPOCHS,
            validation_data=(data.x_validation, data.y_validation),
            verbose=0,
        )
        turned_away = dict(tuner.oracle.turned_away) if result is not None else {}
    losses = [trial["loss"] for trial in hypermodel.trials if trial["loss"] is not None]
    return {
        "trials": hypermodel.trials,
        "turned_away": turned_away,
        "best": min(losses, default=None),
        "seconds": time.perf_counter() - started,
    }


def main() -> int:
    """Search twice, and print what came of it."""
    result, kind, seed = sys.argv[1:]
    found = {
        "with": search(kind, int(seed), result),
        "without": search(kind, int(seed), None),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
