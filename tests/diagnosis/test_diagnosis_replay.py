"""A replay compared with what is stored, and what it looks at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.data import DataShape, PreparedData
from stabilitysweep.diagnosis.records import Moment, Quantity
from stabilitysweep.diagnosis.replay import differences, replay
from stabilitysweep.engines.base import Stack
from stabilitysweep.grid import Grid
from stabilitysweep.models.programs import group
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

STORED = TrialResult(
    "4f",
    Outcome.NONFINITE,
    "stacked",
    onset=Onset(7, Stage.GRADIENT, "output/kernel", Kind.NAN),
    nan_step=8,
    skipped_steps=0,
    steps_run=9,
)
DATA = PreparedData(
    np.array([[1.0, 2.0], [np.nan, 70_000.0], [3.0, -np.inf], [0.0, 1.0]]),
    np.ones((4, 1)),
    np.ones((1, 2)),
    np.ones((1, 1)),
    1,
    ("bmi", "age"),
    "made",
)


class Engine:
    """Comes to a result, and notes what it is asked to look at."""

    name = "stacked"

    def __init__(self, result: TrialResult) -> None:
        self.result = result
        self.asked: tuple[int, int, bool] | None = None

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        return [self.result]

    def inspect(
        self, stack: Stack, data: PreparedData, first: int, last: int, *, predictions: bool
    ) -> list[Moment]:
        self.asked = first, last, predictions
        return [Moment(last, 1.0, 1.0, skipped=False, tensors=())]


def stack(precision: str = "float32") -> Stack:
    config = parse_config(
        {
            "name": "replay",
            "dataset": {"name": "diabetes"},
            "training": {"precision": precision, "batch_size": 2, "steps": 20},
            "grid": {"depth": [1]},
        }
    )
    trials = tuple(Grid(config, lambda _: 4))
    (program,) = group(trials, DataShape(2, 1), Compiled.GRAPH)
    return Stack(program, trials, 16)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"outcome": Outcome.DIVERGED}, "outcome: stored nonfinite, replayed diverged"),
        (
            {"onset": replace(STORED.onset, step=8)},  # type: ignore[type-var]
            "onset: stored step 7, gradient output/kernel, nan, "
            "replayed step 8, gradient output/kernel, nan",
        ),
        ({"onset": None}, "onset: stored step 7, gradient output/kernel, nan, replayed none"),
        ({"nan_step": None}, "nan step: stored 8, replayed none"),
        ({"skipped_steps": 1}, "skipped steps: stored 0, replayed 1"),
        ({"steps_run": 10}, "steps run: stored 9, replayed 10"),
    ],
)
def test_each_difference_has_its_line(changes: dict[str, Any], line: str) -> None:
    assert list(differences(STORED, replace(STORED, **changes))) == [line]


def test_the_same_verdict_is_no_difference_whatever_the_last_bits() -> None:
    found = replay(Engine(replace(STORED, final_loss=2.0)), STORED, stack(), DATA, 3)
    assert found.reproduced


@pytest.mark.parametrize(
    ("result", "steps", "asked"),
    [
        (STORED, 3, (5, 7, False)),
        (STORED, 30, (1, 7, False)),
        (replace(STORED, onset=None, outcome=Outcome.DIVERGED, steps_run=20), 1, (20, 20, False)),
        (
            replace(STORED, onset=Onset(20, Stage.PREDICTION, "output", Kind.NAN), steps_run=20),
            2,
            (19, 20, True),
        ),
    ],
)
def test_the_steps_up_to_the_onset_are_looked_at(
    result: TrialResult, steps: int, asked: tuple[int, int, bool]
) -> None:
    engine = Engine(result)
    replay(engine, result, stack(), DATA, steps)
    assert engine.asked == asked


@pytest.mark.parametrize(("precision", "infinite"), [("float32", 1), ("mixed_float16", 2)])
def test_of_the_input_the_columns_that_are_not_finite(precision: str, infinite: int) -> None:
    result = replace(STORED, onset=Onset(0, Stage.INPUT, "bmi", Kind.NAN), steps_run=0)
    engine = Engine(result)
    (moment,) = replay(engine, result, stack(precision), DATA, 6).moments
    assert engine.asked is None
    assert (moment.step, moment.loss) == (0, None)
    bmi, age = moment.tensors
    assert (bmi.quantity, bmi.tensor, bmi.nans, bmi.infs, bmi.size) == (
        Quantity.INPUT,
        "bmi",
        1,
        0,
        4,
    )
    assert (age.tensor, age.nans, age.infs) == ("age", 0, infinite)
