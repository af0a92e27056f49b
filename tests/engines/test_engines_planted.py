"""One NaN or Inf, planted anywhere, is named: its step, stage, tensor and kind; no neighbour
of its trial changes by a bit.

Notation: T steps. Under loss scaling a step with a planted gradient, or an activation, which
makes the gradients non-finite, is skipped: no onset, unless the plant is there to the end.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import Garden, Plant

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

STEPS, HELD_OUT = 6, 6
KINDS = {math.nan: Kind.NAN, math.inf: Kind.POSITIVE_INFINITY, -math.inf: Kind.NEGATIVE_INFINITY}
SKIPPING = {Stage.ACTIVATION, Stage.GRADIENT}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Compiled]] = {
    "adam, batch norm": ({"batch_norm": True}, {"optimizer": "adam"}, Compiled.GRAPH),
    "rmsprop, momentum, float16": (
        {"depth": 2, "dropout": 0.2},
        {"optimizer": "rmsprop", "momentum": 0.5, "precision": "float16"},
        Compiled.GRAPH,
    ),
    "sgd, momentum, mixed_float16": (
        {"activation": "tanh"},
        {"momentum": 0.5, "precision": "mixed_float16"},
        Compiled.GRAPH,
    ),
    "xla, sgd, momentum": ({}, {"momentum": 0.5}, Compiled.XLA),
    "xla, mixed_float16": ({}, {"precision": "mixed_float16"}, Compiled.XLA),
}


class Bed:
    """An engine with seams, and the trials it trains."""

    def __init__(
        self, lab: Any, engine: Engine, model: Any, training: Any, compiled: Compiled
    ) -> None:
        self.lab, self.engine, self.compiled = lab, engine, compiled
        data: PreparedData = lab.data(held_out=HELD_OUT)
        # Small, so that under loss scaling no step is skipped but for a plant.
        self.data = dataclasses.replace(data, x_train=data.x_train / 4, y_train=data.y_train / 4)
        self.trials = lab.trials(
            self.data,
            seeds=2 if engine.name == "stacked" else 1,
            model=model,
            training={"steps": STEPS, **training},
            learning_rate=[0.01, 0.02] if engine.name == "stacked" else [0.01],
        )
        self.scaled = training.get("precision") == "mixed_float16"
        self.garden = Garden()

    @cached_property
    def clean(self) -> list[TrialResult]:
        return self.run(None)

    def run(self, plant: Plant | None, data: PreparedData | None = None) -> list[TrialResult]:
        with self.garden.planted_engines(HELD_OUT):
            self.garden.plant(plant)
            found: list[TrialResult] = self.lab.run(
                self.engine, self.trials, data or self.data, self.compiled, places=4
            )
        return found

    def place(self, stage: Stage, number: int) -> tuple[Stage, str]:
        """One of the tensors at `stage`, counted round."""
        places = [place for place in self.garden.places if place[0] is stage]
        return places[number % len(places)]

    def expected(self, plant: Plant) -> tuple[Onset | None, int]:
        """The onset, and the steps that loss scaling skips."""
        stage, tensor = plant.place
        kind = KINDS[plant.value]
        if stage is Stage.PREDICTION:
            return Onset(STEPS, stage, tensor, kind), 0
        onset = Onset(plant.first, stage, tensor, kind)
        if self.scaled and stage in SKIPPING:
            return onset if plant.last == STEPS else None, plant.last - plant.first + 1
        return onset, 0


@cache
def stacked_bed(lab: Any, case: str) -> Bed:
    return Bed(lab, StackedEngine(), *CASES[case])


@st.composite
def plants(draw: st.DrawFn, stages: tuple[Stage, ...]) -> tuple[Stage, int, Plant]:
    """A stage, the number of a tensor in it, and a plant that has yet to get its place."""
    first = draw(st.integers(1, STEPS))
    plant = Plant(
        place=(Stage.INPUT, ""),
        value=draw(st.sampled_from(list(KINDS))),
        first=first,
        last=draw(st.just(first) | st.integers(first, STEPS)),
        entry=draw(st.integers(0, 1_000)),
        trial=draw(st.integers(0, 3)),
    )
    return draw(st.sampled_from(stages)), draw(st.integers(0, 100)), plant


TRAINED = tuple(stage for stage in Stage if stage is not Stage.INPUT)


def check_onset(bed: Bed, result: TrialResult, plant: Plant) -> None:
    onset, skipped = bed.expected(plant)
    assert result.onset == onset, (plant, result)
    # A step after broken weights, if there is one, is skipped under loss scaling.
    after = 1 if bed.scaled and onset and not skipped else 0
    assert 0 <= result.skipped_steps - skipped <= after, (plant, result)
    assert (result.outcome is Outcome.NONFINITE) == (onset is not None)


def check(bed: Bed, planted: list[TrialResult], plant: Plant) -> None:
    check_onset(bed, planted[plant.trial], plant)
    result, clean = planted[plant.trial], bed.clean[plant.trial]
    before = plant.first - 1 if plant.place[0] is not Stage.PREDICTION else STEPS
    assert result.trace.steps[:before].tolist() == list(range(1, before + 1))
    for name in ("loss", "grad_norm", "weight_norm", "max_activation", "loss_scale"):
        early, same = (getattr(r.trace, name)[:before] for r in (result, clean))
        assert early.tobytes() == same.tobytes(), name
    for other in range(len(planted)):
        if other != plant.trial:
            assert bed.lab.differences(bed.clean[other], planted[other]) == [], (plant, other)


@pytest.mark.parametrize(
    ("case", "examples"),
    [
        pytest.param(case, 12, id=case, marks=pytest.mark.slow)
        if case.startswith("xla")
        else pytest.param(case, 40, id=case)
        for case in CASES
    ],
)
def test_what_is_planted_in_a_stack_is_named_and_stays_in_its_trial(
    lab: Any, case: str, examples: int
) -> None:
    bed = stacked_bed(lab, case)
    assert all(result.onset is None and not result.skipped_steps for result in bed.clean)
    known = {stage for stage, _ in bed.garden.places}
    assert known >= set(TRAINED) - {Stage.OPTIMIZER}  # plain descent has no slots
    stages = tuple(stage for stage in TRAINED if stage in known)

    @settings(derandomize=True, deadline=None, max_examples=examples)
    @given(plants(stages))
    def law(drawn: tuple[Stage, int, Plant]) -> None:
        stage, number, plant = drawn
        plant = dataclasses.replace(plant, place=bed.place(stage, number))
        check(bed, bed.run(plant), plant)

    law()


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("xla")])
def test_the_seams_change_no_bit_where_nothing_is_planted(lab: Any, case: str) -> None:
    bed = stacked_bed(lab, case)
    plain = lab.run(StackedEngine(), bed.trials, bed.data, places=4)
    for seamed, stock in zip(bed.clean, plain, strict=True):
        assert lab.differences(seamed, stock) == []


SCALED, XLA = "sgd, momentum, mixed_float16", "xla, sgd, momentum"
FITTED = {
    "loss": (SCALED, Plant((Stage.LOSS, "loss"), math.nan, 2, 2)),
    "slot": (SCALED, Plant((Stage.OPTIMIZER, "output/bias/momentum"), -math.inf, 1, 1)),
    "weight": (SCALED, Plant((Stage.WEIGHT, "hidden_1/kernel"), math.nan, 6, 6, entry=7)),
    "prediction": (SCALED, Plant((Stage.PREDICTION, "output"), math.inf)),
    "skips that end": (SCALED, Plant((Stage.GRADIENT, "hidden_1/bias"), math.nan, 2, 4, entry=1)),
    "skips to the end": (SCALED, Plant((Stage.ACTIVATION, "hidden_1"), math.inf, 5, 6, entry=9)),
    "gradient, xla": (XLA, Plant((Stage.GRADIENT, "output/kernel"), -math.inf, 2, 2, entry=3)),
}
QUICK = {"loss", "weight", "skips that end"}


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FITTED],
)
def test_model_fit_names_what_is_planted_and_the_stack_names_the_same(
    lab: Any, fit: FitEngine, name: str
) -> None:
    case, plant = FITTED[name]
    bed = Bed(lab, fit, *CASES[case])
    (own,), ours = bed.run(plant), stacked_bed(lab, case).run(plant)[0]
    check_onset(bed, own, plant)
    for field in ("trial_id", "outcome", "onset", "skipped_steps", "final_loss_scale", "steps_run"):
        assert getattr(own, field) == getattr(ours, field), (own, ours)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.integers(0, 23), st.integers(0, 2), st.sampled_from(list(KINDS)))
def test_what_is_planted_in_the_input_is_named_before_any_step(
    lab: Any, stacked: StackedEngine, fit: FitEngine, row: int, column: int, value: float
) -> None:
    data: PreparedData = lab.data()
    x = data.x_train.copy()
    x[row, column] = value
    planted = dataclasses.replace(data, x_train=x)
    for engine in (stacked, fit):
        for result in lab.run(engine, lab.trials(data, seeds=2), planted):
            assert result.onset == Onset(0, Stage.INPUT, f"x{column}", KINDS[value])
            assert result.outcome is Outcome.NONFINITE and result.steps_run == 0


def test_a_normalisation_poisoned_in_a_skipped_step_is_named_in_the_next_one(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    # Keras skips the weights' update and not that of the moving mean and variance.
    case = ({"batch_norm": True}, {"precision": "mixed_float16"}, Compiled.GRAPH)
    for engine in (StackedEngine(), fit):
        bed = Bed(lab, engine, *case)
        (result, *_) = bed.run(Plant((Stage.ACTIVATION, "hidden_1"), math.inf, 3, 3))
        assert result.skipped_steps == 1 and result.steps_run == STEPS
        assert np.isfinite(result.trace.loss[3:]).all() and result.nan_step == 3
        assert (result.onset.step, result.onset.stage) == (4, Stage.WEIGHT)
        assert result.onset.tensor == "batch_norm_1/moving_mean"
