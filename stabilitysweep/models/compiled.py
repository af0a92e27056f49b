"""What a compiled model says of its training: optimizer, loss and metrics, in our words."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from stabilitysweep.blueprint import TargetFacts

_KNOWN: dict[type, str] = {
    keras.optimizers.SGD: "sgd",
    keras.optimizers.Adam: "adam",
    keras.optimizers.AdamW: "adam",
    keras.optimizers.RMSprop: "rmsprop",
}
"""Optimizers whose updates the stacked engine has written out, by their exact class."""

_LIFTED = ("learning_rate", "momentum", "nesterov", "weight_decay", "clipnorm")
_SAID = ("name", *_LIFTED)
_OFF: Mapping[str, Any] = {
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": None,
    "clipnorm": None,
    "schedule": "constant",
    "warmup_steps": 0,
}
"""What the settings of the config are that an optimizer does not have."""

_FORMS: Mapping[str, tuple[str, ...]] = {
    "mse": ("mean_squared_error", "mse"),
    "mae": ("mean_absolute_error", "mae"),
    "huber": ("huber", "log_cosh", "logcosh"),
    "poisson": ("poisson",),
    "binary_crossentropy": ("binary_crossentropy", "bce", "binary_focal_crossentropy"),
    "sparse_categorical_crossentropy": ("sparse_categorical_crossentropy",),
    "categorical_crossentropy": (
        "categorical_crossentropy",
        "categorical_focal_crossentropy",
        "kl_divergence",
        "kld",
    ),
}
"""The forms of a target, and Keras' losses that take it, by the names of their functions."""


@dataclass(frozen=True, slots=True)
class CompiledPart:
    """What `compile` was told.

    Attributes:
        training: settings of the optimizer by the names of the config.
        optimizer: its class.
        update: `sgd`, `adam` or `rmsprop`, or `keras` where it is none of these or has
            options that they do not have.
        scheduled: whether the learning rate is a schedule.
        numbers: what shapes the update beside `training`, as text.
        loss: in words.
    """

    training: dict[str, Any]
    optimizer: str
    update: str
    scheduled: bool
    numbers: str
    loss: str


def inner_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Return the optimizer of a compiled model, without the wrapper for loss scaling."""
    optimizer = model.optimizer
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer.inner_optimizer if scaled else optimizer


def compiled_part(model: keras.Model) -> CompiledPart:
    """Read what a compiled model was told."""
    optimizer = inner_optimizer(model)
    config = optimizer.get_config()
    constrained = any(v.constraint is not None for v in model.trainable_variables)
    plain = type(optimizer) in _KNOWN and not constrained and _is_plain(optimizer, config)
    rate = optimizer._learning_rate
    scheduled = not isinstance(rate, keras.Variable)
    training: dict[str, Any] = {
        # Said also where it is off: the config may give it to models that are not compiled.
        name: off if config.get(name) is None else config[name]
        for name, off in _OFF.items()
    }
    training["optimizer"] = _name_of(optimizer)
    training["learning_rate"] = _peak(rate) if scheduled else float(config["learning_rate"])
    rest = {name: value for name, value in config.items() if name not in ("name", _LIFTED[0])}
    return CompiledPart(
        training=training,
        optimizer=type(optimizer).__name__,
        update=_KNOWN[type(optimizer)] if plain else "keras",
        scheduled=scheduled,
        numbers=_scaling(model.optimizer)
        + ("" if plain else f"{type(optimizer).__qualname__} {json.dumps(rest, default=str)}")
        + _left_out(optimizer, model),
        loss=_loss_in_words(user_loss(model)),
    )


def user_loss(model: keras.Model) -> Any:
    """Return the loss as it was given to `compile`; None where the layers add all of it."""
    return None if model._compile_loss is None else model._compile_loss._user_loss


def only_loss(model: keras.Model) -> Any:
    """Return the loss of a model of one output; None where it has several, or none of its own."""
    loss = user_loss(model)
    if isinstance(loss, dict | list | tuple):
        flat = list(loss.values()) if isinstance(loss, dict) else list(loss)
        return flat[0] if len(flat) == 1 else None
    return loss


def is_keras_loss(loss: Any) -> bool:
    """Whether a loss is one of Keras' own, whose form of a target is known."""
    return bool(_function_name(loss))


def _left_out(optimizer: Any, model: keras.Model) -> str:
    """Which weights are left out of the weight decay, in words; empty if none are."""
    pattern = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    keys = getattr(optimizer, "_exclude_from_weight_decay", None) or ()
    paths = [v.path for v in model.trainable_variables if optimizer._var_key(v) in keys]
    named = getattr(pattern, "pattern", pattern)
    return f" without decay {named} {paths}" if named or paths else ""


def _scaling(optimizer: Any) -> str:
    """How the loss is scaled, in words; empty if it is not."""
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return ""
    return f"scaled from {optimizer.initial_scale}, {optimizer.dynamic_growth_steps} steps; "


def _is_plain(optimizer: Any, config: Mapping[str, Any]) -> bool:
    """Whether all that the written-out updates do not know is at its default."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(optimizer).__init__).parameters.items()
    }
    # In the plain form AdamW is Adam with weight decay.
    return all(
        config[name] == defaults[name] for name in config if name in defaults and name not in _SAID
    ) and not (
        getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
        or getattr(optimizer, "_exclude_from_weight_decay", None)
    )


def _name_of(optimizer: keras.optimizers.Optimizer) -> str:
    return type(optimizer).__name__.lower()


def _peak(schedule: Any) -> float:
    """The learning rate that a schedule is named by: its peak, or else where it begins."""
    for name in ("warmup_target", "initial_learning_rate"):
        value = getattr(schedule, name, None)
        if isinstance(value, int | float) and value > 0:
            return float(value)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float(schedule(0))
    return float(schedule() if callable(schedule) else schedule)


def target_form(model: keras.Model, facts: TargetFacts) -> str:
    """Return the form in which a compiled model's loss takes the target; see `data.targets`."""
    if facts.shapes:
        return "given"
    loss = only_loss(model)
    name = _function_name(loss)
    for form, names in _FORMS.items():
        if name in names:
            return form
    return "numbers" if facts.classes == 0 or not facts.text else "sparse_categorical_crossentropy"


def _function_name(loss: Any) -> str:
    """The name of the Keras function behind a loss; empty for a function of the user's."""
    try:
        found = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:
        return ""
    function = getattr(found, "fn", None) or found
    own = not str(getattr(function, "__module__", "")).startswith("keras.")
    name = getattr(function, "__name__", "")
    return "" if own else str(name)


def _loss_in_words(loss: Any) -> str:
    match loss:
        case None:
            return "of the model's own"
        case str():
            return loss
        case dict() | list() | tuple():
            parts = loss.values() if isinstance(loss, dict) else loss
            return ", ".join(_loss_in_words(part) for part in parts)
        case keras.losses.Loss():
            return str(loss.name)
        case _:
            return str(getattr(loss, "__name__", type(loss).__name__))


def metric_names(model: keras.Model) -> Iterator[str]:
    """Yield the names of the metrics a model was compiled with."""
    compiled = model._compile_metrics
    if compiled is not None and compiled.built:
        yield from compiled.result()
