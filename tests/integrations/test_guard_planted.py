"""A planted NaN is found at exactly its step, and what is put back is the last finite state."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from integrations.guarded_models import (
    EAGER,
    GRAPH,
    XLA,
    Clock,
    Snapshots,
    Way,
    finite,
    plain,
    planted,
    same,
    state,
    train,
)

from stabilitysweep.integrations.keras import NonFiniteError, StabilityGuard, StabilityWarning
from stabilitysweep.types import Kind, Stage

STAGES = {"loss": Stage.LOSS, "gradient": Stage.GRADIENT, "weight": Stage.WEIGHT}


@pytest.mark.parametrize(
    ("where", "way"),
    [
        pytest.param("loss", GRAPH, id="loss-graph"),
        pytest.param("gradient", GRAPH, id="gradient-graph"),
        pytest.param("weight", GRAPH, id="weight-graph"),
        pytest.param("loss", EAGER, id="loss-eager", marks=pytest.mark.slow),
        pytest.param("gradient", EAGER, id="gradient-eager"),
        pytest.param("weight", EAGER, id="weight-eager", marks=pytest.mark.slow),
        pytest.param("gradient", XLA, id="gradient-xla"),
        pytest.param("loss", XLA, id="loss-xla", marks=pytest.mark.slow),
        pytest.param("weight", XLA, id="weight-xla", marks=pytest.mark.slow),
    ],
)
def test_every_step_is_told_exactly_where_all_are_checked(where: str, way: Way) -> None:
    at = 13
    model, seen = planted(where, Clock(at), way), Snapshots()
    guard = StabilityGuard(1, report=None, quiet=True)
    train(model, seen, guard)
    report = guard.report
    assert report is not None and report.onset is not None
    assert (report.onset.step, report.onset.stage, report.onset.kind) == (
        at,
        STAGES[where],
        Kind.NAN,
    )
    assert report.exact and report.steps_run == at
    assert report.restored_step == at - 1
    assert finite(state(model)) and same(state(model), seen.after[at - 1])


@pytest.mark.parametrize(
    ("at", "where"),
    [
        pytest.param(3, "loss", marks=pytest.mark.slow),
        pytest.param(3, "gradient", marks=pytest.mark.slow),
        (3, "weight"),
        (13, "loss"),
        (13, "gradient"),
        (13, "weight"),
        pytest.param(20, "loss", marks=pytest.mark.slow),
        pytest.param(20, "gradient", marks=pytest.mark.slow),
        (20, "weight"),
    ],
)
def test_the_step_is_exact_also_where_weights_are_checked_now_and_then(where: str, at: int) -> None:
    model, seen = planted(where, Clock(at), GRAPH), Snapshots()
    guard = StabilityGuard(10, report=None, quiet=True)
    train(model, seen, guard)
    report = guard.report
    assert report is not None and report.onset is not None
    assert (report.onset.step, report.onset.stage) == (at, STAGES[where])
    last = {3: 2, 13: 10, 20: 10}[at]
    assert report.restored_step == last
    assert finite(state(model)) and same(state(model), seen.after[last])
    # A broken weight that is not checked is met by the loss of the step after.
    assert report.steps_run == at + (where == "weight" and at != 20)


@pytest.mark.parametrize(
    "jit", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["graph", "xla"]
)
@pytest.mark.parametrize(
    "where", [pytest.param("loss", marks=pytest.mark.slow), "gradient", "weight"]
)
def test_steps_are_exact_inside_of_an_execution_of_many(where: str, jit: bool) -> None:
    model, seen = planted(where, Clock(11), (jit, False, 4)), Snapshots()
    guard = StabilityGuard(1, report=None, quiet=True)
    train(model, seen, guard)
    report = guard.report
    assert report is not None and report.onset is not None
    assert (report.onset.step, report.onset.stage) == (11, STAGES[where])
    assert report.steps_run == 12  # it can stop after the execution, not in it
    assert report.restored_step == 8 and same(state(model), seen.after[8])
    assert "steps_per_execution" in report.resolution
    # What came after the onset has not taken the place of what was seen at it.
    shown = {moment.step: moment for moment in report.moments}
    met = shown[11 if where != "weight" else 12]
    assert met.first_bad() is not None


def test_restoring_in_the_first_step_is_to_the_start() -> None:
    model, guard = planted("loss", Clock(1), GRAPH), StabilityGuard(report=None, quiet=True)
    before = [weight.copy() for weight in model.get_weights()]
    train(model, guard)
    assert guard.report is not None and guard.report.restored_step == 0
    assert same(model.get_weights(), before)
    assert int(model.optimizer.iterations.numpy()) == 0
    assert "before step 1" in guard.report.sentence


@pytest.mark.slow
def test_restoring_the_model_alone_leaves_the_optimizer() -> None:
    model, seen = planted("gradient", Clock(13), GRAPH), Snapshots()
    guard = StabilityGuard(10, restore="model", report=None, quiet=True)
    train(model, seen, guard)
    weights = len(model.variables)
    assert same(state(model)[:weights], seen.after[10][:weights])
    assert not finite(state(model)[weights:])


def test_nothing_is_put_back_where_that_is_not_wanted() -> None:
    model = planted("gradient", Clock(13), GRAPH)
    guard = StabilityGuard(10, restore=False, report=None, quiet=True)
    train(model, guard)
    assert guard.report is not None and guard.report.restored_step is None
    assert not finite(model.get_weights())


def test_raise_says_what_happened_and_gives_the_model_back(tmp_path: Path) -> None:
    model = planted("loss", Clock(5), GRAPH)
    guard = StabilityGuard(on_nonfinite="raise", report=tmp_path / "report", quiet=True)
    with pytest.raises(NonFiniteError, match=r"At step 5 loss became NaN; .* after step 4\."):
        train(model, guard)
    assert (tmp_path / "report" / "report.json").is_file()
    assert finite(state(model))
    train(model, epochs=1)  # without it


def test_warn_goes_on_and_says_so_once() -> None:
    model = planted("loss", Clock(5), GRAPH)
    guard = StabilityGuard(on_nonfinite="warn", report=None, early=False)
    with pytest.warns(StabilityWarning, match="At step 5 loss became NaN") as told:
        train(model, guard)
    assert len(told) == 1
    assert guard.report is not None
    assert guard.report.steps_run == 24 and guard.report.restored_step is None
    assert guard.report.nan_step == 5


def test_the_report_is_strict_json_and_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = planted("gradient", Clock(13), GRAPH)
    train(model, StabilityGuard(4, report=tmp_path))
    said = capsys.readouterr().out
    assert re.search(r"At step 13 gradient \S*hidden/kernel became NaN", said)
    assert str(tmp_path / "report.txt") in said

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    found = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert found["onset"]["step"] == 13 and found["exact"] is True
    assert [step["step"] for step in found["steps"]] == [1, 2, 4, 8, 12, 13]
    assert found["steps"][-1]["first_bad"]["quantity"] == "gradient"
    assert set(found["steps"][-1]) == {
        "step", "loss", "loss_scale", "skipped", "tensors", "first_bad",
    }  # fmt: skip
    assert [row["step"] for row in found["curve"]] == list(range(1, 14))
    text = (tmp_path / "report.txt").read_text()
    assert "largest magnitude by step" in text and "<- first" in text


def test_a_training_that_stays_finite_writes_nothing(tmp_path: Path) -> None:
    guard = StabilityGuard(report=tmp_path / "report")
    train(plain(), guard)
    assert guard.report is not None and guard.report.onset is None
    assert guard.report.steps_run == 24
    assert not (tmp_path / "report").exists()


def test_weights_that_are_broken_before_the_first_step_are_told() -> None:
    model = plain()
    model.layers[0].kernel.assign(model.layers[0].kernel * float("nan"))
    guard = StabilityGuard(report=None, quiet=True)
    train(model, guard)
    assert guard.report is not None and guard.report.onset is not None
    assert (guard.report.onset.step, guard.report.onset.stage) == (0, Stage.WEIGHT)
    assert guard.report.steps_run == 1


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param(Kind.POSITIVE_INFINITY, GRAPH, id="graph"),
        pytest.param(Kind.NEGATIVE_INFINITY, XLA, id="xla", marks=pytest.mark.slow),
    ],
)
def test_a_gradient_between_two_looks_is_told_with_its_sign(kind: Kind, way: Way) -> None:
    model = planted("gradient", Clock(13, float(kind.value)), way)
    guard = StabilityGuard(report=None, quiet=True)
    train(model, guard)
    report = guard.report
    assert report is not None and report.onset is not None
    assert (report.onset.step, report.onset.stage, report.exact) == (13, Stage.GRADIENT, True)
    # The bias of the layer below adds up what came back, of one sign.
    told = {reading.step: reading.found for reading in report.curve if reading.found}
    assert {found.kind for found in told.values() if found} <= {kind, Kind.NAN}
    assert report.steps_run == 13 and report.restored_step == 8


def test_gradients_are_measured_where_a_check_is_due_and_added_up_between() -> None:
    guard = StabilityGuard(10, report=None, quiet=True)
    train(plain(), guard)
    report = guard.report
    assert report is not None and report.steps_run == 24
    measured = [reading.step for reading in report.curve if reading.gradient_norm is not None]
    assert measured == [1, 2, 4, 8, 10, 20]
    assert all(reading.gradient_norm for reading in report.curve if reading.step in measured)
    shown = [moment.step for moment in report.moments if len(moment.tensors) > 8]
    assert set(shown) <= {*measured, 24}
