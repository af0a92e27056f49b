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
import sys
import warnings
from collections.abc import Collection, Mapping
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of what is unsafe to load again
            parts = [_layer(layer, places) for layer in layers]
        parts += [_variable(variable, places) for variable in model.variables]
        loss, metrics = model._compile_loss, model._compile_metrics
        parts.append(_value(getattr(loss, "_user_loss", None), places))
        parts.append(_value(getattr(loss, "_user_loss_weights", None), places))
        for name in ("_user_metrics", "_user_weighted_metrics"):
            parts.append(_value(getattr(metrics, name, None), places))
        return "\n".join(parts)
    except (_IndescribableError, TypeError, ValueError, NotImplementedError, RecursionError):
        return ""


def _layer(layer: Any, places: Mapping[int, int]) -> str:
    kind = _named(type(layer))
    # What a layer was adapted to is in no config.
    if isinstance(layer, keras.layers.Lambda) or hasattr(layer, "adapt"):
        raise _IndescribableError
    if not _is_keras(type(layer)):
        skipped = _bookkeeping(isinstance(layer, keras.Model))
        own = {
            name: value
            for name, value in vars(layer).items()
            # TensorFlow's bookkeeping of what it tracks comes and goes with the attributes.
            if name not in skipped and not name.startswith("_self_")
        }
        return f"{kind} {_value(own, places)} {layer.dtype_policy.name} {layer.trainable}"
    if isinstance(layer, keras.Model):
        # How its layers are connected; the compile config holds the learning rate.
        content = keras.saving.serialize_keras_object(layer)
        content.pop("compile_config", None)
    else:
        held = [value for value in vars(layer).values() if isinstance(value, FunctionType)]
        if not all(function.__module__.startswith("keras.") for function in held):
            raise _IndescribableError  # an activation, or a call in the place of its own
        content = layer.get_config()
    # Layers of the user's in it have descriptions of their own.
    inner = {type(each).__name__ for each in all_layers(layer) if not _is_keras(type(each))}
    _refuse_unknown(content, inner)
    return f"{kind} {json.dumps(content, sort_keys=True, default=_refuse)}"


def _variable(variable: Any, places: Mapping[int, int]) -> str:
    shape = f"{variable.path} {variable.shape} {variable.dtype} {variable.trainable}"
    return f"{shape} {_value(getattr(variable, 'regularizer', None), places)}"


_TOLD = frozenset({"_supports_masking", "activity_regularizer", "autocast"})
"""What every layer has, and a user may have set."""


@functools.cache
def _bookkeeping(is_model: bool) -> frozenset[str]:
    """What every layer, or every compiled model, has for Keras' own use."""
    layer = keras.layers.Identity()
    layer(np.zeros((1, 1)))
    names = set(vars(layer))
    if is_model:
        model = keras.Model()
        model.compile(optimizer="sgd", loss="mse")
        names |= set(vars(model)) | {"_compiled_trainable_state"}
    return frozenset(names) - _TOLD


def _refuse(value: Any) -> Any:
    raise _IndescribableError


def _refuse_unknown(content: Any, layers: Collection[str] = ()) -> None:
    """Refuse what is the user's in a config and may be more than the config says.

    Of functions it only has the names; of other objects than `layers`, what they put into it.
    """
    if isinstance(content, dict):
        kind = content.get("class_name")
        module = str(content.get("module") or "builtins").partition(".")[0]
        if kind in ("function", "__lambda__") and module != "keras":
            name = content.get("registered_name")
            if name != content.get("config") or not hasattr(keras.activations, str(name)):
                raise _IndescribableError
        elif content.get("registered_name") and module != "keras" and kind not in layers:
            raise _IndescribableError
        for value in content.values():
            _refuse_unknown(value, layers)
    elif isinstance(content, list | tuple):
        for value in content:
            _refuse_unknown(value, layers)


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
        case np.ndarray() if not value.dtype.hasobject:
            return f"array {value.dtype} {value.shape} {_digest(value)}"
        case keras.Variable():
            return f"variable {_variable(value, places)}"
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
    # Before its config, which may leave things out: that of `Huber` has no `delta`.
    if isinstance(value, keras.losses.Loss):
        return f"{_named(type(value))} {_value(vars(value), places)}"
    if isinstance(value, keras.metrics.Metric) and not _is_keras(type(value)):
        own = {n: held for n, held in vars(value).items() if n not in _metric_bookkeeping()}
        return f"{_named(type(value))} {value.name} {value.dtype} {_value(own, places)}"
    if _is_keras(type(value)) and hasattr(value, "get_config"):
        content = value.get_config()
        _refuse_unknown(content)
        return f"{_named(type(value))} {json.dumps(content, sort_keys=True, default=_refuse)}"
    if _is_keras(type(value)) and hasattr(value, "__dict__"):
        return f"{_named(type(value))} {_value(vars(value), places)}"
    if isinstance(value, keras.regularizers.Regularizer):
        return f"{_named(type(value))} {_value(vars(value), places)}"
    raise _IndescribableError


@functools.cache
def _metric_bookkeeping() -> frozenset[str]:
    """What every metric has for Keras' own use."""
    return frozenset(vars(keras.metrics.Metric()))


def _function(function: FunctionType) -> str:
    # What a module holds is the same for every model of a sweep, its defaults among it.
    if function.__closure__:
        raise _IndescribableError
    return f"function {_named(function)}"


def _named(kind: type | FunctionType) -> str:
    """Return where a class or function stands in its module."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not kind:  # made inside a function, which may have closed over anything
        raise _IndescribableError
    return f"{kind.__module__}.{kind.__qualname__}"


def is_keras_type(part: Any) -> bool:
    """Whether the class of something is one of Keras' own."""
    return _is_keras(type(part))


def _is_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).hexdigest()
