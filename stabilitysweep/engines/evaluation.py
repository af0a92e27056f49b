"""Losses, metrics and predictions over whole splits, for every trial of a stack.

Notation: P trials, N rows, R rows a chunk, O outputs. Runs in the plain graph for both
engines, with the number of rows left open, so that it is traced once a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines import penalties
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
    """

    loss: Floats
    nonfinite: Floats
    absolute: Floats
    square: Floats
    hits: Floats


class Evaluator:
    """Evaluates stacks of one model, without dropout and with moving batch statistics."""

    def __init__(self, program: Program, model: keras.Model, loss: keras.losses.Loss) -> None:
        """Keep what the graph is made from; see `TrainingStep`."""
        self._program = program
        self._model = model
        self._loss = loss
        self._penalized = penalties.penalized(model)
        self._chunk: Callable[..., Any] | None = None

    def __call__(
        self,
        weights: tuple[tf.Tensor, ...],
        others: tuple[tf.Tensor, ...],
        l1: tf.Tensor,
        l2: tf.Tensor,
        x: NDArray[np.floating],
        y: NDArray[np.generic],
    ) -> Evaluation:
        """Evaluate on all rows.

        Args:
            weights: trainable variables, [P, ...] each.
            others: non-trainable variables, [P, ...] each.
            l1: penalty strengths [P].
            l2: penalty strengths [P].
            x: [N, D] inputs, N >= 1.
            y: [N, 1] targets, or [N] labels.
        """
        rows = len(x)
        if self._chunk is None:
            self._chunk = self._open_graph(weights, others, l1, l2, tf.constant(x), tf.constant(y))
        parts, penalty = [], np.zeros(0)
        for start in range(0, rows, _ROWS):
            chunk = slice(start, start + _ROWS)
            found, added = self._chunk(
                weights, others, l1, l2, tf.constant(x[chunk]), tf.constant(y[chunk])
            )
            penalty = added.numpy()
            parts.append((len(x[chunk]), Evaluation(*(value.numpy() for value in found))))
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
            return whole._replace(loss=whole.loss + penalty)

    def _open_graph(self, *arguments: Any) -> Callable[..., Any]:
        """Trace once, with the leading dimension (trials, or rows) of each argument open."""
        signature = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype), arguments
        )
        graph: Callable[..., Any] = tf.function(
            self._trace, input_signature=signature, autograph=False
        )
        return graph

    def _trace(
        self,
        weights: tuple[tf.Tensor, ...],
        others: tuple[tf.Tensor, ...],
        l1: tf.Tensor,
        l2: tf.Tensor,
        x: tf.Tensor,
        y: tf.Tensor,
    ) -> tuple[Evaluation, tf.Tensor]:
        """Return what a chunk says, its loss without penalties, and the penalties [P]."""
        terms = self._program.terms

        def one_trial(
            arguments: tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]],
        ) -> tuple[tf.Tensor, tf.Tensor]:
            with penalties.without_penalties(self._model):
                predictions, _, added = self._model.stateless_call(
                    list(arguments[0]), list(arguments[1]), x, training=False, return_losses=True
                )
            loss = self._loss(y, predictions)
            return keras.ops.sum([loss, *added]) if added else loss, predictions

        loss, predictions = vectorize(one_trial, (weights, others))
        penalty = penalties.value(
            [w for w, kept in zip(weights, self._penalized, strict=True) if kept],
            penalties.Strengths(l1 if terms.l1 else None, l2 if terms.l2 else None),
        )
        nothing = tf.zeros_like(loss)
        penalty = nothing if penalty is None else penalty
        return self._scores(loss, predictions, y), penalty

    def _scores(self, loss: tf.Tensor, predictions: tf.Tensor, y: tf.Tensor) -> Evaluation:
        nothing = tf.zeros_like(loss)
        nonfinite = probes.nonfinite_sum(predictions)
        if self._program.loss == "sparse_categorical_crossentropy":
            hits = tf.argmax(predictions, axis=2, output_type=y.dtype) == y
            return Evaluation(loss, nonfinite, nothing, nothing, _mean(hits, loss.dtype))
        error = tf.cast(predictions, loss.dtype) - tf.cast(y, loss.dtype)
        if self._program.loss == "binary_crossentropy":
            hits = (predictions > 0) == (y > 0.5)
            return Evaluation(loss, nonfinite, nothing, nothing, _mean(hits, loss.dtype))
        return Evaluation(
            loss, nonfinite, _mean(tf.abs(error), loss.dtype), _mean(error**2, loss.dtype), nothing
        )


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


def metrics(
    names: Sequence[str], scores: Evaluation, place: int, y: NDArray[np.generic]
) -> dict[str, float]:
    """Return the metrics asked for, of one trial.

    Args:
        names: out of `mse`, `mae`, `rmse`, `r2` (regression, in units of the scaled
            target) and `accuracy` (classification).
        scores: of P trials.
        place: which of them.
        y: the targets of the split, for the variance `r2` needs.
    """
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
