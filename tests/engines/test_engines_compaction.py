"""Frozen trials leave their stack and nothing shows of it: a result is what it was, to the bit.

A stack in which trials fail at different steps is trained twice: as it is, and with compaction
out of work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stabilitysweep.engines import compaction, program_graph
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.types import Compiled, Outcome

RATES = (0.01, 0.05, 3.0, 10.0, 30.0, 1e2, 1e3, 1e4, 1e6, 1e8, 1e12, 1e20)
SEEDS = 4
STEPS = 60

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "momentum": ({"depth": 2}, {"momentum": 0.5}),
    "dropout and batch norm": ({"dropout": 0.4, "batch_norm": True}, {}),
    "a large kernel, L2": ({"width": 64, "depth": 2, "l2": 1e-3}, {}),
    "float16": ({}, {"precision": "float16"}),
}


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the stacks that segments are run with."""
    seen: list[int] = []
    run = program_graph.ProgramGraph._run

    def noted(graph: Any, state: Any, *others: Any) -> Any:
        seen.append(int(state.active.shape[0]))
        return run(graph, state, *others)

    monkeypatch.setattr(program_graph.ProgramGraph, "_run", noted)
    return seen


@pytest.mark.parametrize("case", CASES)
def test_a_trial_is_the_same_whether_frozen_ones_leave_or_stay(
    lab: Any,
    stacked: StackedEngine,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    case: str,
) -> None:
    model, training = CASES[case]
    data = lab.data()
    trials = lab.trials(
        data,
        seeds=SEEDS,
        model=model,
        training={"steps": STEPS, **training},
        learning_rate=RATES,
    )
    leaving = lab.run(stacked, trials, data)
    assert sizes[0] == len(trials) == 48  # whole vectors
    assert len(sizes) > 1 and sizes[-1] == 16
    assert len({result.steps_run for result in leaving}) > 3

    sizes.clear()
    monkeypatch.setattr(compaction, "fewest", lambda size, compiled: 0)
    staying = lab.run(stacked, trials, data)
    assert sizes == [48]
    for own, other in zip(leaving, staying, strict=True):
        assert not lab.differences(own, other)
    assert {Outcome.NONFINITE, Outcome.STABLE} <= {result.outcome for result in leaving}


def test_segments_and_smaller_stacks_together_lose_no_step(
    lab: Any, stacked: StackedEngine, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    data = lab.data()
    trials = lab.trials(data, seeds=SEEDS, training={"steps": STEPS}, learning_rate=RATES)
    whole = lab.run(stacked, trials, data)
    sizes.clear()
    monkeypatch.setattr(program_graph, "SEGMENT_STEPS", 7)
    cut = lab.run(stacked, trials, data)
    assert len(sizes) >= STEPS // 7
    for own, other in zip(cut, whole, strict=True):
        assert not lab.differences(own, other)


def test_a_stack_of_one_size_keeps_it_under_xla() -> None:
    assert compaction.fewest(64, Compiled.XLA) == 0
    assert compaction.fewest(64, Compiled.GRAPH) == 32
    assert compaction.fewest(48, Compiled.GRAPH) == 16
    assert compaction.fewest(16, Compiled.GRAPH) == 0
    assert compaction.fewest(8, Compiled.GRAPH) == 0


@pytest.mark.parametrize("left", [1, 15, 16, 17, 31])
def test_places_are_filled_up_to_whole_vectors_with_a_trial_that_is_still_trained(
    left: int,
) -> None:
    active = np.zeros(64, bool)
    active[np.random.default_rng(left).permutation(64)[:left]] = True
    kept = compaction.chosen(active)
    assert len(kept) == -(-left // 16) * 16
    assert kept[:left].tolist() == np.flatnonzero(active).tolist()
    assert set(kept[left:].tolist()) <= {int(kept[0])}
