"""How long stacks take, tried out on a few steps, and which way of compiling them is faster.

Notation: P trials in the stack, T steps tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.engines.program_graph import SEGMENT_STEPS
from stabilitysweep.engines.stacked import Train
from stabilitysweep.engines.verified import STEPS, TOLERANCE, VerifiedEngine, difference

_FEW, _SOME, _MANY = 2, 12, 120
"""Steps that are timed: the first time, then some, and many where some are done in no time."""

_ENOUGH_SECONDS = 0.1
"""Training that is timed takes at least this long, if there are steps enough."""

_REPETITIONS = 3

_GROWTH = 3
_MOST = 2 * SEGMENT_STEPS
"""So many times the steps are timed next, where they were done in no time; and at most so many,
whole segments. To lay out all steps of a long run would take longer than to time some."""


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
        graph: seconds a trial and step of the plain graph; the median of some repetitions.
        xla: the same under XLA.
        compiling: seconds that the first steps take longer under XLA.
        first: seconds of these, tracing and compiling included.
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
    if stack.steps <= _FEW:
        return Timing(max(first - few, 0.01), few)
    # Laid out once: a schedule of the user's own is asked for each number of steps anew.
    most = min(_MANY, stack.steps)
    train = engine.training(_of_steps(own, most), data)
    train(1)  # what laying out has changed is compiled
    for more in (min(_SOME, most), most):
        seconds = _beyond_one(train, more)
        if seconds >= _ENOUGH_SECONDS:
            break
    step = seconds / (more - 1)
    return Timing(max(first - few, 0.01), max(few - _FEW * step, 0.0) + stack.steps * step)


def time_ways(engine: VerifiedEngine, graph: Stack, xla: Stack, data: PreparedData) -> Ways:
    """Time some steps of the same trials in the plain graph and under XLA.

    A step is what many steps take longer than one, divided by how many more they are. So neither
    the weights, rates and batches of a stack, laid out before, count, nor what a call takes.

    Args:
        engine: fresh, so far as the two programs are concerned.
        graph: in the plain graph; a whole stack.
        xla: the same trials under XLA.
        data: what they are trained on.
    """
    most = min(_MOST, graph.steps)
    both = [engine.training(_of_steps(stack, most), data) for stack in (graph, xla)]
    many = min(STEPS, most)
    firsts, readings = [], []
    for train in both:
        started = time.perf_counter()
        readings.append(train(many))
        firsts.append(time.perf_counter() - started)
    tolerance = TOLERANCE[graph.program.precision]
    agree = not any(
        difference(readings[0], readings[1], tolerance, place) for place in range(len(graph.trials))
    )
    while many < most and max(_beyond_one(train, many) for train in both) < _ENOUGH_SECONDS:
        many = min(_GROWTH * many, most)
    turns = [[_beyond_one(train, many) for train in both] for _ in range(_REPETITIONS)]
    steps = max(many - 1, 1) * len(graph.trials)
    step, under_xla = (median(seconds) / steps for seconds in zip(*turns, strict=True))
    return Ways(step, under_xla, max(firsts[1] - firsts[0], 0.01), firsts[1], agree)


def _beyond_one(train: Train, steps: int) -> float:
    """The seconds that some steps take longer than one; of a single step all."""
    one = _timed(lambda: train(1)) if steps > 1 else 0.0
    return max(_timed(lambda: train(steps)) - one, 1e-6)


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
