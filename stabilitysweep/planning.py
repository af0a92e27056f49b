"""From the trials that are missing to jobs for an executor, and how long they may take.

Stacks hold trials with neighbouring learning rates. Those that fail then fail together, and
a stack in which nothing is active any more ends early.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data import DataShape
from stabilitysweep.engines.base import LEAST_PLACES, VECTOR_LANES, Stack
from stabilitysweep.executors import Job, Training
from stabilitysweep.grid import Trial
from stabilitysweep.lineup import Lineup
from stabilitysweep.models import programs
from stabilitysweep.models.programs import Program
from stabilitysweep.types import Compiled, Verdict

_MOST_PLACES = 64
_STACK_BYTES = 64 * 2**20
"""Largest working set of a stack. More trials share the overhead of an operation: on two
cores with 1 MiB L2 each, 64 trials of 37 MiB were 1.2 times faster than 32, and 1.8 times
faster than 8 in half precision; 128 were no faster than 64, and end early more seldom."""

_LARGE_STACK_BYTES = 2 * 2**30

# Seconds, measured on two AVX-512 cores with the plain graph; only `check` relies on them.
_START_SECONDS = 9.0
_TRACE_SECONDS, _TRACE_SECONDS_PER_LAYER = 0.5, 0.12
_STEP_OVERHEAD = 2e-6
_FLOPS = 28e9
_PRECISION_FACTOR = {"mixed_float16": 1.5, "float16": 1.3, "mixed_bfloat16": 1.3, "float64": 3.0}
_FIT_SECONDS, _FIT_STEP_SECONDS = 1.5, 0.004
_VERIFY_SECONDS = 1.5
_FLOPS_A_UNIT = 1_000.0


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs and what they are expected to cost.

    Attributes:
        jobs: one a program, whichever data its trials are trained on.
        programs: number of different graphs.
        trials: number of trials in the jobs.
        seconds: expected duration of training with `workers` processes, start-up included.
    """

    jobs: tuple[Job, ...]
    programs: int
    trials: int
    seconds: float

    @property
    def stacks(self) -> int:
        """Number of stacks in the jobs."""
        return sum(len(job.trainings) for job in self.jobs)


class _Run(NamedTuple):
    """Trials that are trained in stacks of one size, one after another.

    Attributes:
        data: key of the prepared data.
        numbers: int64, at least one: theirs, in the order in which stacks take them.
        batch_size: rows a step.
        steps: optimizer steps.
        places: size of the stacks.
    """

    data: str
    numbers: NDArray[np.int64]
    batch_size: int
    steps: int
    places: int

    def __len__(self) -> int:
        """Number of stacks."""
        return -(-len(self.numbers) // self.places)


class Trainings(Sequence[Training]):
    """The stacks of one program, made when they are asked for and never kept.

    Until then a million trials are an array of their numbers.
    """

    def __init__(
        self,
        make: Callable[[Iterable[int]], tuple[Trial, ...]],
        program: Program,
        runs: Sequence[_Run],
        *,
        alone: str = "",
        verify: bool = False,
    ) -> None:
        """Lay out the stacks.

        Args:
            make: makes trials of their numbers.
            program: the graph that they share.
            runs: at least one.
            alone: see `Stack`.
            verify: see `Stack`.
        """
        self._make, self._program, self._runs = make, program, runs
        self._alone, self._verify = alone, verify
        self._ends = list(accumulate(map(len, runs)))

    def __len__(self) -> int:
        return self._ends[-1]

    @overload
    def __getitem__(self, place: int) -> Training: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Training]: ...

    def __getitem__(self, place: int | slice) -> Training | Sequence[Training]:
        if isinstance(place, slice):
            return tuple(map(self._training, range(len(self))[place]))
        return self._training(range(len(self))[place])

    def _training(self, place: int) -> Training:
        at = bisect_right(self._ends, place)
        run = self._runs[at]
        start = (place - (self._ends[at] - len(run))) * run.places
        trials = self._make(run.numbers[start : start + run.places].tolist())
        stack = Stack(self._program, trials, run.places, self._alone, self._verify)
        return Training(run.data, stack)


def plan_work(
    trials: Lineup,
    key_of: Callable[[Trial], str],
    shapes: Mapping[str, DataShape],
    *,
    compiled: Compiled,
    engine: str,
    workers: int,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Work:
    """Sort trials into programs, and programs into stacks.

    Args:
        trials: in the order of their grid.
        key_of: gives the key of the prepared data that a trial is trained on.
        shapes: the shape of that data, by the same key.
        compiled: plain graph or XLA.
        engine: `stacked` or `fit`.
        workers: number of processes.
        verdicts: on programs of users' models that need no comparison any more, by digest.
    """
    jobs: list[Job] = []
    firsts, places_of = trials.first_of_kinds()
    members = {first.trial_id: own for first, own in zip(firsts, places_of, strict=True)}
    keys = {first.trial_id: key_of(first) for first in firsts}
    alike: dict[DataShape, dict[str, list[Trial]]] = {}
    for first in firsts:
        key = keys[first.trial_id]
        alike.setdefault(shapes[key], {}).setdefault(key, []).append(first)
    for shape, by_key in alike.items():
        # All that shapes a graph is the same for the trials of a kind: the first stands for it.
        in_turn = (first for own in by_key.values() for first in own)
        for program, sharing in programs.group(in_turn, shape, compiled).items():
            alone, verify = _way(program, verdicts or {})
            own_engine = "fit" if alone else engine
            by_data: dict[str, list[Trial]] = {}
            for first in sharing:
                by_data.setdefault(keys[first.trial_id], []).append(first)
            runs = [
                run
                for key, own in by_data.items()
                for run in _runs(program, key, trials, own, members, own_engine)
            ]
            cost = sum(_run_seconds(program, run, own_engine) for run in runs)
            stacks = Trainings(trials.make, program, runs, alone=alone, verify=verify)
            jobs.append(Job(stacks, cost + _trace_seconds(program, own_engine)))
    seconds = sum(job.cost for job in jobs)
    total = _START_SECONDS + seconds / max(workers, 1) if jobs else 0.0
    return Work(tuple(jobs), len(jobs), len(trials), total)


def _way(program: Program, verdicts: Mapping[str, Verdict]) -> tuple[str, bool]:
    """Why a program's trials are trained one by one, if they are; whether that is to be seen."""
    if program.user is None:
        return "", False
    known = verdicts.get(programs.verdict_key(program))
    if program.user.template.alone:
        return program.user.template.alone, False
    return ("", True) if known is None else ("" if known.agrees else known.text, False)


def parameters(program: Program) -> int:
    """Return the number of weights."""
    if program.user is not None:
        return program.user.template.parameters
    model = program.model
    if model.depth == 0:
        return (program.features + 1) * program.outputs
    first = (program.features + 1) * model.width
    between = (model.depth - 1) * (model.width + 1) * model.width
    return first + between + (model.width + 1) * program.outputs


def places(program: Program, batch_size: int) -> int:
    """Return how many trials a stack of `program` holds.

    A power of two that keeps weights, gradients and activations of the stack within
    `_STACK_BYTES`, and at least a whole vector of trials while that fits into
    `_LARGE_STACK_BYTES`. It depends on the trial's own settings only, never on the rest of the
    grid: under XLA a trial's last bits depend on the size of its stack.
    """
    units = program.features + (program.model.depth + 1) * max(program.model.width, 1)
    if program.user is not None:
        units = program.features + program.user.template.units
    floats = 4 * parameters(program) + 3 * batch_size * units
    size = 8 if program.precision == "float64" else 4
    fitting = _STACK_BYTES // (size * floats)
    if fitting < VECTOR_LANES:
        fitting = min(_LARGE_STACK_BYTES // (size * floats), VECTOR_LANES)
    chosen = 1 if program.user is None else LEAST_PLACES
    while chosen * 2 <= min(fitting, _MOST_PLACES):
        chosen *= 2
    return chosen


def _runs(
    program: Program,
    key: str,
    trials: Lineup,
    firsts: Sequence[Trial],
    members: Mapping[str, NDArray[np.int64]],
    engine: str,
) -> Iterable[_Run]:
    """The stacks of a program on the same data, by batch size and steps, then learning rate."""
    shapes: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for first in firsts:
        shape = (int(first.training.batch_size), int(first.training.steps or 0))
        shapes.setdefault(shape, []).append(members[first.trial_id])
    for (batch_size, steps), parts in sorted(shapes.items(), key=lambda item: item[0]):
        own = np.sort(np.concatenate(parts))
        own = own[np.argsort(trials.rates[own], kind="stable")]
        # The fit engine trains one by one: what it has finished need not wait for others.
        size = 1 if engine == "fit" else places(program, batch_size)
        yield _Run(key, trials.numbers[own], batch_size, steps, size)


def _run_seconds(program: Program, run: _Run, engine: str) -> float:
    whole, rest = divmod(len(run.numbers), run.places)
    seconds = whole * _stack_seconds(program, run.places, run.batch_size, run.steps, engine)
    if rest:
        seconds += _stack_seconds(program, rest, run.batch_size, run.steps, engine)
    return seconds


def _stack_seconds(
    program: Program, trials: int, batch_size: int, steps: int, engine: str
) -> float:
    if engine == "fit":
        return trials * (_FIT_SECONDS + steps * _FIT_STEP_SECONDS)
    flops = 6.0 * parameters(program) * batch_size
    if program.user is not None:  # weights of convolutions are used many times
        flops = max(flops, _FLOPS_A_UNIT * program.user.template.units * batch_size)
    factor = _PRECISION_FACTOR.get(program.precision, 1.0)
    return trials * steps * (_STEP_OVERHEAD + factor * flops / _FLOPS)


def _trace_seconds(program: Program, engine: str) -> float:
    if engine == "fit":
        return 0.0
    if program.user is not None:
        layers = len(program.user.template.layers)
        return _VERIFY_SECONDS + 2 * (_TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * layers)
    return _TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * program.model.depth
