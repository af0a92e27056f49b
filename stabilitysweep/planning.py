"""From the trials that are missing to jobs for an executor, and how long they may take.

Stacks hold trials with neighbouring learning rates. Those that fail then fail together, and
a stack in which nothing is active any more ends early.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.costs import Costs, Shape
from stabilitysweep.costs import parameters as parameters
from stabilitysweep.data import DataShape
from stabilitysweep.engines.base import LEAST_PLACES, VECTOR_LANES, Stack
from stabilitysweep.executors import Job, Training
from stabilitysweep.executors.processor import cache_share
from stabilitysweep.grid import Trial
from stabilitysweep.lineup import Lineup
from stabilitysweep.models import programs
from stabilitysweep.models.programs import Program
from stabilitysweep.types import Compiled, Verdict

_MOST_PLACES = 64

_SLOTS = {"adam": 2, "adamw": 2, "rmsprop": 1, "keras": 2}
"""Of each optimizer, as far as its name tells; of one of Keras' own as many as most have."""

_XLA_STACK_BYTES = 64 * 2**20
"""Largest working set of a stack under XLA, on any machine: last bits depend on the size there."""

_LARGE_STACK_BYTES = 2 * 2**30
"""The same of a stack that is a whole vector of trials, and no more."""


class Part(NamedTuple):
    """Trials of a job that are trained in stacks of one size, on the same data.

    Attributes:
        shape: of the stacks.
        trials: how many trials, at least one.
        places: size of the stacks.
        first: the first stack, made when it is asked for.
    """

    shape: Shape
    trials: int
    places: int
    first: Callable[[], Training]


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs and what they are expected to cost.

    Attributes:
        jobs: one a program, whichever data its trials are trained on.
        programs: number of different graphs.
        trials: number of trials in the jobs.
        seconds: expected duration of training with `workers` processes, start-up included.
        parts: of all jobs.
    """

    jobs: tuple[Job, ...]
    programs: int
    trials: int
    seconds: float
    parts: tuple[Part, ...] = ()

    @property
    def stacks(self) -> int:
        """Number of stacks in the jobs."""
        return sum(len(job.trainings) for job in self.jobs)

    @property
    def stack_bytes(self) -> int:
        """Weights, gradients and activations of the largest stack, see `working_set`."""
        sizes = (
            working_set(part.shape.program, part.shape.batch_size) * part.places
            for part in self.parts
        )
        return max(sizes, default=0)

    @property
    def under_xla(self) -> int:
        """Number of programs that are compiled by XLA."""
        each = {part.shape.program for part in self.parts}
        return sum(program.compiled is Compiled.XLA for program in each)

    def choices(self) -> dict[str, Compiled]:
        """Return how each family of its programs is compiled; see `programs.family`."""
        each = (part.shape.program for part in self.parts)
        return {programs.family(program): program.compiled for program in each}


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
    choices: Mapping[str, Compiled] | None = None,
    costs: Costs | None = None,
) -> Work:
    """Sort trials into programs, and programs into stacks.

    Args:
        trials: in the order of their grid.
        key_of: gives the key of the prepared data that a trial is trained on.
        shapes: the shape of that data, by the same key.
        compiled: plain graph or XLA.
        engine: `stacked` or `fit`.
        workers: number of processes that can work at once.
        verdicts: on programs of users' models that need no comparison any more, by digest.
        choices: what is compiled otherwise than `compiled` says, by `programs.family`.
        costs: what training takes; None is what this machine has been seen to take.
    """
    costs = costs or Costs()
    jobs: list[Job] = []
    parts: list[Part] = []
    firsts_seconds = 0.0
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
        for program, sharing in _grouped(in_turn, shape, compiled, choices or {}).items():
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
            stacks = Trainings(trials.make, program, runs, alone=alone, verify=verify)
            own_parts = list(_parts(stacks, program, runs, own_engine, verify=verify))
            tracing = max(costs.first(part.shape) for part in own_parts)
            cost = sum(costs.stacks(part.shape, part.trials) for part in own_parts)
            jobs.append(Job(stacks, cost + tracing))
            parts += own_parts
            firsts_seconds += tracing
    return Work(
        tuple(jobs),
        len(jobs),
        len(trials),
        _duration(jobs, firsts_seconds, workers, costs),
        tuple(parts),
    )


def _duration(jobs: Sequence[Job], firsts: float, workers: int, costs: Costs) -> float:
    """How long workers take: each may be the last to help with a program, and trace it again."""
    if not jobs:
        return 0.0
    stacks = sum(len(job.trainings) for job in jobs)
    at_once = max(min(workers, stacks), 1)
    again = (at_once - 1) * firsts / len(jobs)
    return costs.start + (sum(job.cost for job in jobs) + again) / at_once


def _grouped(
    trials: Iterable[Trial],
    shape: DataShape,
    compiled: Compiled,
    choices: Mapping[str, Compiled],
) -> dict[Program, list[Trial]]:
    """Sort trials on data of one shape into programs, each compiled as its family is."""
    found: dict[Program, list[Trial]] = {}
    for program, members in programs.group(trials, shape, compiled).items():
        own = choices.get(programs.family(program), compiled) if choices else compiled
        found |= {program: members} if own is compiled else programs.group(members, shape, own)
    return found


def _parts(
    stacks: Trainings, program: Program, runs: Sequence[_Run], engine: str, *, verify: bool
) -> Iterable[Part]:
    place = 0
    for run in runs:
        shape = Shape(program, engine, run.batch_size, run.steps, verify)
        yield Part(shape, len(run.numbers), run.places, partial(stacks.__getitem__, place))
        place += len(run)


def _way(program: Program, verdicts: Mapping[str, Verdict]) -> tuple[str, bool]:
    """Why a program's trials are trained one by one, if they are; whether that is to be seen."""
    if program.user is None:
        return "", False
    known = verdicts.get(programs.verdict_key(program))
    if program.user.template.alone:
        return program.user.template.alone, False
    return ("", True) if known is None else ("" if known.agrees else known.text, False)


def working_set(program: Program, batch_size: int) -> int:
    """Return about how many bytes of weights, slots and activations a trial has in a step.

    With what is made of them on the way: gradients, the step that they make, learning rates.
    """
    units = program.features + (program.model.depth + 1) * max(program.model.width, 1)
    if program.user is not None:
        units = program.features + program.user.template.units
    slots = _SLOTS.get(program.optimizer, 0)
    floats = (4 + slots) * parameters(program) + 3 * batch_size * units
    size = 8 if program.precision == "float64" else 4
    return size * floats


def places(program: Program, batch_size: int) -> int:
    """Return how many trials a stack of `program` holds.

    A power of two that keeps the stack's `working_set` within two thirds of a core's share of the
    last cache, in which there is more, and at least a whole vector of trials while that fits into
    `_LARGE_STACK_BYTES`. More trials share what it takes to begin an operation, but what is read
    again in the next one comes from memory; see `tests/benchmarks/stack_sizes.py`. In the plain
    graph the bits of a trial are the same in stacks of any number of whole vectors. Under XLA
    they are not, so that the size depends on the trial's own settings only.
    """
    size = working_set(program, batch_size)
    xla = program.compiled is Compiled.XLA
    fitting = (_XLA_STACK_BYTES if xla else cache_share() * 2 // 3) // size
    if fitting < VECTOR_LANES:
        fitting = min(_LARGE_STACK_BYTES // size, VECTOR_LANES)
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
