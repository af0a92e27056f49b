"""Every `model.fit` of a trial, whoever calls it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

_CALLBACKS = 5
"""Place of the callbacks among the arguments of `fit`."""


@contextmanager
def fits_watched(fit: Callable[..., Any]) -> Iterator[None]:
    """Have every `model.fit` of this thread go through `fit`.

    At the class, so that it is all one whether a hypermodel or a tuner calls it, and with which
    callbacks. A `fit` inside another is left alone.
    """
    original = keras.Model.fit
    own = "fit" in vars(keras.Model)
    thread = threading.get_ident()
    inside = False

    def watched(model: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal inside
        if inside or threading.get_ident() != thread:
            return original(model, *args, **kwargs)
        inside = True
        try:
            return fit(original, model, *args, **kwargs)
        finally:
            inside = False

    keras.Model.fit = watched
    try:
        yield
    finally:
        if own:
            keras.Model.fit = original
        else:
            del keras.Model.fit


def with_callback(
    args: tuple[Any, ...], kwargs: dict[str, Any], callback: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a `fit` with one more callback."""
    placed = len(args) > _CALLBACKS
    given = args[_CALLBACKS] if placed else kwargs.get("callbacks")
    if isinstance(given, keras.callbacks.CallbackList):
        given.append(callback)
        return args, kwargs
    own = given if isinstance(given, list | tuple) else [given] if given else []
    if placed:
        return (*args[:_CALLBACKS], [*own, callback], *args[_CALLBACKS + 1 :]), kwargs
    return args, {**kwargs, "callbacks": [*own, callback]}
