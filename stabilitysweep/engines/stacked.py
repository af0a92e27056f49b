"""The stacked engine: hundreds of trials trained at once inside one compiled graph.

Notation: P trials in the stack, T steps, S distinct seeds among the trials, L steps a
segment, B rows a batch, D input columns.

The training loop is a `tf.while_loop` in the graph, run in segments of at most
`SEGMENT_STEPS` steps, so that a long run needs no more memory than a short one. A segment
ends early once no trial of the stack is active any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData, batch_order
from stabilitysweep.engines.base import VECTOR_LANES, Stack, first_precision, input_onset
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.evaluation import Evaluator
from stabilitysweep.engines.half_products import flat_call, widen_half_products
from stabilitysweep.engines.losses import build_loss
from stabilitysweep.engines.results import StackRecord, input_failures, results
from stabilitysweep.engines.schedules import learning_rates
from stabilitysweep.engines.stack_state import Reading, Settings, State
from stabilitysweep.engines.step import TrainingStep
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics import outcomes
from stabilitysweep.types import Compiled, TrialResult

SEGMENT_STEPS = 500
_KEPT_PROGRAMS = 2
_KEPT_WEIGHTS = 256


class StackedEngine:
    """Trains a stack in one graph; keeps the programs and initial weights it used last."""

    name = "stacked"

    def __init__(self) -> None:
        """Start with nothing compiled."""
        self._programs: OrderedDict[Program, _Compiled] = OrderedDict()
        self._weights: OrderedDict[tuple[ModelSpec, int], _Initial] = OrderedDict()
        self._curvatures = Curvatures()
        self.traces = 0

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        """Train every trial of the stack; see `Engine.run`."""
        onset = input_onset(data, first_precision(stack.program))
        if onset is not None:
            return input_failures(stack, onset, self.name)
        with precision_scope(stack.program.precision):
            compiled = self._compiled(stack.program)
            trials = _padded(stack)
            initial = [self._initial(trial, stack.program) for trial in trials]
            record = compiled.train(trials, stack.steps, stack.batch_size, initial, data)
        return results(stack, record, self.name, data, self._curvatures)

    def _compiled(self, program: Program) -> _Compiled:
        if program not in self._programs:
            while len(self._programs) >= _KEPT_PROGRAMS:
                self._programs.popitem(last=False)
            self._programs[program] = _Compiled(program)
            self.traces += 1
        self._programs.move_to_end(program)
        return self._programs[program]

    def _initial(self, trial: Trial, program: Program) -> _Initial:
        spec = ModelSpec(program.model, program.features, program.outputs, program.precision)
        key = (spec, trial.seed)
        if key not in self._weights:
            while len(self._weights) >= _KEPT_WEIGHTS:
                self._weights.popitem(last=False)
            model = build_model(spec, trial.seed)
            self._weights[key] = (
                [variable.numpy() for variable in model.trainable_variables],
                [variable.numpy() for variable in model.non_trainable_variables],
            )
        return self._weights[key]


_Initial = tuple[list[NDArray[Any]], list[NDArray[Any]]]


class _Compiled:
    """One program: its template model, its training graph and its evaluator."""

    def __init__(self, program: Program) -> None:
        # Any strength will do: it marks what may be penalized. Always marked, so that the
        # weights of a program are packed alike whether it has penalties or not.
        model = program.model.model_copy(update={"l2": 1.0})
        spec = ModelSpec(model, program.features, program.outputs, program.precision)
        self._program = program
        self._model = build_model(spec, seed=0)
        self._float = keras.config.floatx()
        loss = build_loss(program.loss)
        self._step = TrainingStep(program, self._model, loss)
        self._evaluate = Evaluator(program, self._model, loss)
        self._segment = tf.function(
            self._trace,
            autograph=False,
            reduce_retracing=True,
            jit_compile=program.compiled is Compiled.XLA,
        )
        self._graph: Callable[..., Any] | None = None

    def train(
        self,
        trials: list[Trial],
        steps: int,
        batch_size: int,
        initial: list[_Initial],
        data: PreparedData,
    ) -> StackRecord:
        """Train the trials for `steps` steps and evaluate them before and after."""
        weights = tuple(
            tf.constant(np.stack(group)) for group in zip(*(w for w, _ in initial), strict=True)
        )
        others = tuple(
            tf.constant(np.stack(group)) for group in zip(*(o for _, o in initial), strict=True)
        )
        settings = self._settings(trials, steps)
        x, y = self._cast(data.x_train, data.y_train)
        x_validation, y_validation = self._cast(data.x_validation, data.y_validation)
        seeds = sorted({trial.seed for trial in trials})
        seed_index = tf.constant([seeds.index(trial.seed) for trial in trials], tf.int32)
        rows = data.train_rows
        orders = np.stack([batch_order(seed, batch_size, rows, steps) for seed in seeds])
        inputs, targets = tf.constant(x), tf.constant(y)

        before = self._evaluate(weights, others, settings.l1, settings.l2, x, y)
        state = self._step.initial_state(weights, others)
        parts: list[NDArray[np.floating]] = []
        for start in range(0, steps, SEGMENT_STEPS):
            order, length = _segment_order(orders, start, steps, self._program.compiled)
            sampled = np.resize(outcomes.sampled_steps(steps)[start:], order.shape[1])
            state, readings = self._run(
                state,
                settings,
                inputs,
                targets,
                tf.constant(order),
                seed_index,
                tf.constant(sampled),
                tf.constant(length, tf.int32),
            )
            parts.append(readings.numpy()[:length])
            if not np.any(state.active.numpy()):
                break
        trained = self._step.packing.unpack(state.weights)
        after = self._evaluate(trained, state.others, settings.l1, settings.l2, x, y)
        validation = (
            self._evaluate(
                trained, state.others, settings.l1, settings.l2, x_validation, y_validation
            )
            if len(x_validation)
            else None
        )
        return StackRecord(
            initial=[w for w, _ in initial],
            readings=Reading(*np.moveaxis(np.concatenate(parts), 1, 0)),
            probe_table=self._step.probe_table(),
            before=before,
            after=after,
            validation=validation,
            final_scale=state.loss_scale.scale.numpy(),
            output=self._model.output_names[0],
        )

    def _run(self, *arguments: Any) -> tuple[State, tf.Tensor]:
        """Run a segment: traced once in the plain graph, once for each shape under XLA."""
        if self._program.compiled is Compiled.XLA:
            result: tuple[State, tf.Tensor] = self._segment(*arguments)
            return result
        if self._graph is None:
            concrete = self._segment.get_concrete_function(*_open_specs(*arguments))
            half = self._program.precision in ("float16", "mixed_float16")
            self._graph = widen_half_products(concrete) if half else flat_call(concrete)
        graph: tuple[State, tf.Tensor] = self._graph(*tf.nest.flatten(arguments))
        return graph

    def _trace(
        self,
        state: State,
        settings: Settings,
        x: tf.Tensor,
        y: tf.Tensor,
        order: tf.Tensor,
        seed_index: tf.Tensor,
        sampled: tf.Tensor,
        steps: tf.Tensor,
    ) -> tuple[State, tf.Tensor]:
        """Train for `steps` of the L steps in `order` [S, L, B], while any trial is active.

        Returns:
            The state, and the readings [L, fields of `Reading`, P], zero where not run.
        """
        length = tf.shape(order)[1]
        constants = self._step.constants(state, settings)
        readings = tf.TensorArray(
            x.dtype,
            size=length,
            element_shape=[len(Reading._fields), seed_index.shape[0]],
        )

        def proceed(step: tf.Tensor, state: State, _: tf.TensorArray) -> tf.Tensor:
            return (step < steps) & tf.reduce_any(state.active)

        def advance(
            step: tf.Tensor, state: State, readings: tf.TensorArray
        ) -> tuple[tf.Tensor, State, tf.TensorArray]:
            rows = order[:, step]
            batch = tf.gather(tf.gather(x, rows), seed_index)
            targets = tf.gather(tf.gather(y, rows), seed_index)
            state, reading = self._step(state, settings, constants, batch, targets, sampled[step])
            return step + 1, state, readings.write(step, tf.cast(tf.stack(reading), x.dtype))

        _, state, readings = tf.while_loop(
            proceed, advance, (tf.constant(0), state, readings), parallel_iterations=1
        )
        return state, readings.stack()

    def _settings(self, trials: list[Trial], steps: int) -> Settings:
        def column(values: list[float]) -> tf.Tensor:
            return tf.constant(np.array(values, self._float))

        def rounded(values: list[float]) -> tf.Tensor:
            # Keras casts these from Python numbers by way of float32, under float64 too.
            return column(np.array(values, np.float32).tolist())

        return Settings(
            learning_rates=tf.constant(
                np.stack([learning_rates(t.training, steps) for t in trials]).astype(self._float)
            ),
            l1=rounded([t.model.l1 for t in trials]),
            l2=rounded([t.model.l2 for t in trials]),
            # Not the momentum of RMSprop, which Keras multiplies without a cast.
            momentum=(rounded if self._program.optimizer == "sgd" else column)(
                [t.training.momentum for t in trials]
            ),
            weight_decay=rounded([t.training.weight_decay or 0.0 for t in trials]),
            clipnorm=column([t.training.clipnorm or 0.0 for t in trials]),
        )

    def _cast(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        with np.errstate(over="ignore"):  # beyond float32 a value is Inf, and reported as such
            return x.astype(self._float), y.astype(self._float) if y.dtype.kind == "f" else y


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
    return trials + [trials[0]] * (-len(trials) % unit)


def _segment_order(
    orders: NDArray[np.int32], start: int, steps: int, compiled: Compiled
) -> tuple[NDArray[np.int32], int]:
    """Cut one segment out of `orders` [S, T, B]; under XLA all segments have one length."""
    order = orders[:, start : start + SEGMENT_STEPS]
    length = order.shape[1]
    if compiled is Compiled.XLA and steps > SEGMENT_STEPS:
        order = np.pad(order, ((0, 0), (0, SEGMENT_STEPS - length), (0, 0)))
    return order, length


def _open_specs(
    state: State,
    settings: Settings,
    x: tf.Tensor,
    y: tf.Tensor,
    order: tf.Tensor,
    seed_index: tf.Tensor,
    sampled: tf.Tensor,
    steps: tf.Tensor,
) -> tuple[Any, ...]:
    """Describe the arguments of a segment with every dimension open that may differ.

    Open are the trials, rows, steps, batch rows and seeds; a program fixes the rest.
    """

    def leading(tensor: tf.Tensor) -> tf.TensorSpec:
        return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    return (
        tf.nest.map_structure(leading, state),
        tf.nest.map_structure(leading, settings)._replace(
            learning_rates=tf.TensorSpec([None, None], settings.learning_rates.dtype)
        ),
        leading(x),
        leading(y),
        tf.TensorSpec([None, None, None], order.dtype),
        leading(seed_index),
        leading(sampled),
        tf.TensorSpec([], steps.dtype),
    )
