"""What is not finite before training or after it: the input and the prediction stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack, input_dtype, input_onset
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage

HALF = ("float16", "mixed_float16")
PRECISIONS = ("float32", "mixed_float16", "float16", "mixed_bfloat16", "float64")


def with_input(data: PreparedData, values: dict[tuple[int, int], float], held_out: bool = False):
    x, xv = data.x_train.copy(), data.x_validation.copy()
    for place, value in values.items():
        (xv if held_out else x)[place] = value
    return PreparedData(
        x, data.y_train, xv, data.y_validation, data.outputs, data.feature_names, data.label
    )


@pytest.fixture(params=["stacked", "fit"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: StackedEngine | FitEngine = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({(3, 1): np.nan}, Kind.NAN),
        ({(3, 1): np.inf}, Kind.POSITIVE_INFINITY),
        ({(0, 1): -np.inf, (5, 2): np.nan}, Kind.NEGATIVE_INFINITY),
        ({(0, 1): -np.inf, (5, 1): np.inf}, Kind.NAN),
        ({(0, 1): np.inf, (5, 1): np.nan}, Kind.NAN),
    ],
)
def test_an_input_that_is_not_finite_is_the_onset_before_any_step(
    lab: Any, precision: str, values: dict[tuple[int, int], float], kind: Kind
) -> None:
    data = with_input(lab.data(), values)
    assert input_onset(data, precision) == Onset(0, Stage.INPUT, "x1", kind)
    assert input_onset(lab.data(), precision) is None


@pytest.mark.parametrize(
    ("value", "bad"),
    [
        (70_000.0, HALF),
        (-70_000.0, HALF),
        (65_520.0, HALF),
        (65_504.0, ()),
        (65_519.0, ()),
        (3.5e38, ("float32", "mixed_float16", "float16", "mixed_bfloat16")),
        (3.4028234e38, (*HALF, "mixed_bfloat16")),
        (3.3961e38, HALF),
        (1e300, ("float32", "mixed_float16", "float16", "mixed_bfloat16")),
    ],
)
def test_an_input_too_large_for_the_precision_is_infinite(
    lab: Any, value: float, bad: tuple[str, ...]
) -> None:
    data = with_input(lab.data(), {(2, 0): value})
    kind = Kind.POSITIVE_INFINITY if value > 0 else Kind.NEGATIVE_INFINITY
    for precision in PRECISIONS:
        expected = Onset(0, Stage.INPUT, "x0", kind) if precision in bad else None
        assert input_onset(data, precision) == expected, precision


def test_the_first_layer_sees_its_inputs_in_its_own_dtype() -> None:
    assert [input_dtype(precision) for precision in PRECISIONS] == [
        "float32", "float16", "float16", "bfloat16", "float64",
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_engines_report_it_without_training(lab: Any, engine: Engine, precision: str) -> None:
    data = with_input(lab.data(), {(4, 2): np.nan if precision == "float32" else 70_000.0})
    kind = Kind.NAN if precision == "float32" else Kind.POSITIVE_INFINITY
    trials = lab.trials(data, training={"precision": precision}, learning_rate=[0.1, 0.2])
    results = lab.run(engine, trials, data)
    assert [result.trial_id for result in results] == [trial.trial_id for trial in trials]
    for result in results:
        assert result.outcome is Outcome.NONFINITE
        assert result.onset == Onset(0, Stage.INPUT, "x2", kind)
        assert (result.steps_run, result.skipped_steps) == (0, 0)
        assert result.initial_loss is None and result.trace is None
        assert (result.engine, result.compiled) == (engine.name, Compiled.GRAPH)


def test_a_linear_model_of_a_mixed_policy_sees_its_inputs_in_float32(
    lab: Any, stacked: StackedEngine
) -> None:
    data = with_input(lab.data(), {(4, 2): 70_000.0})
    options = {"model": {"depth": 0}, "training": {"precision": "mixed_float16"}}
    (result,) = lab.run(stacked, lab.trials(data, learning_rate=[1e-12], **options), data)
    assert result.onset is None


def test_a_large_input_is_none_of_float32s_business(lab: Any, stacked: StackedEngine) -> None:
    data = with_input(lab.data(), {(4, 2): 70_000.0})
    (result,) = lab.run(stacked, lab.trials(data, learning_rate=[1e-12]), data)
    assert result.onset is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_held_out_row_that_predicts_no_number_is_the_prediction_stage(
    lab: Any, engine: Engine, value: float
) -> None:
    data = with_input(lab.data(), {(1, 0): value}, held_out=True)
    trials = lab.trials(data, training={"metrics": ["mae"]}, learning_rate=[0.02])
    (result,) = lab.run(engine, trials, data)
    assert result.outcome is Outcome.NONFINITE and result.onset is not None
    assert (
        (result.onset.step, result.onset.stage)
        == (result.steps_run, Stage.PREDICTION)
        == (
            8,
            Stage.PREDICTION,
        )
    )
    assert result.onset.tensor == "output"
    assert result.final_loss < result.initial_loss  # training itself went well
    assert not np.isfinite(result.val_loss) and not np.isfinite(result.metrics["mae"])
    if np.isnan(value):
        assert result.onset.kind is Kind.NAN


def test_training_that_breaks_comes_before_the_prediction(lab: Any, stacked: StackedEngine) -> None:
    data = with_input(lab.data(), {(1, 0): np.nan}, held_out=True)
    (result,) = lab.run(stacked, lab.trials(data, learning_rate=[1e20]), data)
    assert result.onset is not None and result.onset.stage is Stage.ACTIVATION


def test_without_held_out_rows_there_is_nothing_to_predict(lab: Any, engine: Engine) -> None:
    data = lab.data(held_out=0)
    trials = lab.trials(data, training={"metrics": ["mae"]}, learning_rate=[0.02])
    (result,) = lab.run(engine, trials, data)
    assert result.outcome is Outcome.STABLE
    assert result.val_loss is None and result.metrics == {}


def test_a_stack_of_unresolved_epochs_is_refused(lab: Any) -> None:
    data = lab.data()
    trials = lab.trials(data)
    training = trials[0].training.model_copy(update={"steps": None})
    trial = type(trials[0])(
        trials[0].trial_id,
        {},
        0,
        trials[0].dataset,
        trials[0].preprocessing,
        trials[0].model,
        training,
    )
    with pytest.raises(ValueError, match="resolved to steps"):
        _ = Stack(lab.program(trials, data), (trial,), 1).steps
