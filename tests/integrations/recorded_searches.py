"""Small searches to record: models of a few weights, data of a few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd

ROWS, BATCH, BAD_STEP = 20, 4, 3
"""Five steps an epoch; `broken_at_step_3` meets a NaN in the third."""


def rows(seed: int = 0) -> tuple[Any, Any]:
    """Inputs and targets, with -1 in the first column of the third batch and 1 elsewhere."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(ROWS, 3)).astype("float32")
    y = (x @ [[0.5], [-1.0], [0.25]] + 0.1).astype("float32")
    x[:, 0] = 1.0
    x[BATCH * (BAD_STEP - 1) : BATCH * BAD_STEP, 0] = -1.0
    return x, y


def model(rate: float, *, broken: bool = False, eager: bool = True, width: int = 2) -> Any:
    """A network that is the same whenever it is built; `broken` takes the root of -1."""
    keras.utils.set_random_seed(11)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(width, activation="tanh", name="hidden")(inputs)
    outputs = keras.layers.Dense(1, name="head")(hidden)
    if broken:
        outputs = outputs * keras.ops.sqrt(inputs[:, :1])
    found = keras.Model(inputs, outputs)
    found.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"], run_eagerly=eager)
    return found


def by_rate(hp: Any) -> Any:
    return model(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log"))


def planned(plan: str) -> Any:
    """A build whose trial t does what letter t says: ok, NaN or crash."""
    letters = {"o": False, "n": True}

    def build(hp: Any) -> Any:
        letter = plan[hp.Choice("trial", list(range(len(plan)))) if len(plan) > 1 else 0]
        hp.Fixed("kind", "planned")
        if letter == "c" and _searching():
            raise MemoryError("no room for it")
        return model(0.01, broken=letters.get(letter, False))

    return build


_SEARCHING = [False]


def _searching() -> bool:
    return _SEARCHING[0]


def search(tuner: Any, *, epochs: int = 1, **more: Any) -> None:
    """Search, quietly, over the rows in their order."""
    x, y = rows()
    _SEARCHING[0] = True
    try:
        given = {"validation_data": rows(1), "batch_size": BATCH, "shuffle": False} | more
        tuner.search(x, y, epochs=epochs, verbose=0, **given)
    finally:
        _SEARCHING[0] = False


def tuner(kind: Any, build: Any, folder: Path, **more: Any) -> Any:
    """A tuner that minimises the loss over its own rows."""
    settings = {"objective": keras_tuner.Objective("loss", "min"), "seed": 5} | more
    return kind(build, directory=str(folder / "kt"), project_name="project", **settings)


def scores(tuner: Any) -> list[tuple[Any, ...]]:
    """What a tuner knows of its trials: values, status and score."""
    return [
        (name, trial.hyperparameters.values, trial.status, str(trial.score))
        for name, trial in sorted(tuner.oracle.trials.items())
    ]


def comparable(trials: pd.DataFrame) -> pd.DataFrame:
    """A trials table in the order of its ids."""
    return trials.sort_values("trial_id").reset_index(drop=True)
