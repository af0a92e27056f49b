"""The state of a model between two steps: whether it is finite, and a copy of where it was.

The state is all variables of the model, trainable or not, and all of its optimizers. It is
looked at and copied between two calls of the train function: inside, a copy that is made now
and then would cost every step under XLA.

Notation: V variables with floating-point numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from stabilitysweep.engines.keras_update import slot_name
from stabilitysweep.integrations.watching import measures
from stabilitysweep.integrations.watching.listening import optimizers_of
from stabilitysweep.integrations.watching.readings import Found
from stabilitysweep.numerics import probes
from stabilitysweep.numerics.moments import Quantity, TensorStats
from stabilitysweep.numerics.statistics import read_statistics
from stabilitysweep.types import Stage


class _Entry(NamedTuple):
    """A variable of the state: what it is, its name, itself."""

    quantity: Quantity
    name: str
    variable: Any


class StateLook(NamedTuple):
    """The state, looked at.

    Attributes:
        found: the first variable that is not finite; None if all are.
        tensors: the weights, and the optimizer's variables where they were asked for.
    """

    found: Found | None
    tensors: tuple[TensorStats, ...]


class StateWatch:
    """Looks at the state of one model, and keeps a copy of it."""

    def __init__(self, model: keras.Model, *, optimizer: bool = True) -> None:
        """Keep the model; nothing is copied yet.

        Args:
            model: compiled; it need not be built yet.
            optimizer: whether the copy holds what the optimizers keep as well.
        """
        self._model = model
        self._with_optimizer = optimizer
        self._copies: list[tuple[Any, tf.Tensor]] = []
        self._looks: dict[tuple[Any, ...], Any] = {}
        self._readers: dict[tuple[int, ...], Any] = {}

    def look(self, *, whole: bool = False) -> StateLook:
        """Look at every floating-point variable, optimizers' first.

        Args:
            whole: measure the optimizers' variables as well; they are checked in any case.
        """
        entries = [e for e in _entries(self._model) if _floating(e.variable)]
        measured = [e for e in entries if whole or e.quantity is Quantity.WEIGHT]
        if not entries:
            return StateLook(None, ())
        key = (*(id(e.variable) for e in entries), whole)
        if key not in self._looks:
            values = [e.variable for e in entries]
            kept = [e.variable for e in measured]
            self._looks = {key: _looker(values, kept, xla=self._compiled())}
        sums, table = (result.numpy() for result in self._looks[key]())
        bad = np.flatnonzero(sums != 0)
        found = None
        if len(bad):
            first = entries[int(bad[0])]
            kind = probes.KINDS[int(probes.kind_code(tf.constant(sums[bad[0]])))]
            stage = Stage.WEIGHT if first.quantity is Quantity.WEIGHT else Stage.OPTIMIZER
            assert kind is not None, "what is not finite has a kind"
            found = Found(stage, first.name, kind)
        stats = [
            read_statistics(e.quantity, e.name, _dtype(e.variable), _size(e.variable), values)
            for e, values in zip(measured, table, strict=True)
        ]
        return StateLook(found, tuple(stats))

    def keep(self) -> None:
        """Copy the state, in place of the copy before.

        What is kept are the values themselves, not variables: TensorFlow copies a value when
        its variable is next written to and the value is still in use.
        """
        wanted = [e.variable for e in _entries(self._model, optimizers=self._with_optimizer)]
        key = tuple(id(variable) for variable in wanted)
        if key not in self._readers:
            self._readers = {key: _traced(lambda: [_value(v) for v in wanted], xla=False)}
        self._copies = list(zip(wanted, self._readers[key](), strict=True))

    def restore(self) -> None:
        """Put the copy back. Variables that were made since it was taken are left alone."""
        with self._model.distribute_strategy.scope():
            for variable, copy in self._copies:
                variable.assign(copy)

    @property
    def ready(self) -> bool:
        """Whether all variables have values: while a step is first traced they have none yet."""
        return all(bool(e.variable.value.is_initialized()) for e in _entries(self._model))

    @property
    def kept(self) -> bool:
        """Whether there is a copy."""
        return bool(self._copies)

    def forget(self) -> None:
        """Let go of the copy."""
        self._copies = []

    def _compiled(self) -> bool:
        return bool(self._model.jit_compile) and not self._model.run_eagerly


def _looker(values: list[Any], measured: list[Any], *, xla: bool) -> Any:
    def look() -> tuple[tf.Tensor, tf.Tensor]:
        tensors = [_value(variable) for variable in values]
        proof = measures.squares(tensors)
        sums = tf.cond(
            tf.math.is_finite(proof),
            lambda: tf.zeros([len(tensors)]),
            lambda: measures.nonfinite_sums(tensors),
        )
        return sums, measures.table([_value(variable) for variable in measured])

    return _traced(look, xla=xla)


def _traced(function: Callable[[], Any], *, xla: bool) -> Any:
    # Traced here rather than when it is called: TensorFlow warns of a function that is made anew
    # for every model.
    return tf.function(function, autograph=False, jit_compile=xla).get_concrete_function()


def _entries(model: keras.Model, *, optimizers: bool = True) -> Iterator[_Entry]:
    """The state of a model, in the order in which a step computes it; nothing twice."""
    trainable = list(model.trainable_variables)
    seen: set[int] = set()
    if optimizers:
        for optimizer in optimizers_of(model):
            for variable in _optimizer_variables(optimizer):
                if id(variable) not in seen:
                    seen.add(id(variable))
                    yield _Entry(Quantity.OPTIMIZER, slot_name(variable, trainable), variable)
    for variable in (*trainable, *model.non_trainable_variables):
        if id(variable) not in seen:
            seen.add(id(variable))
            yield _Entry(Quantity.WEIGHT, variable.path, variable)


def _optimizer_variables(optimizer: Any) -> list[Any]:
    """All an optimizer keeps; Nadam keeps a product that is not among its `variables`."""
    inner = getattr(optimizer, "inner_optimizer", None)
    owners = [optimizer] if inner is None else [optimizer, inner]
    own = [v for one in owners for v in vars(one).values() if isinstance(v, keras.Variable)]
    unused = [] if inner is None else [optimizer._iterations, optimizer._learning_rate]
    left_out = {id(variable) for variable in unused}
    return [v for v in [*optimizer.variables, *own] if id(v) not in left_out]


def _value(variable: Any) -> tf.Tensor:
    return tf.convert_to_tensor(variable.value)


def _floating(variable: Any) -> bool:
    return bool(tf.as_dtype(variable.dtype).is_floating)


def _dtype(variable: Any) -> str:
    return str(tf.as_dtype(variable.dtype).name)


def _size(variable: Any) -> int:
    return int(np.prod(variable.shape, dtype=np.int64))


__all__ = ["StateLook", "StateWatch"]
