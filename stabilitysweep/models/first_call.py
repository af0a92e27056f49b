"""Calling a user's model once before it is trained: what it makes when first called is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from stabilitysweep.blueprint import TargetFacts
from stabilitysweep.models.fitting_target import example_target
from stabilitysweep.models.user_builds import Built

_ROWS = 2


def first_call(
    built: Built,
    form: str,
    facts: TargetFacts,
    accept: Callable[[Any], None] = lambda predictions: None,
) -> None:
    """Call model, loss and metrics: in a graph they could not make their variables.

    What the model keeps of its calls (the state of random generators, running means) is put
    back: its training begins as that of a model that was never called.

    Args:
        built: the model.
        form: of its target.
        facts: about that target.
        accept: given the predictions, before the loss is; raises if they are wrong.
    """
    model = built.model
    kept = [(variable, variable.numpy()) for variable in model.non_trainable_variables]
    inputs = built.binding(np.ones((_ROWS, built.binding.columns), keras.config.floatx()))
    example = example_target(form, facts, _ROWS)
    predictions = model(inputs, training=False)
    accept(predictions)
    model._compute_loss(x=inputs, y=example, y_pred=predictions, training=False)
    metrics = model._compile_metrics
    if metrics is not None and not metrics.built:
        metrics.build(example, predictions)
        # Some metrics make their variables when they are first used.
        metrics.update_state(example, predictions)
        metrics.reset_state()
    for variable, value in kept:
        variable.assign(value)
