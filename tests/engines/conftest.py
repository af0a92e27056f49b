"""TensorFlow with one thread, warnings as errors, tiny sweeps, and one engine for all tests."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported

import keras
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stack_state import Settings
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.models.programs import Program, group
from stabilitysweep.types import Compiled, TrialResult

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make a warning in any test of this folder an error."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"))


class Lab:
    """Makes tiny data and sweeps, runs them, and compares results to the bit."""

    def data(
        self, rows: int = 24, features: int = 3, held_out: int = 6, classes: int = 0
    ) -> PreparedData:
        """Made-up data: a regression, or `classes` classes (2 for binary_crossentropy)."""
        random = np.random.default_rng(7)
        x = random.normal(size=(rows + held_out, features))
        noise = 0.3 * random.normal(size=(rows + held_out, max(classes, 1)))
        scores = x @ random.normal(size=(features, max(classes, 1))) + noise
        if classes == 2:
            y: Any = (scores[:, :1] > 0).astype(np.float64)
        elif classes:
            y = np.argmax(scores, axis=1).astype(np.int32)
        else:
            y = scores
        names = tuple(f"x{column}" for column in range(features))
        outputs = classes if classes > 2 else 1
        return PreparedData(x[:rows], y[:rows], x[rows:], y[rows:], outputs, names, "made")

    def trials(
        self,
        data: PreparedData,
        *,
        seeds: int = 1,
        model: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        **axes: Sequence[Any],
    ) -> list[Trial]:
        """The trials of a grid over `axes` of a 4-wide network trained for 8 steps of 8 rows."""
        sections = {
            "model": {"width": 4, "depth": 1, **(model or {})},
            "training": {"steps": 8, "batch_size": 8, **(training or {})},
        }
        grid = {name: list(values) for name, values in axes.items()}
        if not grid:  # a grid needs an axis
            grid["width"] = [sections["model"]["width"]]
        for section in sections.values():
            for name in grid.keys() & section.keys():
                del section[name]
        config = parse_config(
            {
                "name": "lab",
                "dataset": {"name": "diabetes"},  # never loaded
                **sections,
                "grid": grid,
                "seeds": seeds,
            }
        )
        return list(Grid(config, lambda _: data.train_rows))

    def program(
        self, trials: Sequence[Trial], data: PreparedData, compiled: Compiled = Compiled.GRAPH
    ) -> Program:
        """The one program all the trials share."""
        (program,) = group(trials, data.shape, compiled)
        return program

    def run(
        self,
        engine: Engine,
        trials: Sequence[Trial],
        data: PreparedData,
        compiled: Compiled = Compiled.GRAPH,
        places: int | None = None,
    ) -> list[TrialResult]:
        """Run the trials in as few stacks as may be; the results in the trials' order."""
        found: dict[str, TrialResult] = {}
        for program, members in group(trials, data.shape, compiled).items():
            stacks: dict[tuple[Any, ...], list[Trial]] = {}
            for trial in members:
                key = (trial.training.batch_size, trial.training.steps)
                stacks.setdefault(key, []).append(trial)
            for stack in stacks.values():
                results = engine.run(Stack(program, tuple(stack), places or 64), data)
                found |= {result.trial_id: result for result in results}
        return [found[trial.trial_id] for trial in trials]

    def evaluated_with(self, trials: Sequence[Trial]) -> Settings:
        """The numbers that an evaluation of the trials reads, in floatx; the others are off."""

        def column(values: Sequence[float]) -> tf.Tensor:
            return tf.constant(values, keras.config.floatx())

        off = column([0.0] * len(trials))
        return Settings(
            learning_rates=off[:, None],
            l1=column([trial.model.l1 for trial in trials]),
            l2=column([trial.model.l2 for trial in trials]),
            momentum=off,
            weight_decay=off,
            clipnorm=off,
            numbers=tf.zeros([len(trials), 0], off.dtype),
        )

    def differences(self, a: TrialResult, b: TrialResult) -> list[str]:
        """Names of the fields that differ in any bit; NaN equals NaN."""
        return [
            field.name
            for field in dataclasses.fields(a)
            if not _same(getattr(a, field.name), getattr(b, field.name))
        ]


def _same(a: Any, b: Any) -> bool:
    if dataclasses.is_dataclass(a) and dataclasses.is_dataclass(b):
        names = [field.name for field in dataclasses.fields(a)]
        return all(_same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        # The sign and payload of a NaN mean nothing; those of a zero do.
        numbers = [np.where(np.isnan(array), np.array(0, a.dtype), array) for array in (a, b)]
        broken = [np.isnan(array) for array in (a, b)]
        return numbers[0].tobytes() == numbers[1].tobytes() and np.array_equal(*broken)
    if isinstance(a, dict):
        return bool(a.keys() == b.keys()) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return bool(a == b)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The maker of sweeps."""
    return Lab()


@pytest.fixture(scope="session")
def stacked() -> StackedEngine:
    """One stacked engine for all tests, so that they share what it compiled."""
    return StackedEngine()


@pytest.fixture(scope="session")
def fit() -> FitEngine:
    """The yardstick."""
    return FitEngine()
