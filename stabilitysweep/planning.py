"""From the trials that are missing to jobs for an executor, and how long they may take.

Stacks hold trials with neighbouring learning rates. Those that fail then fail together, and
a stack in which nothing is active any more ends early.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, groupby

from stabilitysweep.data import DataShape
from stabilitysweep.engines.base import LEAST_PLACES, VECTOR_LANES, Stack
from stabilitysweep.executors import Job, Training
from stabilitysweep.grid import Trial
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
        return sum(len(job.stacks) for job in self.jobs)


def plan_work(
    trials: Mapping[str, Iterable[Trial]],
    shapes: Mapping[str, DataShape],
    *,
    compiled: Compiled,
    engine: str,
    workers: int,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Work:
    """Sort trials into programs, and programs into stacks.

    Args:
        trials: by the key of the prepared data they train on.
        shapes: the shape of that data, by the same key.
        compiled: plain graph or XLA.
        engine: `stacked` or `fit`.
        workers: number of processes.
        verdicts: on programs of users' models that need no comparison any more, by digest.
    """
    jobs: list[Job] = []
    alike: dict[DataShape, list[str]] = {}
    for key in trials:
        alike.setdefault(shapes[key], []).append(key)
    for shape, keys in alike.items():
        members = {key: list(trials[key]) for key in keys}
        key_of = {trial.trial_id: key for key, own in members.items() for trial in own}
        groups = programs.group(chain.from_iterable(members.values()), shape, compiled)
        for program, sharing in groups.items():
            alone, verify = _way(program, verdicts or {})
            own_engine = "fit" if alone else engine
            trainings = tuple(
                Training(key, replace(stack, alone=alone, verify=verify))
                for key, stack in _trainings(program, sharing, key_of, own_engine)
            )
            cost = sum(_stack_seconds(training.stack, own_engine) for training in trainings)
            jobs.append(Job(trainings, cost + _trace_seconds(program, own_engine)))
    seconds = sum(job.cost for job in jobs)
    count = sum(len(stack.trials) for job in jobs for stack in job.stacks)
    total = _START_SECONDS + seconds / max(workers, 1) if jobs else 0.0
    return Work(tuple(jobs), len(jobs), count, total)


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


def _trainings(
    program: Program, trials: list[Trial], key_of: Mapping[str, str], engine: str
) -> Iterable[tuple[str, Stack]]:
    """The stacks of a program with their data, those on the same data one after another."""
    by_data: dict[str, list[Trial]] = {}
    for trial in trials:
        by_data.setdefault(key_of[trial.trial_id], []).append(trial)
    for key, members in by_data.items():
        for stack in _stacks(program, members, engine):
            yield key, stack


def _stacks(program: Program, trials: list[Trial], engine: str) -> Iterable[Stack]:
    def shape(trial: Trial) -> tuple[int, int]:
        return int(trial.training.batch_size), int(trial.training.steps or 0)

    ordered = sorted(trials, key=lambda trial: (*shape(trial), trial.training.learning_rate))
    for (batch_size, _), alike in groupby(ordered, key=shape):
        members = list(alike)
        # The fit engine trains one by one: what it has finished need not wait for others.
        size = 1 if engine == "fit" else places(program, batch_size)
        for start in range(0, len(members), size):
            yield Stack(program, tuple(members[start : start + size]), size)


def _stack_seconds(stack: Stack, engine: str) -> float:
    trials = len(stack.trials)
    if engine == "fit":
        return trials * (_FIT_SECONDS + stack.steps * _FIT_STEP_SECONDS)
    flops = 6.0 * parameters(stack.program) * stack.batch_size
    if stack.program.user is not None:  # weights of convolutions are used many times
        flops = max(flops, _FLOPS_A_UNIT * stack.program.user.template.units * stack.batch_size)
    factor = _PRECISION_FACTOR.get(stack.program.precision, 1.0)
    return trials * stack.steps * (_STEP_OVERHEAD + factor * flops / _FLOPS)


def _trace_seconds(program: Program, engine: str) -> float:
    if engine == "fit":
        return 0.0
    if program.user is not None:
        layers = len(program.user.template.layers)
        return _VERIFY_SECONDS + 2 * (_TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * layers)
    return _TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * program.model.depth
