"""Losses, metrics and predictions over whole splits, for every trial of a stack.

Notation: P trials, N rows, R rows a chunk, O outputs. Runs in the plain graph for both
engines, with the number of rows left open, so that it is traced once a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines import penalties
from stabilitysweep.engines.half_products import flat_call
from stabilitysweep.engines.lowering import lowered
from stabilitysweep.engines.own_metrics import OwnMetrics
from stabilitysweep.engines.stack_state import Settings
from stabilitysweep.engines.subject import Subject, Tensors
from stabilitysweep.engines.trial_axis import vectorize
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics import probes

_ROWS = 1_024
"""Rows a chunk: bounds the memory of a stack's activations on large data."""

Floats = NDArray[np.floating]


class Evaluation(NamedTuple):
    """What a split says of each trial, arrays [P].

    Attributes:
        loss: mean loss with penalties, as `model.evaluate` on one batch.
        nonfinite: `probes.nonfinite_sum` of the predictions; 0 where all are finite.
        absolute: mean absolute error (regression), or 0.
        square: mean square error (regression), or 0.
        hits: share of rows classified right (classification), or 0.
        own: the metrics of a user's model, by name.
    """

    loss: Floats
    nonfinite: Floats
    absolute: Floats
    square: Floats
    hits: Floats
    own: dict[str, Floats] = {}  # noqa: RUF012  (a NamedTuple's default is never written to)


class Evaluator:
    """Evaluates stacks of one model, without dropout and with moving batch statistics."""

    def __init__(self, program: Program, subject: Subject) -> None:
        """Keep what the graph is made from; see `TrainingStep`."""
        self._program = program
        self._subject = subject
        self._penalized = penalties.penalized(subject.model) if subject.closed_form else []
        self._metrics = None if subject.closed_form else OwnMetrics(subject.model)
        self._chunk: Callable[..., Any] | None = None

    def __call__(
        self,
        weights: Tensors,
        others: Tensors,
        settings: Settings,
        x: NDArray[np.floating],
        y: Any,
    ) -> Evaluation:
        """Evaluate on all rows.

        Args:
            weights: trainable variables, [P, ...] each.
            others: non-trainable variables, [P, ...] each.
            settings: the trials' numbers.
            x: [N, D] inputs, N >= 1.
            y: [N, 1] targets, or [N] labels, or what a user's model takes.
        """
        rows = len(x)
        strengths = (settings.l1, settings.l2, settings.numbers)
        state = self._metrics.initial(len(settings.l1)) if self._metrics else ()

        def of_chunk(start: int) -> tuple[Any, ...]:
            part = slice(start, start + _ROWS)
            targets = tf.nest.map_structure(lambda values: tf.constant(values[part]), y)
            return (weights, others, *strengths, state, tf.constant(x[part]), targets)

        if self._chunk is None:
            self._chunk = self._open_graph(*of_chunk(0))
        parts, penalty = [], np.zeros(0)
        for start in range(0, rows, _ROWS):
            found, added, state = self._chunk(*tf.nest.flatten(of_chunk(start)))
            penalty = added.numpy()
            arrays = Evaluation(*(value.numpy() for value in found[:-1]))
            parts.append((len(x[start : start + _ROWS]), arrays))
        # Sums overflow; and +Inf in one chunk and -Inf in another make NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            whole = parts[0][1]
            if len(parts) > 1:
                whole = Evaluation(
                    loss=_mean_of([(count, part.loss) for count, part in parts]),
                    nonfinite=np.sum([part.nonfinite for _, part in parts], axis=0),
                    absolute=_mean_of([(count, part.absolute) for count, part in parts]),
                    square=_mean_of([(count, part.square) for count, part in parts]),
                    hits=_mean_of([(count, part.hits) for count, part in parts]),
                )
            whole = whole._replace(loss=whole.loss + penalty)
        if not self._metrics:
            return whole
        own = self._metrics.results(state)
        return whole._replace(own={name: value.numpy() for name, value in own.items()})

    def _open_graph(self, *arguments: Any) -> Callable[..., Any]:
        """Trace once, with the leading dimension (trials, or rows) of each argument open.

        Returns:
            A callable of the arguments' tensors.
        """
        signature = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), arguments
        )
        graph = tf.function(self._trace, autograph=False)
        return flat_call(graph.get_concrete_function(*signature))

    def _trace(
        self,
        weights: tuple[tf.Tensor, ...],
        others: tuple[tf.Tensor, ...],
        l1: tf.Tensor,
        l2: tf.Tensor,
        numbers: tf.Tensor,
        state: tuple[tf.Tensor, ...],
        x: tf.Tensor,
        y: Any,
    ) -> tuple[Evaluation, tf.Tensor, tuple[tf.Tensor, ...]]:
        """Return what a chunk says.

        Returns:
            The scores, the loss without penalties that are added outside; those penalties [P];
            the state of the model's own metrics.
        """
        terms, subject = self._program.terms, self._subject

        def one_trial(arguments: Any) -> tuple[tf.Tensor, Any]:
            own, rest, values = arguments
            with lowered(subject.model):
                run = subject.run(own, rest, values, x, y, training=False)
            return run.loss, run.predictions

        own_numbers = numbers if subject.numbers else ()
        loss, predictions = vectorize(one_trial, (weights, others, own_numbers))
        nothing = tf.zeros_like(loss)
        penalty = nothing
        if subject.closed_form:
            added = penalties.value(
                [w for w, kept in zip(weights, self._penalized, strict=True) if kept],
                penalties.Strengths(l1 if terms.l1 else None, l2 if terms.l2 else None),
            )
            penalty = nothing if added is None else added
        if self._metrics:
            state = self._metrics.update(state, y, predictions)
        return self._scores(loss, predictions, y), penalty, state

    def _scores(self, loss: tf.Tensor, predictions: Any, y: Any) -> Evaluation:
        nothing = tf.zeros_like(loss)
        outputs = tf.nest.flatten(predictions)
        nonfinite = tf.add_n([probes.nonfinite_sum(output) for output in outputs])
        zero = Evaluation(loss, nonfinite, nothing, nothing, nothing)
        form = self._program.loss
        if form == "given":
            return zero
        if len(outputs) > 1 or (not self._subject.closed_form and _is_unlike(outputs[0], form)):
            return zero  # a loss of the user's own knows what they are
        (output,) = outputs
        if form == "sparse_categorical_crossentropy":
            hits = tf.argmax(output, axis=2, output_type=y.dtype) == y
            return zero._replace(hits=_mean(hits, loss.dtype))
        if form == "categorical_crossentropy":
            hits = tf.argmax(output, axis=2) == tf.argmax(y, axis=1)
            return zero._replace(hits=_mean(hits, loss.dtype))
        if not self._subject.closed_form:  # [R] or [R, 1], against [R, 1]
            output = tf.reshape(output, [tf.shape(loss)[0], -1, 1])
        if form == "binary_crossentropy":
            hits = (output > self._subject.threshold) == (y > 0.5)
            return zero._replace(hits=_mean(hits, loss.dtype))
        error = tf.cast(output, loss.dtype) - tf.cast(y, loss.dtype)
        return zero._replace(
            absolute=_mean(tf.abs(error), loss.dtype), square=_mean(error**2, loss.dtype)
        )


def _is_unlike(output: tf.Tensor, form: str) -> bool:
    """Whether predictions [P, R, ...] are not what Keras' losses take for a form of the target."""
    if form.endswith("categorical_crossentropy"):
        return bool(output.shape.rank != 3)
    return bool(output.shape.rank > 3 or (output.shape.rank == 3 and output.shape[2] != 1))


def _mean_of(parts: Sequence[tuple[int, Floats]]) -> Floats:
    """Average a quantity [P] over chunks of so many rows each.

    It overflows where the sum over all rows does, as the mean of one batch in Keras.
    """
    rows = sum(count for count, _ in parts)
    total = np.sum([count * values for count, values in parts], axis=0)
    mean: Floats = np.sum([count / rows * values for count, values in parts], axis=0)
    return np.where(np.isfinite(total), mean, total)


def _mean(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    values = tf.cast(values, dtype)
    return tf.reduce_mean(values, axis=list(range(1, len(values.shape))))


def metrics(names: Sequence[str], scores: Evaluation, place: int, y: Any) -> dict[str, float]:
    """Return the metrics asked for, of one trial.

    Args:
        names: out of `mse`, `mae`, `rmse`, `r2` (regression, in units of the scaled
            target) and `accuracy` (classification).
        scores: of P trials.
        place: which of them.
        y: the targets of the split, for the variance `r2` needs.

    Returns:
        Those; where none is asked for, those that the model itself was compiled with.
    """
    if not names:
        return {name: float(value[place]) for name, value in scores.own.items()}
    values: dict[str, float] = {}
    for name in names:
        match name:
            case "accuracy":
                values[name] = float(scores.hits[place])
            case "mae":
                values[name] = float(scores.absolute[place])
            case "mse":
                values[name] = float(scores.square[place])
            case "rmse":
                values[name] = math.sqrt(scores.square[place])
            case "r2":
                variance = float(np.var(y.astype(float)))
                share = float(scores.square[place]) / variance if variance else math.nan
                values[name] = 1.0 - share
    return values
