"""How long stacks take, tried out on a few steps, and which way of compiling them is faster.

Notation: P trials in the stack, T steps tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.engines.verified import STEPS, TOLERANCE, VerifiedEngine, difference
from stabilitysweep.models.builder import precision_scope

_FEW, _SOME, _MANY = 2, 12, 120
"""Steps that are timed: the first time, then some, and many where some are done in no time."""

_ENOUGH_SECONDS = 0.1
"""Training that is timed takes at least this long, if there are steps enough."""

_REPETITIONS = 3


class Timing(NamedTuple):
    """What a stack takes one worker.

    Attributes:
        first: seconds of comparing, tracing and compiling, beyond those of a later stack.
        seconds: of the whole stack, traced already, if none of its trials breaks; below 0 if
            its trials are to be trained one by one.
    """

    first: float
    seconds: float


class Ways(NamedTuple):
    """The two ways of compiling a program, in the same process in turns.

    Attributes:
        graph: seconds a trial and step of the plain graph; the least of some repetitions.
        xla: the same under XLA.
        compiling: seconds that the first call takes longer under XLA.
        first: seconds of that call.
        agree: whether the first steps have the same losses and norms, but for rounding.
    """

    graph: float
    xla: float
    compiling: float
    first: float
    agree: bool


def time_stack(engine: VerifiedEngine, stack: Stack, data: PreparedData) -> Timing:
    """Time a stack: a few of its steps, and what it takes whatever their number.

    Args:
        engine: fresh, so far as the stack's program is concerned.
        stack: a whole one.
        data: what it is trained on.
    """
    started = time.perf_counter()
    if stack.verify and not engine.compare(stack, data).agrees:
        return Timing(time.perf_counter() - started, -1.0)
    own = replace(stack, verify=False)
    engine.run(_of_steps(own, _FEW), data)
    first = time.perf_counter() - started
    few = _timed(lambda: engine.run(_of_steps(own, _FEW), data))
    for steps in (_SOME, _MANY):
        more = min(steps, stack.steps)
        if more <= _FEW:
            return Timing(max(first - few, 0.01), few)
        some = _timed(lambda more=more: engine.run(_of_steps(own, more), data))  # type: ignore[misc]
        if some - few >= _ENOUGH_SECONDS:
            break
    step = max(some - few, 1e-6) / (more - _FEW)
    return Timing(max(first - few, 0.01), max(few - _FEW * step, 0.0) + stack.steps * step)


def time_ways(engine: VerifiedEngine, graph: Stack, xla: Stack, data: PreparedData) -> Ways:
    """Time some steps of the same trials in the plain graph and under XLA.

    Args:
        engine: fresh, so far as the two programs are concerned.
        graph: in the plain graph; a whole stack.
        xla: the same trials under XLA.
        data: what they are trained on.
    """
    both = graph, xla
    steps = min(STEPS, graph.steps)
    firsts, readings = [], []
    for stack in both:
        started = time.perf_counter()
        readings.append(_advanced(engine, stack, data, steps))
        firsts.append(time.perf_counter() - started)
    tolerance = TOLERANCE[graph.program.precision]
    agree = not any(
        difference(readings[0], readings[1], tolerance, place) for place in range(len(graph.trials))
    )
    few = max(_timed(lambda: _advanced(engine, graph, data, steps)) / steps, 1e-6)
    steps = min(graph.steps, max(steps, int(2 * _ENOUGH_SECONDS / few)))
    least = [np.inf, np.inf]
    for _ in range(_REPETITIONS):
        for way, stack in enumerate(both):
            took = _timed(lambda stack=stack: _advanced(engine, stack, data, steps))  # type: ignore[misc]
            least[way] = min(least[way], took / (steps * len(stack.trials)))
    compiling = max(firsts[1] - firsts[0], 0.01)
    return Ways(float(least[0]), float(least[1]), compiling, firsts[1], agree)


def _advanced(engine: VerifiedEngine, stack: Stack, data: PreparedData, steps: int) -> Reading:
    with precision_scope(stack.program.precision):
        graph, inputs = engine.prepared(stack, data)
        _, readings = graph.advance(inputs, graph.initial_state(inputs), 0, steps)
        return Reading(*np.moveaxis(readings, 1, 0))


def _of_steps(stack: Stack, steps: int) -> Stack:
    own = min(steps, stack.steps)
    trials = tuple(
        replace(trial, training=trial.training.model_copy(update={"steps": own}))
        for trial in stack.trials
    )
    return replace(stack, trials=trials)


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
