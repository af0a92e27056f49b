"""What training costs: a formula, and by how much this machine has been seen to differ from it.

The formula was made on one machine, of the size of a model alone. What is known better is a ratio
to it, by kind, from the program itself up to all programs of a model's name: the most special one
that was measured counts. Ratios come from the runs that the machine has made, stack by stack, and
from stacks that were tried out (`rehearsal`).

Notation: seconds of one worker.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stabilitysweep import pace
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.base import StackDone
from stabilitysweep.models.programs import Program, family

# Measured on two AVX-512 cores with the plain graph.
_START_SECONDS = 6.0
_TRACE_SECONDS, _TRACE_SECONDS_PER_LAYER = 0.5, 0.12
_TRIAL_SECONDS = 7e-4  # its weights, its evaluations and its row
_STEP_OVERHEAD, _STEP_OVERHEAD_PER_LAYER = 2e-6, 2e-6
_FLOPS = 32e9
_PRECISION_FACTOR = {"mixed_float16": 1.5, "float16": 1.3, "mixed_bfloat16": 1.3, "float64": 3.0}
_UPDATE_FACTOR = {"adam": 1.4}
_FIT_SECONDS, _FIT_STEP_SECONDS = 1.5, 0.004
_VERIFY_SECONDS = 1.5
_FLOPS_A_UNIT = 1_000.0

_LEAST_SECONDS = 0.2
"""Training of a kind that took less in a run says nothing: it is all noise."""


class Shape(NamedTuple):
    """What of a stack its cost follows from.

    Attributes:
        program: the graph.
        engine: `stacked`, or `fit` if its trials are trained one by one.
        batch_size: rows a step.
        steps: optimizer steps.
        verify: whether the program is to be compared with `model.fit` first.
    """

    program: Program
    engine: str
    batch_size: int
    steps: int
    verify: bool

    @classmethod
    def of(cls, stack: Stack, engine: str) -> Shape:
        """Return that of a stack which an engine of this name is given."""
        own = "fit" if stack.alone else engine
        return cls(stack.program, own, stack.batch_size, stack.steps, stack.verify)

    def kinds(self) -> tuple[str, ...]:
        """What it has in common with others of about the same ratio, the most special first."""
        program = self.program
        model = program.model.build or program.model.name
        common = f"{self.engine} {program.compiled} {model}"
        precise = f"{common} {program.precision}"
        return (
            f"{self.engine} {program.compiled} {family(program)} batch {self.batch_size}",
            f"{precise} {program.optimizer}",
            precise,
            common,
        )


@dataclass(frozen=True)
class Costs:
    """Expected seconds.

    Attributes:
        known: what the machine has been seen to take: by kind a ratio to the formula for
            stacks, the seconds themselves for first calls and for the start.
    """

    known: Mapping[str, float] = field(default_factory=pace.known)

    @property
    def start(self) -> float:
        """Until workers train."""
        return self.known.get("start", _START_SECONDS)

    def stacks(self, shape: Shape, trials: int) -> float:
        """Of training so many trials in stacks of a shape, its program traced already."""
        ratio = self._of("stack", shape)
        return formula(shape, trials) * (1.0 if ratio is None else ratio)

    def first(self, shape: Shape) -> float:
        """Of tracing, compiling and comparing a program."""
        known = self._of(_first(shape), shape)
        return _first_formula(shape) if known is None else known

    def measured(self, shape: Shape) -> bool:
        """Return whether anything but the formula is known of a shape of stacks.

        What all precisions of a model have in common is not enough.
        """
        return any(
            own in self.known
            for kind in shape.kinds()[:3]
            for own in (f"stack {kind}", f"tried stack {kind}")
        )

    def _of(self, what: str, shape: Shape) -> float | None:
        for kind in shape.kinds():
            for own in (f"{what} {kind}", f"tried {what} {kind}"):
                if own in self.known:
                    return self.known[own]
        return None


class Measured:
    """What the stacks of a run take, to be learnt at its end."""

    def __init__(self, engine: str) -> None:
        """Begin to count, before the workers are started.

        Args:
            engine: the one they are given.
        """
        self._engine = engine
        self._begun = time.monotonic()
        self._start = 0.0
        self._warm: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._firsts: list[tuple[Shape, float, float]] = []

    def add(self, done: StackDone) -> None:
        """Count a stack that has been trained."""
        if done.took is None:
            return
        shape = Shape.of(done.stack, self._engine)
        expected = formula(shape, len(done.stack.trials))
        if not self._start:
            self._start = max(time.monotonic() - self._begun - done.took.seconds, 0.1)
        if done.took.traced:
            self._firsts.append((shape, done.took.seconds, expected))
            return
        for kind in shape.kinds():
            self._warm[kind][0] += done.took.seconds
            self._warm[kind][1] += expected

    def found(self) -> Iterator[tuple[str, float]]:
        """Give what is to be learnt, for `pace.learn`."""
        if self._start:
            yield "start", self._start
        ratios = {
            kind: seconds / expected
            for kind, (seconds, expected) in self._warm.items()
            if seconds >= _LEAST_SECONDS
        }
        yield from ((f"stack {kind}", ratio) for kind, ratio in ratios.items())
        firsts: defaultdict[str, list[float]] = defaultdict(list)
        for shape, seconds, expected in self._firsts:
            ratio = next((ratios[kind] for kind in shape.kinds() if kind in ratios), None)
            # Of a program with one stack alone one cannot tell what the stack itself took.
            own = min(expected, seconds / 2) if ratio is None else ratio * expected
            for kind in shape.kinds():
                firsts[f"{_first(shape)} {kind}"].append(max(seconds - own, 0.01))
        yield from ((kind, sum(own) / len(own)) for kind, own in firsts.items())


def tried(shape: Shape, trials: int, first: float, seconds: float) -> Iterator[tuple[str, float]]:
    """Give what is to be learnt of a stack that was tried out; what runs took counts before it.

    Args:
        shape: its own.
        trials: how many it has.
        first: seconds of tracing, compiling and comparing its program.
        seconds: of training it; below 0 if its trials are to be trained one by one.
    """
    own = seconds if seconds >= 0 else formula(shape._replace(engine="fit"), trials)
    for kind in shape.kinds():
        yield f"tried {_first(shape)} {kind}", first
        yield f"tried stack {kind}", own / formula(shape, trials)


def formula(shape: Shape, trials: int) -> float:
    """Return the seconds of training so many trials, by their size alone."""
    program = shape.program
    if shape.engine == "fit":
        return trials * (_FIT_SECONDS + shape.steps * _FIT_STEP_SECONDS)
    flops = 6.0 * parameters(program) * shape.batch_size
    if program.user is not None:  # weights of convolutions are used many times
        flops = max(flops, _FLOPS_A_UNIT * program.user.template.units * shape.batch_size)
    factor = _PRECISION_FACTOR.get(program.precision, 1.0)
    factor *= _UPDATE_FACTOR.get(program.optimizer, 1.0)
    overhead = _STEP_OVERHEAD + _STEP_OVERHEAD_PER_LAYER * _layers(program)
    return trials * (_TRIAL_SECONDS + shape.steps * (overhead + factor * flops / _FLOPS))


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


def _first(shape: Shape) -> str:
    return "compared" if shape.verify else "first"


def _first_formula(shape: Shape) -> float:
    if shape.engine == "fit":
        return 0.0
    program = shape.program
    if program.user is not None:
        return _VERIFY_SECONDS + 2 * (_TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * _layers(program))
    return _TRACE_SECONDS + _TRACE_SECONDS_PER_LAYER * _layers(program)


def _layers(program: Program) -> int:
    return program.model.depth if program.user is None else len(program.user.template.layers)
