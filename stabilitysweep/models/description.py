"""A text of all that shapes the graph of a model, where that can be told without tracing it.

Keras' own layers say in their configs what they are. A layer of the user's does not, but its
class is the same for every model of a sweep, since its module is loaded once: what tells two
of its instances apart are their attributes. Where an attribute may hold anything (a closure,
a class that was made inside `build`, an object of another library), no text is given, and the
graph has to be traced.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stabilitysweep.models.lifting import all_layers

_PLAIN = (bool, int, float, str, bytes, complex, type(None), np.generic, tf.DType, tf.TensorShape)


class _IndescribableError(Exception):
    """Something that may hold anything."""


def describe_model(model: keras.Model) -> str:
    """Return a text that two models of one module share only if their graphs are the same.

    The learning rate and whatever else the optimizer is told do not enter.

    Args:
        model: built and compiled.

    Returns:
        The text; empty where only the traced graph can tell.
    """
    layers = all_layers(model)  # the model itself among them
    places = {id(layer): place for place, layer in enumerate(layers)}
    try:
        parts = [_layer(layer, places) for layer in layers]
        loss, metrics = model._compile_loss, model._compile_metrics
        parts.append(_value(loss._user_loss, places))
        parts.append(_value(loss._user_loss_weights, places))
        parts.append(_value(getattr(metrics, "_user_metrics", None), places))
        return "\n".join(parts)
    except (_IndescribableError, TypeError, ValueError, NotImplementedError, RecursionError):
        return ""


def _layer(layer: Any, places: Mapping[int, int]) -> str:
    kind = _named(type(layer))
    if isinstance(layer, keras.layers.Lambda):
        raise _IndescribableError
    if not _is_keras(type(layer)):
        own = {
            name: value
            for name, value in vars(layer).items()
            # TensorFlow's bookkeeping of what it tracks comes and goes with the attributes.
            if name not in _bookkeeping() and not name.startswith("_self_")
        }
        return f"{kind} {_value(own, places)} {layer.dtype_policy.name} {layer.trainable}"
    if isinstance(layer, keras.Model):
        # How its layers are connected; the compile config holds the learning rate.
        content = keras.saving.serialize_keras_object(layer)
        content.pop("compile_config", None)
    else:
        content = layer.get_config()
    _refuse_functions(content)
    return f"{kind} {json.dumps(content, sort_keys=True, default=_refuse)}"


@functools.cache
def _bookkeeping() -> frozenset[str]:
    """What every layer and model has for Keras' own use."""
    layer = keras.layers.Identity()
    layer(np.zeros((1, 1)))
    model = keras.Model()
    return frozenset(vars(layer)) | frozenset(vars(model))


def _refuse(value: Any) -> Any:
    raise _IndescribableError


def _refuse_functions(content: Any) -> None:
    """Refuse functions of the user's in a config: it only has their names."""
    if isinstance(content, dict):
        module = str(content.get("module") or "builtins").partition(".")[0]
        if content.get("class_name") in ("function", "__lambda__") and module != "keras":
            name = content.get("registered_name")
            if name != content.get("config") or not hasattr(keras.activations, str(name)):
                raise _IndescribableError
        for value in content.values():
            _refuse_functions(value)
    elif isinstance(content, list | tuple):
        for value in content:
            _refuse_functions(value)


def _value(value: Any, places: Mapping[int, int]) -> str:
    """Describe an attribute: its type, and all that it holds."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__} {value!r}"
    if id(value) in places:
        return f"layer {places[id(value)]}"
    match value:
        case dict():
            inner = [f"{key!r}: {_value(own, places)}" for key, own in value.items()]
            return f"{{{', '.join(inner)}}}"
        case list() | tuple() | set() | frozenset():
            inner = [_value(own, places) for own in value]
            ordered = sorted(inner) if isinstance(value, set | frozenset) else inner
            return f"{type(value).__name__} [{', '.join(ordered)}]"
        case np.ndarray():
            return f"array {value.dtype} {value.shape} {_digest(value)}"
        case keras.Variable():
            return f"variable {value.path} {value.shape} {value.dtype} {value.trainable}"
        case keras.KerasTensor():
            return f"tensor {value.name} {value.shape} {value.dtype}"
        case tf.Tensor() if hasattr(value, "numpy"):
            return f"constant {_value(value.numpy(), places)}"
        case type():
            return _named(value)
        case FunctionType():
            return _function(value)
        case keras.DTypePolicy():
            return f"policy {value.name}"
    if _is_keras(type(value)) and hasattr(value, "get_config"):
        content = value.get_config()
        _refuse_functions(content)
        return f"{_named(type(value))} {json.dumps(content, sort_keys=True, default=_refuse)}"
    if _is_keras(type(value)) and hasattr(value, "__dict__"):
        return f"{_named(type(value))} {_value(vars(value), places)}"
    if isinstance(value, keras.losses.Loss | keras.regularizers.Regularizer | keras.metrics.Metric):
        return f"{_named(type(value))} {_value(vars(value), places)}"
    raise _IndescribableError


def _function(function: FunctionType) -> str:
    if function.__closure__ or function.__defaults__ or "<" in function.__qualname__:
        raise _IndescribableError
    return f"function {function.__module__}.{function.__qualname__}"


def _named(kind: type) -> str:
    if "<" in kind.__qualname__:  # made inside a function, which may have closed over anything
        raise _IndescribableError
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()
