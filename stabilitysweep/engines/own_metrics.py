"""The metrics that a user's model was compiled with, for every trial of a stack by itself.

Notation: P trials, R rows a chunk.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from stabilitysweep.engines.trial_axis import vectorize

State = tuple[tf.Tensor, ...]


class OwnMetrics:
    """Keras' metrics of one model as functions of their state."""

    def __init__(self, model: keras.Model) -> None:
        """Take the metrics of a compiled model, built; there may be none."""
        compiled = model._compile_metrics
        self._metrics: Any = compiled if compiled is not None and compiled.built else None
        self._variables = [] if self._metrics is None else list(self._metrics.variables)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._variables)

    def initial(self, trials: Any) -> State:
        """Return the state before the first row, [P, ...] each."""

        def repeated(variable: Any) -> tf.Tensor:
            value = tf.zeros(variable.shape, variable.dtype)
            return tf.tile(value[None], [trials, *[1] * len(variable.shape)])

        return tuple(map(repeated, self._variables))

    def update(self, state: State, targets: Any, predictions: Any) -> State:
        """Add a chunk: targets [R, ...] that all trials share, predictions [P, R, ...]."""

        def one_trial(arguments: Any) -> State:
            own, predicted = arguments
            mapping = list(zip(self._variables, own, strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                self._metrics.update_state(targets, predicted)
            values = [scope.get_current_value(variable) for variable in self._variables]
            return tuple(
                before if value is None else value
                for value, before in zip(values, own, strict=True)
            )

        return tuple(vectorize(one_trial, (state, predictions)))

    def results(self, state: State) -> dict[str, tf.Tensor]:
        """Return each metric by its name, [P]."""

        def one_trial(own: State) -> dict[str, tf.Tensor]:
            mapping = list(zip(self._variables, own, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                found = self._metrics.result()
            return {name: tf.cast(value, tf.float32) for name, value in found.items()}

        found: dict[str, tf.Tensor] = vectorize(one_trial, state)
        return found
