"""Listening to the output of every layer of a Keras model while it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf


@dataclass(slots=True)
class Recording:
    """What the layers put out, in the order of computation.

    Attributes:
        names: the layer's name for each output; a layer that is called again, or has
            several outputs, is numbered from its second on ("lstm:2").
        outputs: the floating-point tensors, as the layers returned them.
    """

    names: list[str] = field(default_factory=list)
    outputs: list[tf.Tensor] = field(default_factory=list)

    def add(self, layer: str, result: Any) -> None:
        """Append the floating-point tensors in `result`, which `layer` returned."""
        for tensor in tf.nest.flatten(result):
            if isinstance(tensor, tf.Tensor) and tensor.dtype.is_floating:
                seen = sum(name.partition(":")[0] == layer for name in self.names)
                self.names.append(layer if seen == 0 else f"{layer}:{seen + 1}")
                self.outputs.append(tensor)


@contextmanager
def recording(model: keras.Model) -> Iterator[Recording]:
    """Record the outputs of the innermost layers of `model` during calls made inside.

    Works for models of any kind, since it listens to the layers' own `call` methods.
    """
    record = Recording()
    found = {id(layer): layer for layer in _innermost(model)}  # once, however often it is used
    layers = [layer for layer in found.values() if not isinstance(layer, keras.layers.InputLayer)]
    for layer in layers:
        layer.call = _listening(layer.name, layer.call, record)
    try:
        yield record
    finally:
        for layer in layers:
            del layer.call


def compute_dtypes(model: keras.Model) -> list[str]:
    """Return for each trainable variable the dtype its layer computes in, in order.

    That is the dtype its gradient is computed in: under a mixed policy the variable, and
    the gradient handed to the optimizer, are float32 all the same.
    """
    own = {
        id(variable): layer.compute_dtype
        for layer in _innermost(model)
        for variable in layer.trainable_variables
    }
    return [own.get(id(v), model.compute_dtype) for v in model.trainable_variables]


def _listening(name: str, call: Callable[..., Any], record: Recording) -> Callable[..., Any]:
    def listen(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        record.add(name, result)
        return result

    return listen


def _innermost(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    inner = getattr(layer, "layers", [])
    if not isinstance(inner, list | tuple):  # a user's attribute of that name
        inner = []
    for child in inner:
        yield from _innermost(child)
    if not inner:
        yield layer
