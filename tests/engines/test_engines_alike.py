"""Trials that begin alike share their beginning, and nothing shows of it.

A stack is trained as it is, and with every trial laid out and evaluated by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabilitysweep.engines import alike
from stabilitysweep.engines.evaluation import Evaluation, Evaluator
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.types import Compiled, TrialResult

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], Compiled]] = {
    "momentum": ({"depth": 2}, {"momentum": 0.5}, Compiled.GRAPH),
    "dropout and batch norm": ({"dropout": 0.4, "batch_norm": True}, {}, Compiled.GRAPH),
    "Adam, a large kernel": ({"width": 64, "depth": 2}, {"optimizer": "adam"}, Compiled.GRAPH),
    "float16": ({}, {"precision": "float16"}, Compiled.GRAPH),
    "float64": ({}, {"precision": "float64"}, Compiled.GRAPH),
    # Kernels of more entries than are added up at once, that are no whole vectors.
    "large kernels": ({"width": 97, "depth": 2, "activation": "tanh"}, {}, Compiled.GRAPH),
    "large kernels in float16": (
        {"width": 50, "depth": 2},
        {"precision": "float16"},
        Compiled.GRAPH,
    ),
    "XLA": ({}, {}, Compiled.XLA),
}


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many places each evaluation had."""
    seen: list[int] = []
    own = Evaluator.__call__

    def noted(evaluator: Evaluator, weights: Any, *others: Any) -> Evaluation:
        seen.append(len(weights[0]))
        return own(evaluator, weights, *others)

    monkeypatch.setattr(Evaluator, "__call__", noted)
    return seen


def by_themselves(keys: list[Any]) -> alike.Alike:
    """Each trial stands for itself."""
    each = np.arange(len(keys))
    return alike.Alike(each, each, tuple(keys))


LONG = ("Adam, a large kernel", "float64", "XLA")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case in LONG else case for case in CASES],
)
def test_a_trial_is_the_same_whether_others_begin_like_it_or_not(
    lab: Any, monkeypatch: pytest.MonkeyPatch, evaluated: list[int], case: str
) -> None:
    model, training, compiled = CASES[case]
    engine, data = StackedEngine(), lab.data()
    trials = lab.trials(
        data,
        seeds=2,
        model=model,
        training={"steps": 6, **training},
        learning_rate=[1e-3, 0.1, 10.0, 1e6],
        l1=[1e-4, 0.1],
        l2=[1e-3, 1e-2, 1.0],
    )
    shared = lab.run(engine, trials, data, compiled, places=48)
    assert evaluated == [16, 48, 48]  # 12 that differ, filled up to a whole vector
    assert len({result.initial_loss for result in shared}) == 12

    evaluated.clear()
    monkeypatch.setattr(alike, "find", by_themselves)
    alone = lab.run(engine, trials, data, compiled, places=48)
    assert evaluated == [48, 48, 48]
    for own, other in zip(shared, alone, strict=True):
        assert not lab.differences(own, other)


def test_stacks_that_begin_like_the_one_before_are_not_evaluated_again(
    lab: Any, evaluated: list[int]
) -> None:
    engine, data, other_data = StackedEngine(), lab.data(), lab.data(rows=20)

    def trials(rates: list[float], seeds: Any = 4) -> Any:
        return lab.trials(data, seeds=seeds, training={"steps": 3}, learning_rate=rates)

    def places_before(*arguments: Any) -> tuple[list[int], list[TrialResult]]:
        evaluated.clear()
        results = lab.run(engine, *arguments)
        return evaluated[:-2], results

    first = trials([0.01 * number for number in range(1, 9)])
    more = trials([0.5 + 0.01 * number for number in range(1, 9)])
    before, results = places_before(first, data)
    assert before == [16]
    before, others = places_before(more, data)
    assert before == []
    for own, other in zip(results, others, strict=True):
        assert own.initial_loss == other.initial_loss and own.final_loss != other.final_loss
    for own, other in zip(others, lab.run(StackedEngine(), more, data), strict=True):
        assert not lab.differences(own, other)
    # Other rows, and other seeds, begin otherwise; and so does what comes back after them.
    before, others = places_before(more, other_data)
    assert before == [16]
    assert all(a.initial_loss != b.initial_loss for a, b in zip(results, others, strict=True))
    seeds = {"from": 4, "num": 4}
    before, others = places_before(trials([0.01 * n for n in range(1, 9)], seeds), data)
    assert before == [16]
    assert all(a.initial_loss != b.initial_loss for a, b in zip(results, others, strict=True))
    before, again = places_before(first, data)
    assert before == [16]
    for own, other in zip(results, again, strict=True):
        assert not lab.differences(own, other)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.1])), min_size=1, max_size=80))
def test_each_trial_finds_one_that_is_alike(keys: list[tuple[int, float]]) -> None:
    found = alike.find(keys)
    first, of = found.first, found.of
    assert len(of) == len(keys)
    assert [keys[place] for place in first] == list(found.keys)
    assert [found.keys[place] for place in of] == keys
    if len(first) < len(keys):
        assert len(first) % 16 == len(keys) % 16 == 0
        assert len(first) - len(set(keys)) < 16
        # The same kinds in another order, or more often, are laid out alike.
        assert alike.find(keys[::-1]).keys == alike.find(keys * 2).keys == found.keys
    else:
        assert first.tolist() == of.tolist() == list(range(len(keys)))
