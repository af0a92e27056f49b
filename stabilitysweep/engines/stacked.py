"""The stacked engine: hundreds of trials trained at once inside one compiled graph."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import (
    LEAST_PLACES,
    VECTOR_LANES,
    Stack,
    first_precision,
    input_onset,
)
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.inspector import Inspector
from stabilitysweep.engines.program_graph import Initial, Inputs, ProgramGraph
from stabilitysweep.engines.results import input_failures, results
from stabilitysweep.engines.schedules import learning_rates
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.engines.subject import BuiltIn, Subject, UserModel, UserModels
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics.moments import Moment
from stabilitysweep.types import Compiled, TrialResult

_KEPT_PROGRAMS = 2
_KEPT_WEIGHTS = 256

Train = Callable[[int], Reading]
"""Trains so many steps of a stack from its first on; [steps, P] each."""


class StackedEngine:
    """Trains a stack in one graph; keeps the programs and initial weights it used last."""

    name = "stacked"

    def __init__(self) -> None:
        """Start with nothing compiled."""
        self._programs: OrderedDict[Program, ProgramGraph] = OrderedDict()
        self._weights: OrderedDict[tuple[Hashable, int], Initial] = OrderedDict()
        self._rates: OrderedDict[Hashable, NDArray[np.float64]] = OrderedDict()
        self._users = UserModels()
        self._curvatures = Curvatures()
        self.traces = 0

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        """Train every trial of the stack; see `Engine.run`."""
        onset = input_onset(data, first_precision(stack.program))
        if onset is not None:
            return input_failures(stack, onset, self.name)
        with precision_scope(stack.program.precision):
            record = self._graph(stack.program).train(self._inputs(stack, data))
        return results(stack, record, self.name, data, self._curvatures)

    def few_steps(self, stack: Stack, data: PreparedData) -> Reading:
        """Train a stack for its few steps, and evaluate nothing; [T, P] each."""
        return self.training(stack, data)(stack.steps)

    def training(self, stack: Stack, data: PreparedData) -> Train:
        """Lay out a stack; return what trains some of its steps, each time from the first on."""
        with precision_scope(stack.program.precision):
            graph, inputs = self.prepared(stack, data)

        def train(steps: int) -> Reading:
            with precision_scope(stack.program.precision):
                state = graph.initial_state(inputs)
                _, readings = graph.advance(inputs, state, 0, steps)
                return Reading(*np.moveaxis(readings, 1, 0))

        return train

    def inspect(
        self, stack: Stack, data: PreparedData, first: int, last: int, *, predictions: bool
    ) -> list[Moment]:
        """Look at some steps of a trial; see `Engine.inspect`.

        The graph that trains is the one that `run` uses, one step at a time.
        """
        with precision_scope(stack.program.precision):
            inspector = Inspector(self._graph(stack.program))
            return inspector.moments(self._inputs(stack, data), first, last, predictions)

    def prepared(self, stack: Stack, data: PreparedData) -> tuple[ProgramGraph, Inputs]:
        """Return the graph of a stack and what it is to be trained on, in its precision's scope."""
        return self._graph(stack.program), self._inputs(stack, data)

    def _inputs(self, stack: Stack, data: PreparedData) -> Inputs:
        trials = _padded(stack)
        initial = [self._initial(trial, stack.program) for trial in trials]
        rates = [self._learning_rates(trial, stack.steps) for trial in trials]
        graph = self._graph(stack.program)
        return graph.inputs(trials, stack.steps, stack.batch_size, initial, rates, data)

    def _graph(self, program: Program) -> ProgramGraph:
        if program not in self._programs:
            _make_room(self._programs, _KEPT_PROGRAMS)
            self._programs[program] = ProgramGraph(program, self._subject(program))
            self.traces += 1
        self._programs.move_to_end(program)
        return self._programs[program]

    def _subject(self, program: Program) -> Subject:
        if program.user is None:
            return BuiltIn(program)
        return UserModel(program, self._users.build(program.user.template, 0))

    def _initial(self, trial: Trial, program: Program) -> Initial:
        # The program's model is the trial's without penalties, which draw nothing: trials that
        # differ in their strength begin with the same weights, and a model takes long to build.
        spec = ModelSpec(program.model, program.features, program.outputs, program.precision)
        own: Hashable = spec
        if trial.blueprint is not None:
            own = (trial.blueprint.build, trial.blueprint.folders, trial.blueprint.weights)
        key = (own, trial.seed)
        if key not in self._weights:
            _make_room(self._weights, _KEPT_WEIGHTS)
            if trial.blueprint is not None:
                model = self._users.build(trial.blueprint, trial.seed).model
            else:
                model = build_model(spec, trial.seed)
            self._weights[key] = (
                [variable.numpy() for variable in model.trainable_variables],
                [variable.numpy() for variable in model.non_trainable_variables],
            )
        return self._weights[key]

    def _learning_rates(self, trial: Trial, steps: int) -> NDArray[np.float64]:
        blueprint = trial.blueprint
        if blueprint is None or not blueprint.scheduled:
            return learning_rates(trial.training, steps)
        key = (blueprint, steps)
        if key not in self._rates:
            _make_room(self._rates, _KEPT_WEIGHTS)
            self._rates[key] = self._users.rates(blueprint, steps)
        return self._rates[key]


def _make_room(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) >= most:
        kept.popitem(last=False)


def _padded(stack: Stack) -> list[Trial]:
    """Fill the stack up with copies of its first trial.

    Under XLA to its one size. In the plain graph to whole vectors: the elements at the end
    of a tensor that fill no vector are computed by scalar code, whose exp, log and square
    root differ in the last bit, so a trial's bits would depend on its place.
    """
    trials = list(stack.trials)
    unit = stack.places
    if stack.program.compiled is Compiled.GRAPH:
        unit = min(VECTOR_LANES, stack.places)
    if stack.program.user is not None:
        unit = max(unit, LEAST_PLACES)
    return trials + [trials[0]] * (-len(trials) % unit)
