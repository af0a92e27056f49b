"""The update of any Keras optimizer, for every trial of a stack by itself.

`optimizers` has the common ones written out, on all weights at once. Any other is asked
itself: its own code is run on one trial's weights, gradients and variables, and vectorised,
so that norms over a weight, a gradient or all gradients stay within the trial.

On the TensorFlow backend Keras' optimizers write to `tf.Variable` through `tf.distribute`,
and refuse `stateless_apply`. What is called here are the methods of Keras' base class, which
write to Keras' own variables, and so into the stateless scope.

Notation: P trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from stabilitysweep.engines.slices import DENSE, Kinds, Slices, put_together
from stabilitysweep.engines.trial_axis import vectorize

Tensors = tuple[tf.Tensor, ...]

_BASE = next(kind for kind in keras.optimizers.SGD.__mro__ if kind.__name__ == "BaseOptimizer")
_DISTRIBUTED = next(kind for kind in keras.optimizers.SGD.__mro__ if kind.__name__ == "TFOptimizer")
_REPLACED = (
    "assign",
    "assign_add",
    "assign_sub",
    "_apply_weight_decay",
    "_backend_update_step",
    "_overwrite_model_variables_with_average_value",
)


@contextmanager
def _undistributed() -> Iterator[None]:
    """Let optimizers write to Keras' variables inside."""
    replacing = {name: vars(_BASE)[name] for name in _REPLACED} | {"_var_key": _key}
    kept = {name: vars(_DISTRIBUTED)[name] for name in replacing}
    try:
        for name, method in replacing.items():
            setattr(_DISTRIBUTED, name, method)
        yield
    finally:
        for name, method in kept.items():
            setattr(_DISTRIBUTED, name, method)


def _key(optimizer: Any, variable: Any) -> Any:
    """The key that an optimizer knows a variable by, in a stateless scope too.

    The user may have built the optimizer, or left variables out of its weight decay, before.
    """
    return getattr(variable, "_value", variable)._unique_id


class KerasUpdate:
    """The update of one optimizer.

    Attributes:
        names: of its variables but the learning rate and the count of steps, as
            `weight/slot` where a variable belongs to a weight.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, weights: Sequence[Any]) -> None:
        """Make the optimizer's variables for a model's trainable ones."""
        self._optimizer = optimizer
        self._weights = list(weights)
        with _undistributed():
            if not optimizer.built:
                optimizer.build(self._weights)
        self._variables = optimizer_variables(optimizer)
        self.names = [slot_name(variable, self._weights) for variable in self._variables]
        for name, variable in zip(self.names, self._variables, strict=True):
            values = variable.numpy()
            if values.size and (values != values.flat[0]).any():
                # As in ScheduleFreeAdamW: every trial would begin with those of the template.
                raise ValueError(
                    f"expected variables of {type(optimizer).__name__} that begin with one number, "
                    f"got '{name}', which begins with a trial's own weights"
                )

    def initial(self, trials: tf.Tensor) -> tuple[Tensors, ...]:
        """Return the variables before step 1, [P, ...] each."""

        def repeated(variable: Any) -> tf.Tensor:
            value = tf.convert_to_tensor(variable.value)
            return tf.tile(value[None], [trials, *[1] * len(variable.shape)])

        return tuple((repeated(variable),) for variable in self._variables)

    def __call__(
        self,
        weights: Tensors,
        gradients: Tensors,
        slots: tuple[Tensors, ...],
        rates: tf.Tensor,
        iterations: tf.Tensor,
        slices: tuple[Slices, ...] = (),
        kinds: Kinds = DENSE,
    ) -> tuple[Tensors, tuple[Tensors, ...]]:
        """Update every trial.

        Args:
            weights: [P, ...] each.
            gradients: unscaled.
            slots: as `initial` gives them.
            rates: learning rate of this step, [P].
            iterations: steps applied so far, [P].
            slices: of those gradients that came as slices.
            kinds: which these are.

        Returns:
            The weights and slots after the step.
        """

        def one_trial(arguments: Any) -> Any:
            own, gradient, parts, slot, rate, count = arguments
            return self._apply(own, put_together(gradient, parts, kinds), slot, rate, count)

        flat = tuple(slot for (slot,) in slots)
        new, slots_after = vectorize(
            one_trial, (weights, gradients, slices, flat, rates, iterations)
        )
        return tuple(new), tuple((slot,) for slot in slots_after)

    def final_weights(self, weights: Tensors, slots: tuple[Tensors, ...]) -> Tensors:
        """Return the weights that `fit` leaves behind: with EMA these are the averages."""
        if not self._optimizer.use_ema:
            return weights
        places = {id(variable): place for place, variable in enumerate(self._variables)}
        averages = self._optimizer._model_variables_moving_average
        return tuple(slots[places[id(average)]][0] for average in averages)

    def _apply(
        self, weights: Tensors, gradients: list[Any], slots: Tensors, rate: Any, count: Any
    ) -> tuple[Tensors, Tensors]:
        optimizer = self._optimizer
        mapping = [
            *zip(self._weights, weights, strict=True),
            *zip(self._variables, slots, strict=True),
            (optimizer._iterations, tf.cast(count, optimizer._iterations.dtype)),
        ]
        with _undistributed(), _rate(optimizer, rate):
            scope = keras.StatelessScope(state_mapping=mapping)
            with scope:
                self._step(gradients)

            def current(variable: Any, before: tf.Tensor) -> tf.Tensor:
                value = scope.get_current_value(variable)
                return before if value is None else tf.cast(value, before.dtype)

            return (
                tuple(current(v, w) for v, w in zip(self._weights, weights, strict=True)),
                tuple(current(v, s) for v, s in zip(self._variables, slots, strict=True)),
            )

    def _step(self, gradients: list[tf.Tensor]) -> None:
        """What `Optimizer.apply` does, without branches in the graph: those it would leak from."""
        optimizer, weights = self._optimizer, self._weights
        every = optimizer.gradient_accumulation_steps
        if every:
            self._accumulated(gradients, every)
        else:
            self._plain(gradients)
        if optimizer.use_ema:
            optimizer._update_model_variables_moving_average(weights)
            frequency = optimizer.ema_overwrite_frequency
            if frequency:
                # By updates: `iterations` counts several batches as one while they accumulate.
                due = tf.equal((tf.convert_to_tensor(optimizer.iterations) + 1) % frequency, 0)
                averages = optimizer._model_variables_moving_average
                for weight, average in zip(weights, averages, strict=True):
                    weight.assign(tf.where(due, average.value, weight.value))
        for weight in weights:
            if weight.constraint is not None:
                weight.assign(weight.constraint(weight))

    def _plain(self, gradients: list[tf.Tensor]) -> None:
        optimizer = self._optimizer
        pairs = zip(gradients, self._weights, strict=True)
        connected = [(own, weight) for own, weight in pairs if own is not None]
        weights = [weight for _, weight in connected]
        gradients = optimizer._clip_gradients([own for own, _ in connected])
        optimizer._apply_weight_decay(weights)
        optimizer._backend_update_step(gradients, weights, optimizer.learning_rate)

    def _accumulated(self, gradients: list[tf.Tensor], every: int) -> None:
        optimizer = self._optimizer
        held = optimizer._accumulated_gradients
        due = tf.equal((optimizer._iterations.value + 1) % every, 0)
        state = [*self._weights, *(v for v in self._variables if all(v is not h for h in held))]
        before = [variable.value for variable in state]
        sums = [
            own.value if gradient is None else tf.convert_to_tensor(gradient) + own.value
            for gradient, own in zip(gradients, held, strict=True)
        ]
        self._plain([total / every for total in sums])
        for variable, old in zip(state, before, strict=True):
            variable.assign(tf.where(due, variable.value, old))
        for own, total in zip(held, sums, strict=True):
            own.assign(tf.where(due, tf.zeros_like(total), total))


@contextmanager
def _rate(optimizer: Any, rate: tf.Tensor) -> Iterator[None]:
    """Give the optimizer a trial's own learning rate inside."""
    kept = optimizer._learning_rate
    object.__setattr__(optimizer, "_learning_rate", rate)
    try:
        yield
    finally:
        object.__setattr__(optimizer, "_learning_rate", kept)


def optimizer_variables(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Return all that an optimizer keeps, but the learning rate and the count of steps.

    Nadam keeps a product that is not among its `variables`.
    """
    found = [*optimizer.variables]
    found += [value for value in vars(optimizer).values() if isinstance(value, keras.Variable)]
    left_out = {id(optimizer._iterations), id(optimizer._learning_rate)}
    return list({id(v): v for v in found if id(v) not in left_out}.values())


def slot_name(variable: Any, weights: Sequence[Any]) -> str:
    """Name an optimizer's variable by the weight it belongs to: `dense/kernel/momentum`."""
    owners = [
        weight.path
        for weight in weights
        if variable.name.startswith(f"{weight.path.replace('/', '_')}_")
    ]
    if not owners:
        return str(variable.name)
    owner = max(owners, key=len)
    return f"{owner}/{variable.name[len(owner) + 1 :]}"
