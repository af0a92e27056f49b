"""The training graph of one program: the loop over the steps, and what runs around it.

Notation: P trials in the stack, T steps, S distinct seeds among the trials, L steps a
segment, B rows a batch, D input columns.

The training loop is a `tf.while_loop` in the graph, run in segments of at most
`SEGMENT_STEPS` steps, so that a long run needs no more memory than a short one. A segment
ends early once no trial of the stack is active any more, or so few that a smaller stack of them
is worth while (see `compaction`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData, batch_order
from stabilitysweep.engines import alike, compaction
from stabilitysweep.engines.alike import Alike
from stabilitysweep.engines.base import cast
from stabilitysweep.engines.evaluation import Evaluation, Evaluator
from stabilitysweep.engines.half_products import flat_call, widen_half_products
from stabilitysweep.engines.results import StackRecord
from stabilitysweep.engines.stack_state import Reading, Settings, State
from stabilitysweep.engines.step import TrainingStep
from stabilitysweep.engines.subject import Subject, Tensors, output_name
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics import outcomes
from stabilitysweep.types import Compiled

SEGMENT_STEPS = 500

Initial = tuple[list[NDArray[Any]], list[NDArray[Any]]]
"""A trial's initial trainable weights, and its other variables, in the model's order."""


class Inputs(NamedTuple):
    """What a stack is trained on.

    Attributes:
        steps: T.
        initial: of each of the P trials.
        settings: the numbers they differ in.
        x: [N, D] training rows.
        y: [N, 1] targets, or [N] labels; for a user's model any array of N rows, or several
            by name.
        x_validation: like `x`, possibly without rows.
        y_validation: like `y`.
        content: the hash of the data they are of.
        orders: int32 [S, T, B], the rows of each batch, by seed.
        seed_index: int32 [P] into `orders`.
        alike: which trials begin alike.
    """

    steps: int
    initial: list[Initial]
    settings: Settings
    x: NDArray[Any]
    y: Any
    x_validation: NDArray[Any]
    y_validation: Any
    content: str
    orders: NDArray[np.int32]
    seed_index: tf.Tensor
    alike: Alike


class _Begun(NamedTuple):
    """How the trials of a stack began that differ in it, [K, ...] each.

    Attributes:
        keys: see `alike.Alike`.
        content: the hash of the data.
        state: before step 1.
        scores: of the training split.
    """

    keys: tuple[Hashable, ...]
    content: str
    state: State
    scores: Evaluation


class ProgramGraph:
    """One program: its template model, its training graph and its evaluator.

    Attributes:
        program: what it is made from.
        subject: what is trained.
        model: the template; its own weights are never read or written.
        step: the step that the graph repeats.
    """

    def __init__(self, program: Program, subject: Subject) -> None:
        """Keep what is trained; the graph is traced when it is first run."""
        self.program = program
        self.subject = subject
        self.model = subject.model
        self._float = keras.config.floatx()
        self.step = TrainingStep(program, subject)
        self._evaluate = Evaluator(program, subject)
        self._segment = tf.function(
            self._trace,
            autograph=False,
            reduce_retracing=True,
            jit_compile=program.compiled is Compiled.XLA,
        )
        self._graph: Callable[..., Any] | None = None
        self._begun: _Begun | None = None

    def inputs(
        self,
        trials: list[Trial],
        steps: int,
        batch_size: int,
        initial: list[Initial],
        rates: list[NDArray[np.float64]],
        data: PreparedData,
    ) -> Inputs:
        """Lay out what P trials are trained on for `steps` steps, at learning rates [steps]."""
        seeds = sorted({trial.seed for trial in trials})
        x, y = cast(data.x_train, data.y_train, self._float)
        x_validation, y_validation = cast(data.x_validation, data.y_validation, self._float)
        rows = data.train_rows
        return Inputs(
            steps=steps,
            initial=initial,
            settings=self._settings(trials, rates),
            x=x,
            y=y,
            x_validation=x_validation,
            y_validation=y_validation,
            content=data.content_hash,
            orders=np.stack([batch_order(seed, batch_size, rows, steps) for seed in seeds]),
            seed_index=tf.constant([seeds.index(trial.seed) for trial in trials], tf.int32),
            alike=alike.find([_beginning(trial) for trial in trials]),
        )

    def initial_state(self, inputs: Inputs) -> State:
        """Return the state of the stack before step 1."""
        state: State = alike.spread(inputs.alike, self._first_states(inputs))
        return state

    def _first_states(self, inputs: Inputs) -> State:
        """The state before step 1 of the trials that begin unlike others, [K, ...] each."""
        initial = [inputs.initial[place] for place in inputs.alike.first]
        weights, others = (
            tuple(tf.constant(np.stack(group)) for group in zip(*variables, strict=True))
            for variables in zip(*initial, strict=True)
        )
        return self.step.initial_state(weights, others)

    def advance(
        self, inputs: Inputs, state: State, start: int, stop: int
    ) -> tuple[State, NDArray[np.floating]]:
        """Train from after step `start` up to step `stop`, or until no trial is active.

        Returns:
            The state, and the readings [stop - start, fields of `Reading`, P]; fewer steps
            where training ended.
        """
        x, y = tf.constant(inputs.x), tf.nest.map_structure(tf.constant, inputs.y)
        sampled = outcomes.sampled_steps(inputs.steps)
        whole, places = state, np.arange(state.active.shape[0])
        settings, seed_index = inputs.settings, inputs.seed_index
        parts: list[NDArray[np.floating]] = []
        while start < stop:
            length = min(SEGMENT_STEPS, stop - start)
            order = self._segment_order(inputs, start, start + length)
            few = compaction.fewest(state.active.shape[0], self.program.compiled)
            state, readings, steps = self._run(
                state,
                settings,
                x,
                y,
                tf.constant(order),
                seed_index,
                tf.constant(np.resize(sampled[start:], order.shape[1])),
                tf.constant(length, tf.int32),
                tf.constant(few, tf.int32),
            )
            start += int(steps)
            part = readings.numpy()[: int(steps)]
            parts.append(compaction.spread(part, places, whole.active.shape[0]))
            active = state.active.numpy()[: len(places)]
            if not np.any(active):
                break
            if np.count_nonzero(active) <= few:
                whole = compaction.put_back(whole, places, state)
                kept = compaction.chosen(active)
                state, settings, seed_index = compaction.take((state, settings, seed_index), kept)
                places = places[kept[: np.count_nonzero(active)]]
        return compaction.put_back(whole, places, state), np.concatenate(parts)

    def evaluate(
        self, inputs: Inputs, weights: Tensors, others: Tensors, x: NDArray[Any], y: Any
    ) -> Evaluation:
        """Evaluate every trial on all rows of a split.

        Args:
            inputs: of the stack.
            weights: trainable variables, [P, ...] each.
            others: non-trainable variables, [P, ...] each.
            x: [N, D] rows.
            y: their targets.
        """
        return self._evaluate(weights, others, inputs.settings, x, y)

    def train(self, inputs: Inputs) -> StackRecord:
        """Train the stack to its end and evaluate it before and after."""
        state, before = self._begin(inputs)
        state, readings = self.advance(inputs, state, 0, inputs.steps)
        last = self.step.final_weights(state)
        after = self.evaluate(inputs, last, state.others, inputs.x, inputs.y)
        validation = (
            self.evaluate(inputs, last, state.others, inputs.x_validation, inputs.y_validation)
            if len(inputs.x_validation)
            else None
        )
        return StackRecord(
            initial=[weights for weights, _ in inputs.initial],
            readings=Reading(*np.moveaxis(readings, 1, 0)),
            probe_table=self.step.probe_table(),
            before=before,
            after=after,
            validation=validation,
            final_scale=state.loss_scale.scale.numpy(),
            output=output_name(self.model),
            scaled=self.subject.scaled,
        )

    def _begin(self, inputs: Inputs) -> tuple[State, Evaluation]:
        """Return the state before step 1, and what the training split says of it.

        Most stacks of a program begin like the one before, which is kept.
        """
        own, known = inputs.alike, self._begun
        if known is None or (known.content, known.keys) != (inputs.content, own.keys):
            first = self._first_states(inputs)
            weights = self.step.packing.unpack(first.weights)
            settings = compaction.take(inputs.settings, own.first)
            scores = self._evaluate(weights, first.others, settings, inputs.x, inputs.y)
            known = _Begun(own.keys, inputs.content, first, scores)
            # Where few trials are alike, it is nearly as large as the stack, and seldom met again.
            self._begun = known if 2 * len(own.first) <= len(own.of) else None
        scores = tf.nest.map_structure(lambda each: each[own.of], known.scores)
        return alike.spread(own, known.state), scores

    def _run(self, *arguments: Any) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Run a segment: traced once in the plain graph, once for each shape under XLA."""
        if self.program.compiled is Compiled.XLA:
            result: tuple[State, tf.Tensor, tf.Tensor] = self._segment(*arguments)
            return result
        if self._graph is None:
            concrete = self._segment.get_concrete_function(*_open_specs(*arguments))
            half = self.program.precision in ("float16", "mixed_float16")
            self._graph = widen_half_products(concrete) if half else flat_call(concrete)
        graph: tuple[State, tf.Tensor, tf.Tensor] = self._graph(*tf.nest.flatten(arguments))
        return graph

    def _trace(
        self,
        state: State,
        settings: Settings,
        x: tf.Tensor,
        y: Any,
        order: tf.Tensor,
        seed_index: tf.Tensor,
        sampled: tf.Tensor,
        steps: tf.Tensor,
        few: tf.Tensor,
    ) -> tuple[State, tf.Tensor, tf.Tensor]:
        """Train for `steps` of the L steps in `order` [S, L, B], while more than `few` are active.

        Returns:
            The state; the readings [L, fields of `Reading`, P], zero where not run; the number of
            steps that were.
        """
        length = tf.shape(order)[1]
        constants = self.step.constants(state, settings)
        readings = tf.TensorArray(
            x.dtype,
            size=length,
            element_shape=[len(Reading._fields), seed_index.shape[0]],
        )

        def proceed(step: tf.Tensor, state: State, _: tf.TensorArray) -> tf.Tensor:
            return (step < steps) & (tf.math.count_nonzero(state.active, dtype=tf.int32) > few)

        def advance(
            step: tf.Tensor, state: State, readings: tf.TensorArray
        ) -> tuple[tf.Tensor, State, tf.TensorArray]:
            rows = order[:, step]
            batch, targets = tf.nest.map_structure(
                lambda table: tf.gather(tf.gather(table, rows), seed_index), (x, y)
            )
            state, reading = self.step(state, settings, constants, batch, targets, sampled[step])
            return step + 1, state, readings.write(step, tf.cast(tf.stack(reading), x.dtype))

        ran, state, readings = tf.while_loop(
            proceed, advance, (tf.constant(0), state, readings), parallel_iterations=1
        )
        return state, readings.stack(), ran

    def _segment_order(self, inputs: Inputs, start: int, stop: int) -> NDArray[np.int32]:
        """Return the rows of some steps' batches, [S, L, B].

        XLA compiles for one L: all segments of a run have it, and so has a part of one.
        """
        order = inputs.orders[:, start:stop]
        if self.program.compiled is Compiled.XLA:
            missing = min(inputs.steps, SEGMENT_STEPS) - order.shape[1]
            order = np.pad(order, ((0, 0), (0, missing), (0, 0)))
        return order

    def _settings(self, trials: list[Trial], rates: list[NDArray[np.float64]]) -> Settings:
        def column(values: list[float]) -> tf.Tensor:
            return tf.constant(np.array(values, self._float))

        def rounded(values: list[float]) -> tf.Tensor:
            # Keras casts these from Python numbers by way of float32, under float64 too.
            return column(np.array(values, np.float32).tolist())

        numbers = [_numbers(t) for t in trials]
        return Settings(
            learning_rates=tf.constant(np.stack(rates).astype(self._float)),
            l1=rounded([t.model.l1 for t in trials]),
            l2=rounded([t.model.l2 for t in trials]),
            # Not the momentum of RMSprop, which Keras multiplies without a cast.
            momentum=(rounded if self.program.optimizer == "sgd" else column)(
                [t.training.momentum for t in trials]
            ),
            weight_decay=rounded([t.training.weight_decay or 0.0 for t in trials]),
            clipnorm=column([t.training.clipnorm or 0.0 for t in trials]),
            numbers=tf.constant(
                np.array(numbers, np.float32).reshape(len(trials), -1).astype(self._float)
            ),
        )


def _beginning(trial: Trial) -> tuple[Any, ...]:
    """What a trial of a program begins with, on the same data: its weights and its penalties.

    Named by what they come from, so that in every process they are in the same order.
    """
    blueprint = trial.blueprint
    own = () if blueprint is None else (blueprint.build, blueprint.folders, blueprint.weights)
    return (trial.seed, *own, trial.model.l1, trial.model.l2, _numbers(trial))


def _numbers(trial: Trial) -> tuple[float, ...]:
    """The numbers of a user's regularizers; none in our models."""
    return () if trial.blueprint is None else trial.blueprint.numbers


def _open_specs(
    state: State,
    settings: Settings,
    x: tf.Tensor,
    y: tf.Tensor,
    order: tf.Tensor,
    seed_index: tf.Tensor,
    sampled: tf.Tensor,
    steps: tf.Tensor,
    few: tf.Tensor,
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
        tf.nest.map_structure(leading, y),
        tf.TensorSpec([None, None, None], order.dtype),
        leading(seed_index),
        leading(sampled),
        tf.TensorSpec([], steps.dtype),
        tf.TensorSpec([], few.dtype),
    )
