"""One pass of a user's model as a pure function of its variables.

Notation: B rows, D input columns, K lifted numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from stabilitysweep.models.binding import Binding
from stabilitysweep.models.lifting import Lifted, numbers_replaced


class Pass(NamedTuple):
    """What a pass gives.

    Attributes:
        loss: a scalar, with penalties and whatever the layers add.
        predictions: what the model returns.
        others: new values of the non-trainable variables.
    """

    loss: tf.Tensor
    predictions: Any
    others: list[tf.Tensor]


def run_model(
    model: keras.Model,
    binding: Binding,
    lifted: Sequence[Lifted],
    weights: Sequence[tf.Tensor],
    others: Sequence[tf.Tensor],
    numbers: tf.Tensor,
    rows: tf.Tensor,
    targets: Any,
    *,
    training: bool,
) -> Pass:
    """Call a compiled model on a batch, and its loss, as Keras' own step does.

    Args:
        model: built; its own variables are neither read nor written.
        binding: of its inputs.
        lifted: what `numbers` are the values of.
        weights: trainable variables in the model's order.
        others: non-trainable variables in the model's order.
        numbers: [K].
        rows: [B, D].
        targets: as the loss takes them.
        training: whether dropout and the like are on.
    """
    mapping = [
        *zip(model.trainable_variables, weights, strict=True),
        *zip(model.non_trainable_variables, others, strict=True),
        # Of several outputs Keras keeps a running mean of each loss, for the logs of `fit` alone.
        *(
            (mean, tf.zeros(mean.shape, mean.dtype))
            for mean in getattr(model._compile_loss, "variables", ())
        ),
    ]
    values = tf.unstack(numbers, num=len(lifted)) if lifted else []
    with (
        numbers_replaced(lifted, values),
        keras.StatelessScope(state_mapping=mapping, collect_losses=True) as scope,
    ):
        inputs = binding(rows)
        predictions = model(inputs, training=training)
        loss = model._compute_loss(
            x=inputs, y=targets, y_pred=predictions, sample_weight=None, training=training
        )
    return Pass(loss, predictions, [_current(scope, v) for v in model.non_trainable_variables])


def _current(scope: keras.StatelessScope, variable: keras.Variable) -> Any:
    value = scope.get_current_value(variable)
    return variable.value if value is None else value
