"""A program is traced once in the plain graph, whatever numbers its trials differ in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import pytest

from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.engines.step import TrainingStep
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often Python runs through the step and the model: once a trace."""
    counted: Counter[str] = Counter()
    step, call = TrainingStep.__call__, keras.Model.stateless_call

    def counting_step(self: TrainingStep, *args: Any) -> Any:
        counted["step"] += 1
        return step(self, *args)

    def counting_call(self: keras.Model, *args: Any, training: bool, **kwargs: Any) -> Any:
        counted["train" if training else "evaluate"] += 1
        return call(self, *args, training=training, **kwargs)

    monkeypatch.setattr(TrainingStep, "__call__", counting_step)
    monkeypatch.setattr(keras.Model, "stateless_call", counting_call)
    return counted


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_numbers_share_one_trace(lab: Any, calls: Counter[str], precision: str) -> None:
    engine, data = StackedEngine(), lab.data()
    for steps in (3, 5):
        trials = lab.trials(
            data,
            seeds=2,
            training={"precision": precision, "steps": steps},
            learning_rate=[0.01, 1.0],
            l2=[0, 0.1],
            batch_size=[4, 8, "full"],
            momentum=[0, 0.9],
            schedule=["constant", "cosine"],
        )
        assert len(trials) == 96
        lab.run(engine, trials, data)
    assert dict(calls) == {"step": 1, "train": 1, "evaluate": 1}
    assert engine.traces == 1


def test_other_data_of_the_same_shape_is_no_reason_to_trace_again(
    lab: Any, calls: Counter[str]
) -> None:
    engine = StackedEngine()
    for rows, held_out in ((24, 6), (40, 0), (17, 3)):
        data = lab.data(rows=rows, held_out=held_out)
        lab.run(engine, lab.trials(data, learning_rate=[0.1]), data)
    assert dict(calls) == {"step": 1, "train": 1, "evaluate": 1}


def test_each_program_is_traced_once_and_kept(lab: Any, calls: Counter[str]) -> None:
    engine, data = StackedEngine(), lab.data()
    shallow, deep = (lab.trials(data, model={"depth": depth}) for depth in (0, 1))
    for trials in (shallow, deep, shallow, deep):
        lab.run(engine, trials, data)
    assert dict(calls) == {"step": 2, "train": 2, "evaluate": 2}
    assert engine.traces == 2


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_one_model_is_built_for_the_initial_weights_of_a_seed_whatever_the_penalties(
    lab: Any, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    built: list[int] = []

    def counting(spec: ModelSpec, seed: int) -> keras.Model:
        built.append(seed)
        return build_model(spec, seed)

    monkeypatch.setattr("stabilitysweep.engines.stacked.build_model", counting)
    data = lab.data()
    trials = lab.trials(
        data, seeds=2, training={"precision": precision}, l1=[0, 0.01], l2=[0, 0.1, 1]
    )
    lab.run(StackedEngine(), trials, data)
    assert sorted(built) == [0, 1]
    with precision_scope(precision):
        for trial in trials:
            bare = trial.model.model_copy(update={"l1": 0.0, "l2": 0.0})
            own, shared = (
                build_model(ModelSpec(model, 3, 1, precision), trial.seed).get_weights()
                for model in (trial.model, bare)
            )
            assert [w.tobytes() for w in own] == [w.tobytes() for w in shared]
