"""From readings to verdicts: onset, skip streaks, first NaN, thresholds, thinned curves.

Notation: T steps recorded, counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.numerics import outcomes
from stabilitysweep.numerics.outcomes import History, Thresholds
from stabilitysweep.types import Kind, Onset, Outcome, Stage

LAW = settings(derandomize=True, deadline=None, max_examples=200)
TABLE = [
    (Stage.ACTIVATION, "hidden_1"),
    (Stage.LOSS, "loss"),
    (Stage.GRADIENT, "hidden_1/kernel"),
    (Stage.WEIGHT, "hidden_1/kernel"),
]


def history(
    probe: Sequence[int] = (),
    skipped: Sequence[bool] = (),
    loss: Sequence[float] | None = None,
    kind: Kind = Kind.POSITIVE_INFINITY,
) -> History:
    total = max(len(probe), len(loss or ()))
    probes = np.array([*probe] + [-1] * (total - len(probe)), np.int64)
    losses = np.array(loss if loss is not None else np.linspace(1, 2, total), np.float64)
    return History(
        loss=losses,
        grad_norm=losses * 2,
        weight_norm=losses * 3,
        max_activation=losses * 4,
        loss_scale=np.ones(total),
        skipped=np.array([*skipped] + [False] * (total - len(skipped)), bool),
        headroom=np.arange(total, 0, -1.0),
        zero_gradients=np.linspace(0, 1, total),
        probe=probes,
        kind=[kind if index >= 0 else None for index in probes],
    )


# Each step: trained and finite, trained with a bad probe, or skipped (its gradient is bad).
STEPS = st.lists(st.sampled_from(["fine", "bad", "skip"]), max_size=30)


def of_steps(steps: list[str]) -> History:
    index = {"fine": -1, "bad": 1, "skip": 2}
    return history([index[step] for step in steps], [step == "skip" for step in steps])


@LAW
@given(STEPS)
def test_onset_is_the_first_bad_step_that_was_trained_or_the_last_streak(steps: list[str]) -> None:
    onset = outcomes.find_onset(of_steps(steps), TABLE)
    if "bad" in steps:
        assert onset == Onset(steps.index("bad") + 1, Stage.LOSS, "loss", Kind.POSITIVE_INFINITY)
    elif steps and steps[-1] == "skip":
        streak = len("".join(step[0] for step in steps)) - len(
            "".join(step[0] for step in steps).rstrip("s")
        )
        assert onset == Onset(
            len(steps) - streak + 1, Stage.GRADIENT, "hidden_1/kernel", Kind.POSITIVE_INFINITY
        )
    else:
        assert onset is None


@pytest.mark.parametrize(
    ("steps", "step"),
    [
        ("ssff", None),  # the usual skips at the start
        ("ffsff", None),
        ("ssss", 1),  # never trained
        ("ssfss", 4),
        ("fs", 2),
        ("ssfb", 4),
        ("sbss", 2),  # what was trained comes first
        ("", None),
    ],
)
def test_skips_are_an_onset_only_if_they_last_to_the_end(steps: str, step: int | None) -> None:
    onset = outcomes.find_onset(
        of_steps([{"s": "skip", "f": "fine", "b": "bad"}[letter] for letter in steps]), TABLE
    )
    assert (onset.step if onset else None) == step


def test_onset_takes_the_probe_and_kind_of_its_own_step() -> None:
    found = outcomes.find_onset(history([-1, 3, 1], kind=Kind.NAN), TABLE)
    assert found == Onset(2, Stage.WEIGHT, "hidden_1/kernel", Kind.NAN)


@LAW
@given(st.lists(st.sampled_from([1.0, math.inf, -math.inf, math.nan]), max_size=12))
def test_first_nan_counts_from_one_and_ignores_infinities(losses: list[float]) -> None:
    expected = next((step for step, loss in enumerate(losses, 1) if math.isnan(loss)), None)
    assert outcomes.first_nan(history(loss=losses)) == expected


@LAW
@given(st.lists(st.sampled_from([2.5, -1.0, math.inf, -math.inf, math.nan]), max_size=8))
def test_best_loss_and_peak_look_at_finite_values_alone(losses: list[float]) -> None:
    finite = [value for value in losses if math.isfinite(value)]
    best = outcomes.best_loss(history(loss=losses))
    peak = outcomes.peak(np.array(losses, np.float64))
    if finite:
        assert (best, peak) == (min(finite), max(finite))
    else:
        assert math.isnan(best) and math.isnan(peak)


@pytest.mark.parametrize("initial", [1.0, 100.0, 2.0**20, 2.0**-20])
def test_the_thresholds_themselves_are_stalled(initial: float) -> None:
    assert outcomes.judge(None, initial, 0.99 * initial) is Outcome.STALLED
    assert outcomes.judge(None, initial, 1.01 * initial) is Outcome.STALLED
    assert outcomes.judge(None, initial, np.nextafter(0.99, 0) * initial) is Outcome.STABLE
    assert outcomes.judge(None, initial, np.nextafter(1.01, 2) * initial) is Outcome.DIVERGED


def test_the_thresholds_themselves_are_stalled_for_losses_that_are_no_power_of_two() -> None:
    found = {
        (initial, factor): outcomes.judge(None, initial, factor * initial)
        for initial in (3.0, 7.0, 0.3)
        for factor in (0.99, 1.01)
    }
    assert set(found.values()) == {Outcome.STALLED}


@LAW
@given(
    st.floats(1e-30, 1e30),
    st.floats(0, 3).filter(lambda r: min(abs(r - 0.99), abs(r - 1.01)) > 1e-9),
)
def test_outcome_follows_the_ratio_of_final_to_initial(initial: float, ratio: float) -> None:
    expected = (
        Outcome.STABLE if ratio < 0.99 else Outcome.DIVERGED if ratio > 1.01 else Outcome.STALLED
    )
    assert outcomes.judge(None, initial, initial * ratio) is expected


@LAW
@given(st.floats(-1e30, -1e-30), st.floats(-0.5, 0.5))
def test_a_negative_loss_is_judged_by_its_change(initial: float, change: float) -> None:
    final = initial + change * abs(initial)
    expected = (
        Outcome.STABLE
        if change < -0.01001
        else Outcome.DIVERGED
        if change > 0.01001
        else Outcome.STALLED
        if abs(change) < 0.00999
        else None
    )
    if expected:
        assert outcomes.judge(None, initial, final) is expected


def test_a_loss_that_starts_at_zero() -> None:
    assert outcomes.judge(None, 0.0, 0.0) is Outcome.STALLED
    assert outcomes.judge(None, 0.0, 1e-9) is Outcome.DIVERGED


def test_an_onset_outweighs_any_loss() -> None:
    onset = Onset(1, Stage.LOSS, "loss", Kind.NAN)
    assert outcomes.judge(onset, 1.0, 0.1) is Outcome.NONFINITE


def test_other_thresholds_can_be_asked_for() -> None:
    wide = Thresholds(stable_below=0.5, diverged_above=2.0)
    assert outcomes.judge(None, 1.0, 0.6, wide) is Outcome.STALLED
    assert outcomes.judge(None, 1.0, 0.4, wide) is Outcome.STABLE
    assert outcomes.judge(None, 1.0, 2.5, wide) is Outcome.DIVERGED


def test_losses_and_predictions_after_training_can_be_the_onset() -> None:
    met = Onset(9, Stage.PREDICTION, "output", Kind.NAN)
    assert outcomes.final_onset(1.0, 0.5, None, 9) is None
    assert outcomes.final_onset(1.0, 0.5, met, 9) == met
    assert outcomes.final_onset(1.0, -math.inf, met, 9) == Onset(
        9, Stage.LOSS, "loss", Kind.NEGATIVE_INFINITY
    )
    assert outcomes.final_onset(math.nan, math.inf, met, 9) == Onset(
        1, Stage.LOSS, "loss", Kind.NAN
    )


def test_kinds_of_values() -> None:
    assert outcomes.kind_of(math.nan) is Kind.NAN
    assert outcomes.kind_of(math.inf) is Kind.POSITIVE_INFINITY
    assert outcomes.kind_of(-math.inf) is Kind.NEGATIVE_INFINITY
    with pytest.raises(ValueError, match=r"expected NaN or an infinity, got 1\.0"):
        outcomes.kind_of(1.0)


@LAW
@given(st.integers(1, 3_000), st.data())
def test_thin_keeps_the_ends_the_onset_and_the_first_nan(total: int, data: st.DataObject) -> None:
    step = data.draw(st.none() | st.integers(1, total))
    nan = data.draw(st.none() | st.integers(1, total))
    losses = np.arange(1.0, total + 1)
    if nan:
        losses[nan - 1 :] = math.nan
    full = history([-1] * total, loss=list(losses))
    onset = Onset(step, Stage.LOSS, "loss", Kind.NAN) if step else None
    trace = outcomes.thin(full, onset)

    steps = trace.steps.tolist()
    assert trace.steps.dtype == np.int32
    assert steps == sorted(set(steps)) and steps[0] == 1 and steps[-1] == total
    for centre in filter(None, (step, nan)):
        around = {centre + offset for offset in range(-4, 3)}
        assert {place for place in around if 1 <= place <= total} <= set(steps)
    assert len(steps) <= outcomes.TRACE_POINTS + 14
    if total <= outcomes.TRACE_POINTS // 4:
        assert steps == list(range(1, total + 1))
    index = trace.steps - 1
    for name in ("loss", "grad_norm", "weight_norm", "max_activation", "loss_scale"):
        curve = getattr(trace, name)
        assert curve.dtype == np.float32
        np.testing.assert_array_equal(curve, getattr(full, name)[index].astype(np.float32))


def test_thin_of_a_float64_loss_beyond_float32_is_infinite_without_a_warning() -> None:
    trace = outcomes.thin(history(loss=[1.0, 1e300, math.nan]), None)
    np.testing.assert_array_equal(trace.loss, np.float32([1.0, np.inf, np.nan]))


@LAW
@given(STEPS, st.integers(1, 30) | st.none())
def test_headroom_and_zeros_are_of_applied_steps_before_the_onset(
    steps: list[str], onset_step: int | None
) -> None:
    own = of_steps(steps)
    onset = Onset(onset_step, Stage.LOSS, "loss", Kind.NAN) if onset_step else None
    kept = [
        place
        for place, step in enumerate(steps)
        if step != "skip" and (onset_step is None or place + 1 < onset_step)
    ]
    if not kept:
        assert outcomes.headroom_bits(own, onset) is None
    else:
        assert outcomes.headroom_bits(own, onset) == own.headroom[kept].min()
    marked = outcomes.sampled_steps(60)
    counted = [place for place in kept if marked[place]]
    found = outcomes.zero_gradients(own, onset, 60)
    if not counted:
        assert found is None
    else:
        assert found == pytest.approx(own.zero_gradients[counted].mean())


@pytest.mark.parametrize("steps", [1, 2, 16, 100, 5_000])
def test_zeros_are_counted_in_the_first_and_last_step_and_few_between(steps: int) -> None:
    marked = outcomes.sampled_steps(steps)
    assert len(marked) == steps and marked[0] and marked[-1]
    assert marked.sum() <= min(steps, 16)
