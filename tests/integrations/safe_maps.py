"""Maps made up by a rule, and searches driven without training anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from inline_executor import run_inline
from keras_tuner.engine import trial as trials
from ruled_executor import RuledExecutor

from stabilitysweep import Result, open_result
from stabilitysweep.grid import Trial
from stabilitysweep.types import Outcome

RATES = (0.001, 0.01, 0.1, 1.0, 10.0)
CONFIG: dict[str, Any] = {
    "name": "ruled",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4},
    "grid": {
        "activation": ["tanh", "relu"],
        "depth": [1, 2, 4],
        "learning_rate": {"from": 0.001, "to": 10, "num": 5, "scale": "log"},
    },
    "seeds": 1,
}

Rule = Callable[[Mapping[str, Any]], bool]
Build = Callable[[keras_tuner.HyperParameters], None]


def breaks(values: Mapping[str, Any]) -> bool:
    """The truth behind the maps: it breaks sooner the deeper, and with relu."""
    steep = 5.0 if values.get("activation") == "relu" else 1.0
    return float(values["learning_rate"]) * float(values.get("depth", 4)) * steep > 1.0


def mapped(folder: Path, content: Mapping[str, Any] = CONFIG, rule: Rule = breaks) -> Result:
    """A result of a sweep in which a trial is non-finite where the rule says so."""

    def outcome(trial: Trial) -> Outcome:
        values = {
            "activation": trial.model.activation,
            "depth": trial.model.depth,
            "learning_rate": trial.training.learning_rate,
            "batch_size": trial.training.batch_size,
            "scaling": trial.preprocessing.scaling,
            "dataset": trial.dataset.label,
        }
        return Outcome.NONFINITE if rule(values) else Outcome.STABLE

    run_inline(folder, content, executor=RuledExecutor(outcome))  # type: ignore[arg-type]
    return open_result(folder)


def build(hp: keras_tuner.HyperParameters) -> None:
    """What a search asks for: the axes of the map, and one that is none."""
    hp.Choice("activation", ["tanh", "relu"])
    hp.Int("depth", 1, 4)
    hp.Float("learning_rate", 1e-4, 100, sampling="log")
    hp.Int("units", 8, 64, step=8)


def space_of(build: Build) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    build(hp)
    return hp


def score_of(values: Mapping[str, Any]) -> float:
    """The loss of a trial: a bowl whose bottom lies near the largest rate of all."""
    rate = float(values.get("learning_rate", 1.0))
    return (math.log10(rate) - 1.5) ** 2 + 0.01 * float(values.get("units", 8))


def drive(
    oracle: keras_tuner.Oracle,
    most: int = 1000,
    score: Callable[[Mapping[str, Any]], float] = score_of,
    ask: Build | None = None,
) -> Iterator[dict[str, Any]]:
    """Run a search with made-up scores, and yield the values of each trial that it starts."""
    for _ in range(most):
        trial = oracle.create_trial("tuner")
        if trial.status == trials.TrialStatus.STOPPED:
            return
        assert trial.status == trials.TrialStatus.RUNNING
        yield dict(trial.hyperparameters.values)
        finish(oracle, trial, score, ask)


def finish(
    oracle: keras_tuner.Oracle,
    trial: Any,
    score: Callable[[Mapping[str, Any]], float] = score_of,
    ask: Build | None = None,
) -> None:
    if ask is not None:
        ask(trial.hyperparameters)
    oracle.update_trial(trial.trial_id, {"loss": score(trial.hyperparameters.values)})
    trial.status = trials.TrialStatus.COMPLETED
    oracle.end_trial(trial)
    oracle.save()  # as a tuner does


def in_project(oracle: Any, folder: Path) -> Any:
    """An oracle with a place to keep its state, and silent."""
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle
