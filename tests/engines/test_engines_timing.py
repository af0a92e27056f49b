"""Stacks timed on a few steps, in both ways of compiling: what is told apart, and what is not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines import timing
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.engines.timing import time_stack, time_ways
from stabilitysweep.engines.verified import VerifiedEngine
from stabilitysweep.models import programs
from stabilitysweep.runner import load_sweep, missing_work
from stabilitysweep.types import Compiled


def both(steps: int = 20, **model: Any) -> tuple[Stack, Stack, PreparedData]:
    """A stack in the graph, the same under XLA, and its data."""
    config = parse_config(
        {
            "name": "timing",
            "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
            "model": {"width": 8, "depth": 1, **model},
            "training": {"steps": steps, "batch_size": 8},
            "grid": {"learning_rate": [0.001, 0.01]},
            "seeds": 8,
        }
    )
    sweep = load_sweep(config)
    work = missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="stacked", workers=1)
    ((key, graph),) = work.jobs[0].trainings
    (program,) = programs.group(graph.trials, sweep.data.shapes[key], Compiled.XLA)
    return graph, replace(graph, program=program), sweep.data[key]


@pytest.mark.parametrize(("dropout", "agree"), [(0.0, True), (0.5, False)])
def test_ways_agree_unless_a_step_draws_numbers(dropout: float, agree: bool) -> None:
    found = time_ways(VerifiedEngine(), *both(dropout=dropout))
    assert found.agree is agree
    assert 0 < found.graph < 0.01 and 0 < found.xla < 0.01
    assert 0 < found.compiling < found.first


@pytest.mark.parametrize("steps", [1, 20])
def test_a_stack_is_timed_without_its_tracing(steps: int) -> None:
    graph, _, data = both()
    update = {"steps": steps}
    trials = tuple(
        replace(trial, training=trial.training.model_copy(update=update)) for trial in graph.trials
    )
    engine = VerifiedEngine()
    found = time_stack(engine, replace(graph, trials=trials), data)
    assert 0 < found.seconds < found.first
    assert engine.traces == 1


LAID_OUT, CALLED, COMPILED = 0.01, 0.5, 3.0
STEP = {Compiled.GRAPH: 2e-3, Compiled.XLA: 1e-3}


class ClockedEngine(VerifiedEngine):
    """Trains nothing: a clock of its own says what it takes.

    To lay out a stack takes some time for each of its steps, each call takes some, the first of a
    program under XLA more, and each step what it takes in its way of compiling.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.laid_out: list[int] = []
        self.calls: dict[Compiled, int] = {}

    def clock(self) -> float:
        return self.seconds

    def prepared(self, stack: Stack, data: PreparedData) -> tuple[Any, Any]:
        self.seconds += LAID_OUT * stack.steps
        self.laid_out.append(stack.steps)
        compiled = stack.program.compiled

        def advance(inputs: Any, state: Any, start: int, stop: int) -> tuple[Any, Any]:
            count = self.calls[compiled] = self.calls.get(compiled, 0) + 1
            self.seconds += CALLED + STEP[compiled] * (stop - start)
            if count == 1 and compiled is Compiled.XLA:
                self.seconds += COMPILED
            return state, np.zeros((stop - start, len(Reading._fields), len(stack.trials)))

        return SimpleNamespace(initial_state=lambda inputs: None, advance=advance), None


@pytest.mark.parametrize("steps", [2, 20, 200, 50_000])
def test_a_step_is_timed_without_laying_out_the_stack_and_without_what_a_call_takes(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, xla, data = both(steps)
    engine = ClockedEngine()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=engine.clock))
    found = time_ways(engine, graph, xla, data)
    trials = len(graph.trials)
    assert found.graph == pytest.approx(STEP[Compiled.GRAPH] / trials)
    assert found.xla == pytest.approx(STEP[Compiled.XLA] / trials)
    few = min(3, steps)
    assert found.first == pytest.approx(CALLED + COMPILED + few * STEP[Compiled.XLA])
    assert found.compiling == pytest.approx(COMPILED - few * 1e-3)
    assert len(engine.laid_out) == 2 and max(engine.laid_out) <= 1_000


def test_a_disturbed_repetition_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, xla, data = both(50_000)
    engine = ClockedEngine()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=engine.clock))
    undisturbed = time_ways(engine, graph, xla, data)
    last = engine.calls[Compiled.GRAPH]
    engine = ClockedEngine()

    def clock() -> float:
        return engine.seconds + (60.0 if engine.calls.get(Compiled.GRAPH, 0) >= last else 0.0)

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock))
    assert time_ways(engine, graph, xla, data) == pytest.approx(undisturbed)
