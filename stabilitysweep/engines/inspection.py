"""Looking at every tensor of a step of one trial; the same for both engines.

Notation: K tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.step_probes import held_paths
from stabilitysweep.engines.subject import Subject, input_name
from stabilitysweep.models.recorder import compute_dtypes, recording
from stabilitysweep.numerics.moments import Quantity, TensorStats
from stabilitysweep.numerics.statistics import read_statistics, statistics

Named = Iterable[tuple[str, tf.Tensor]]


class Row(NamedTuple):
    """A tensor that is looked at.

    Attributes:
        quantity: what it is.
        tensor: its name.
        dtype: what it is computed in.
        value: of any shape, one trial's.
    """

    quantity: Quantity
    tensor: str
    dtype: str
    value: tf.Tensor


class Heads:
    """What the rows of a table of statistics are, noted when the graph is traced."""

    def __init__(self) -> None:
        """Start with none."""
        self._rows: list[tuple[Quantity, str, str, int]] = []

    def measure(self, rows: Sequence[Row]) -> tf.Tensor:
        """Note the rows and return the statistics of their tensors: float64 [K, 5]."""
        self._rows = [
            (row.quantity, row.tensor, row.dtype, int(row.value.shape.num_elements()))
            for row in rows
        ]
        return tf.stack([statistics(row.value) for row in rows])

    def read(self, table: NDArray[np.float64]) -> tuple[TensorStats, ...]:
        """Return the records of what was measured."""
        return tuple(
            read_statistics(*head, values) for head, values in zip(self._rows, table, strict=True)
        )


class Tensors(NamedTuple):
    """All of one trial's step: a tensor a layer, or a variable in the model's order.

    Attributes:
        batch: the inputs.
        activations: with the names of the layers.
        loss: with penalties, not scaled.
        gradients: unscaled, with those of the penalties.
        slots: of the optimizer after the step, with their names.
        before: trainable variables before the step.
        after: the same after it.
        held: moving statistics after the step.
    """

    batch: tf.Tensor
    activations: Sequence[tuple[str, tf.Tensor]]
    loss: tf.Tensor
    gradients: Sequence[tf.Tensor]
    slots: Sequence[tuple[str, tf.Tensor]]
    before: Sequence[tf.Tensor]
    after: Sequence[tf.Tensor]
    held: Sequence[tf.Tensor]


def rows_of_step(model: keras.Model, step: Tensors) -> list[Row]:
    """Return a step's tensors as rows, in the order of computation."""
    paths = [variable.path for variable in model.trainable_variables]
    updates = [new - old for new, old in zip(step.after, step.before, strict=True)]
    weights = zip([*paths, *held_paths(model)], [*step.after, *step.held], strict=True)
    gradients = zip(paths, compute_dtypes(model), step.gradients, strict=True)
    return [
        *_rows(Quantity.INPUT, [(input_name(model), step.batch)]),
        *_rows(Quantity.ACTIVATION, step.activations),
        *_rows(Quantity.LOSS, [("loss", step.loss)]),
        *(Row(Quantity.GRADIENT, path, dtype, tensor) for path, dtype, tensor in gradients),
        *_rows(Quantity.OPTIMIZER, step.slots),
        *_rows(Quantity.UPDATE, zip(paths, updates, strict=True)),
        *_rows(Quantity.WEIGHT, weights),
    ]


def _rows(quantity: Quantity, named: Named) -> list[Row]:
    return [
        Row(quantity, name, tensor.dtype.name, tensor)
        for name, tensor in named
        if tensor.dtype.is_floating or quantity is not Quantity.OPTIMIZER
    ]


def look_at_predictions(
    subject: Subject, weights: Sequence[tf.Tensor], others: Sequence[tf.Tensor], x: NDArray[Any]
) -> tuple[TensorStats, ...]:
    """Return what every layer puts out for the rows `x` [N, D], without training.

    Args:
        subject: with its model.
        weights: one trial's trainable variables.
        others: its non-trainable variables.
        x: N >= 1 rows.
    """
    heads, rows, model = Heads(), tf.constant(x), subject.model
    # Not as a graph: TensorFlow would fuse a product with the `relu` that follows it, and
    # that kernel turns NaN into 0.
    with recording(model) as record:
        model.stateless_call(list(weights), list(others), subject.inputs(rows), training=False)
    named = zip(record.names, record.outputs, strict=True)
    table = heads.measure(_rows(Quantity.PREDICTION, [(input_name(model), rows), *named]))
    return heads.read(table.numpy())
