"""Every rule that gives a failed trial its cause, on tables and curves made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis import Explanation, candidates, explanations
from stabilitysweep.types import Cause, Trace

SETTINGS = {"precision": "float32", "loss": "mse", "learning_rate": 0.1, "optimizer": "sgd"}
PLAIN: dict[str, Any] = {
    "seed": 0,
    "outcome": "nonfinite",
    "onset_step": 5,
    "onset_stage": "loss",
    "onset_tensor": "loss",
    "onset_kind": "+inf",
    "steps_run": 10,
    "skipped_steps": 0,
    "final_loss_scale": np.nan,
    "initial_loss": 1.0,
    "final_loss": np.nan,
    "critical_learning_rate": np.nan,
    "lost_gradients": np.nan,
}
HELD = {
    "outcome": "stable", "onset_step": np.nan, "onset_stage": None, "onset_tensor": None,
    "onset_kind": None, "final_loss": 0.5,
}  # fmt: skip
DIVERGED = HELD | {"outcome": "diverged", "final_loss": 3.0}
STALLED = HELD | {"outcome": "stalled", "final_loss": 1.0}


def curve(**values: Any) -> Trace:
    """Flat curves of ten steps, but for those given."""
    flat = np.ones(10)
    names = ("loss", "grad_norm", "weight_norm", "max_activation", "loss_scale")
    read = [np.asarray(values.get(name, flat), np.float32) for name in names]
    return Trace(np.arange(1, 11, dtype=np.int32), *read)


FLAT = curve()
RISING = curve(loss=[1, 1, 10, 1000, np.inf, *[np.nan] * 5])
MOVED = curve(weight_norm=[1, 1, 1, 5, *[1e30] * 6], max_activation=[1] * 4 + [1e25] * 6)
HIGH = curve(max_activation=[1e30] * 10)


def judge(
    *rows: Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]] | None = None,
    traces: Sequence[Trace | None] = (),
    **settings: Any,
) -> Explanation | None:
    """The explanation of the first row, whatever the order of the rows."""
    axes = {"depth": [1, 2]} if axes is None else axes
    first = {name: values[0] for name, values in axes.items()}
    table = pd.DataFrame(
        [PLAIN | first | {"trial_id": f"t{n}"} | row for n, row in enumerate(rows)]
    )
    given = [*traces, *[FLAT] * (len(rows) - len(traces))]
    kept = {f"t{n}": trace for n, trace in enumerate(given) if trace is not None}
    found = explanations(table, axes, SETTINGS | settings, kept)
    for seed in range(3):
        shuffled = table.sample(frac=1, random_state=seed).reset_index(drop=True)
        assert explanations(shuffled, axes, SETTINGS | settings, kept) == found
    return found.get("t0")


def code(*rows: Mapping[str, Any], **more: Any) -> str | None:
    found = judge(*rows, **more)
    return None if found is None else found.cause.value


# --- a trial by itself


@pytest.mark.parametrize("outcome", [HELD, STALLED, HELD | {"outcome": "crashed"}])
def test_what_did_not_fail_has_no_cause(outcome: dict[str, Any]) -> None:
    assert judge(outcome) is None


@pytest.mark.parametrize("precision", ["float32", "float64", "float16", "mixed_float16"])
def test_causes_that_no_precision_changes(precision: str) -> None:
    training = {"onset_step": 0, "onset_stage": "input", "onset_tensor": "age", "onset_kind": "nan"}
    assert code(training, precision=precision) == "input_not_finite"
    validation = {"onset_step": 10, "onset_stage": "prediction", "onset_tensor": "prediction"}
    assert code(validation, precision=precision) == "prediction_only"
    for step in (1, 5):
        singular = {"onset_step": step, "onset_kind": "nan"}
        assert code(singular, precision=precision, loss="poisson") == "loss_function_singular"


@pytest.mark.parametrize(
    ("axis", "bare", "filled"),
    [("imputation", "none", "mean"), ("unknown_categories", "missing", "encode")],
)
def test_a_prediction_that_a_filled_gap_mends_is_laid_to_what_training_never_saw(
    axis: str, bare: str, filled: str
) -> None:
    validation = {"onset_step": 10, "onset_stage": "prediction", "onset_tensor": "prediction"}
    axes = {axis: [bare, filled]}
    found = judge(validation | {axis: bare}, HELD | {axis: filled}, axes=axes)
    assert found is not None
    assert found.cause == "prediction_only"
    assert f"{filled} does not fail" in found.sentence
    assert "training never saw" in found.sentence
    # Where the twin fails as well, or where the gaps are filled already, it is not that.
    for other in (
        judge(validation | {axis: bare}, validation | {axis: filled}, axes=axes),
        judge(validation | {axis: filled}, HELD | {axis: bare}, axes=axes),
    ):
        assert other is not None
        assert "never saw" not in other.sentence


def test_a_loss_is_singular_only_where_what_it_is_made_of_is_moderate() -> None:
    at_once = {"onset_step": 1, "onset_kind": "nan"}
    assert code(at_once, loss=None) == "loss_function_singular"
    for loss in ("mse", "mae", "huber", "binary_crossentropy", "sparse_categorical_crossentropy"):
        assert code(at_once, loss=loss) == "unknown"
    assert code(at_once, loss="poisson", traces=[HIGH]) == "activation_unbounded"
    assert code(at_once, loss="poisson", traces=[HIGH], precision="float64") == (
        "loss_function_singular"  # 1e30 is moderate in float64
    )
    heavy = curve(weight_norm=[1, 1, 1, 1e30, *[1e30] * 6])
    assert code({}, loss="poisson", traces=[heavy]) == "learning_rate_too_high"


def test_outputs_that_grow_before_any_update() -> None:
    layer = {"onset_step": 1, "onset_stage": "activation", "onset_tensor": "hidden_9"}
    assert code(layer, traces=[curve(max_activation=[np.inf] * 10)]) == "activation_unbounded"
    assert code({"onset_step": 1}, traces=[HIGH]) == "activation_unbounded"
    assert code({"onset_step": 1, "onset_stage": "gradient"}) == "unknown"


def test_growth_before_a_failure_is_the_learning_rate() -> None:
    found = judge({"critical_learning_rate": 0.05}, traces=[RISING])
    assert found is not None
    assert found.cause is Cause.LEARNING_RATE_TOO_HIGH
    assert "31.6-fold a step over 2 steps, from 1 to 1e3 at step 4" in found.sentence
    assert "limit at the initial weights is 0.05, the learning rate 0.1" in found.sentence
    below = judge({"critical_learning_rate": 0.2}, traces=[RISING])
    assert below is not None
    assert "limit" not in below.sentence


def test_a_finite_trial_diverges_by_growth_of_ten() -> None:
    assert code(DIVERGED, traces=[curve(loss=np.geomspace(1, 10.1, 10))]) == (
        "learning_rate_too_high"
    )
    assert code(DIVERGED, traces=[curve(loss=np.geomspace(1, 9.9, 10))]) == "unknown"
    assert code(DIVERGED, traces=[None]) == "unknown"


# --- twins


RATES = {"learning_rate": [0.001, 0.1, 1.0]}


@pytest.mark.parametrize(
    ("axis", "own", "safe", "risky"),
    [
        ("learning_rate", 0.1, 0.001, 1.0),
        ("batch_size", 16, 32, 8),
        ("l2", 0.1, 1.0, 0.0),
        ("clipnorm", 1.0, 0.1, None),
        ("warmup_steps", 5, 10, 0),
    ],
)
def test_a_twin_on_the_safer_side_that_holds_decides(
    axis: str, own: Any, safe: Any, risky: Any
) -> None:
    axes = {axis: [own, safe, risky]}
    held = HELD | {axis: safe}
    assert code(DIVERGED, held, axes=axes) == "learning_rate_too_high"
    assert code(DIVERGED, HELD | {axis: risky}, axes=axes) == "unknown"
    assert code(DIVERGED, held | {"seed": 1}, axes=axes) == "unknown"
    assert code(DIVERGED, held | {"outcome": "crashed"}, axes=axes) == "unknown"


def test_a_twin_does_not_blame_the_rate_before_any_update() -> None:
    axes = {"scaling": ["none", "standard"]}
    found = judge({"onset_step": 1}, HELD | {"scaling": "standard"}, axes=axes)
    assert found is not None
    assert found.cause is Cause.UNKNOWN
    assert found.sentence.endswith("with scaling standard does not fail.")


def test_a_failure_at_every_rate_at_once_is_not_the_rate() -> None:
    # In an output: a loss alone would have to come from large outputs.
    own = {"onset_step": 2, "onset_stage": "activation", "learning_rate": 0.1}
    lower = own | {"learning_rate": 0.001}
    assert code(own, axes=RATES) == "learning_rate_too_high"
    assert code(own, lower, axes=RATES) == "unknown"
    assert code(own, lower | {"onset_step": 3}, axes=RATES) == "learning_rate_too_high"
    assert code(own, HELD | {"learning_rate": 0.001}, axes=RATES) == "learning_rate_too_high"
    near = {"learning_rate": [0.05, 0.1]}
    assert code(own, lower | {"learning_rate": 0.05}, axes=near) == "learning_rate_too_high"


# --- float16


BOTH = {"precision": ["float16", "float32"]}
MIXED = {"precision": ["mixed_float16", "float32"]}
LAYER = {"onset_stage": "activation", "onset_tensor": "hidden_1"}


def test_float16_overflow_beside_its_twin_and_alone() -> None:
    held = HELD | {"precision": "float32"}
    assert code(LAYER, held, axes=BOTH) == "float16_overflow"
    assert code(LAYER, axes=BOTH) == "float16_overflow"
    assert code(LAYER, held, axes=BOTH, traces=[RISING]) == "float16_overflow"
    assert code(LAYER, axes=BOTH, traces=[RISING]) == "learning_rate_too_high"
    assert code({}, axes=BOTH, traces=[MOVED]) == "learning_rate_too_high"  # a float32 loss


def test_an_overflow_while_the_weights_hardly_moved_is_not_the_learning_rate() -> None:
    assert code({}, traces=[MOVED]) == "learning_rate_too_high"
    assert code({}, traces=[FLAT]) == "unknown"
    # The weights did move, and yet no output is large: so are the targets.
    still = curve(weight_norm=[1, 1, 1, 5, *[1e30] * 6])
    assert code({}, traces=[still]) == "unknown"
    lower = {"learning_rate": 0.001}
    own = {"learning_rate": 0.1}
    assert code(own, lower, axes=RATES, traces=[MOVED, MOVED]) == "unknown"
    assert code(own, HELD | lower, axes=RATES, traces=[FLAT]) == "learning_rate_too_high"


def test_what_only_held_out_rows_broke_in_float32_says_nothing_of_float16() -> None:
    twin = {"precision": "float32", "onset_stage": "prediction", "onset_tensor": "output"}
    assert code(LAYER, twin, axes=BOTH) == "float16_overflow"


def test_what_fails_in_float32_too_has_the_cause_it_has_there() -> None:
    for other, trace, cause in (
        ({}, RISING, "learning_rate_too_high"),
        (LAYER | {"onset_step": 1}, HIGH, "activation_unbounded"),
        ({"onset_step": 1}, FLAT, "unknown"),
    ):
        twin = other | {"precision": "float32"}
        found = judge(LAYER, twin, axes=BOTH, traces=[FLAT, trace])
        assert found is not None
        assert found.cause == cause
        assert "hidden_1 became +Inf. It fails in float32 too. There: " in found.sentence


def test_a_lower_rate_that_holds_without_float32() -> None:
    held = HELD | {"learning_rate": 0.001}
    own = LAYER | {"learning_rate": 0.1}
    assert code(own, held, axes=RATES, precision="float16") == "learning_rate_too_high"
    first = own | {"onset_step": 1}
    assert code(first, held, axes=RATES, precision="float16") == "float16_overflow"


def test_diverging_in_float16_alone_is_unknown() -> None:
    assert code(DIVERGED, HELD | {"precision": "float32"}, axes=BOTH) == "unknown"


def test_the_loss_scale() -> None:
    skipping = {
        "onset_step": 1, "onset_stage": "gradient", "onset_tensor": "head/kernel",
        "skipped_steps": 10,
    }  # fmt: skip
    scales = curve(loss_scale=4.0 * 2.0 ** -np.arange(10))
    low = skipping | {"final_loss_scale": 2.0**-8}
    assert code(low, axes=MIXED, traces=[scales]) == "loss_scale_exhausted"
    held = HELD | {"precision": "float32"}
    assert code(low, held, axes=MIXED, traces=[scales]) == "loss_scale_exhausted"
    # The twin fails by its updates; here not one was made.
    assert code(low, held | PLAIN, axes=MIXED, traces=[scales]) == "loss_scale_exhausted"
    later = low | {"onset_step": 3, "skipped_steps": 8}
    assert code(later, held | PLAIN, axes=MIXED, traces=[scales]) != "loss_scale_exhausted"
    early = skipping | {"final_loss_scale": 2.0**5}
    scales = curve(loss_scale=2.0 ** (15 - np.arange(10)))
    assert code(early, axes=MIXED, traces=[scales]) == "unknown"
    gone = skipping | {"final_loss_scale": 0.0, "onset_stage": "weight", "onset_step": 5}
    assert code(gone, axes=MIXED) == "loss_scale_exhausted"


def test_underflow_of_gradients() -> None:
    learns = HELD | {"precision": "float32"}
    lost = STALLED | {"lost_gradients": 0.5}
    assert code(lost, learns, axes=BOTH) == "float16_underflow"
    moving = curve(weight_norm=np.linspace(1, 1.1, 10))
    assert code(lost | {"lost_gradients": 0.49}, learns, axes=BOTH, traces=[moving]) is None
    assert code(lost, STALLED | {"precision": "float32"}, axes=BOTH) is None
    assert code(STALLED | {"precision": "float32"}, learns) is None


def test_updates_that_are_rounded_away() -> None:
    learns = HELD | {"precision": "float32"}
    moving = curve(weight_norm=np.linspace(1, 1.1, 10))
    assert code(STALLED, learns, axes=BOTH) == "float16_underflow"
    assert code(STALLED, learns, axes=BOTH, traces=[moving]) is None
    assert code(STALLED, axes=BOTH) == "float16_underflow"
    assert code(STALLED, axes=BOTH, optimizer="adam") is None
    assert code(STALLED, axes=BOTH, learning_rate=9e-5) is None  # 10 steps of it move 9e-4
    assert code(STALLED, axes=BOTH, learning_rate=1.1e-4) == "float16_underflow"
    assert code(STALLED, axes=BOTH, traces=[curve(grad_norm=np.zeros(10))]) is None
    assert code(STALLED, axes=MIXED) is None


def test_candidates_are_those_that_may_have_a_cause() -> None:
    rows = [PLAIN, HELD, DIVERGED, STALLED]
    table = pd.DataFrame([PLAIN | {"depth": 1, "trial_id": str(n)} | r for n, r in enumerate(rows)])
    axes = {"depth": [1]}
    assert candidates(table, axes, SETTINGS).tolist() == [True, False, True, False]
    half = SETTINGS | {"precision": "float16"}
    assert candidates(table, axes, half).tolist() == [True, False, True, True]
    assert explanations(table.iloc[[1]].reset_index(drop=True), axes, SETTINGS, {}) == {}


def test_data_that_only_float16_cannot_hold() -> None:
    own = {"onset_step": 0, "onset_stage": "input", "onset_tensor": "x0", "onset_kind": "nan"}
    assert code(own, HELD | {"precision": "float32"}, axes=BOTH) == "float16_overflow"
    assert code(own, {"precision": "float32"}, axes=BOTH) == "float16_overflow"
    assert code(own, own | {"precision": "float32"}, axes=BOTH) == "input_not_finite"
    assert code(own, axes=BOTH) == "input_not_finite"
