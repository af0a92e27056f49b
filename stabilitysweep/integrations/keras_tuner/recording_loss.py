"""The loss of a model over some rows of the data that its `fit` is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

_PLACES = {"x": 0, "y": 1, "batch_size": 2}
"""Arguments of `fit` by their place."""


def measured_loss(
    model: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any], rows: int
) -> float | None:
    """Return the loss with penalties, as `evaluate` gives it, over rows spread over the data.

    Args:
        model: compiled.
        args: what its `fit` is called with.
        kwargs: the same by name.
        rows: how many, at most.

    Returns:
        The loss; None for a model that cannot be evaluated, and for data that are no arrays,
        such as a `tf.data.Dataset`: to look into them would change what is trained on.
    """
    x, y = _argument("x", args, kwargs), _argument("y", args, kwargs)
    weight = kwargs.get("sample_weight")
    parts = [part for part in (x, y, weight) if part is not None]
    arrays = [leaf for part in parts for leaf in tf.nest.flatten(part)]
    if not rows or x is None or y is None or not all(map(_is_array, arrays)):
        return None
    total = min(len(array) for array in arrays)
    held_out = kwargs.get("validation_split") or 0.0
    trained = math.floor(total * (1 - held_out))
    if trained < 1:
        return None
    chosen = np.unique(np.linspace(0, trained - 1, min(rows, trained)).round().astype(np.int64))
    take = _taker(chosen)
    try:
        found = model.evaluate(
            tf.nest.map_structure(take, x),
            tf.nest.map_structure(take, y),
            sample_weight=None if weight is None else tf.nest.map_structure(take, weight),
            batch_size=_argument("batch_size", args, kwargs),
            verbose=0,
            return_dict=True,
        )
        return float(found["loss"])
    except Exception:  # what a user's model makes of it is no reason to end its trial
        return None


def _argument(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    place = _PLACES[name]
    return args[place] if place < len(args) else kwargs.get(name)


def _is_array(value: Any) -> bool:
    whole = isinstance(value, np.ndarray | pd.DataFrame | pd.Series) or tf.is_tensor(value)
    return whole and len(value.shape) > 0


def _taker(chosen: NDArray[np.int64]) -> Callable[[Any], Any]:
    def take(array: Any) -> Any:
        if isinstance(array, pd.DataFrame | pd.Series):
            return array.iloc[chosen]
        return tf.gather(array, chosen) if tf.is_tensor(array) else array[chosen]

    return take
