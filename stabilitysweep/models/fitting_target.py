"""Whether what a user's model puts out fits the target, before anything is trained.

Losses broadcast: ten outputs against one number give a loss without a word, and the wrong one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from stabilitysweep.blueprint import TargetFacts


def example_target(form: str, facts: TargetFacts, rows: int) -> Any:
    """Return a target of zeros for some rows, in the form that data of these facts take."""
    if form == "given":
        arrays = {name: np.zeros((rows, *shape), np.float32) for name, shape in facts.shapes}
        return arrays[""] if list(arrays) == [""] else arrays
    if form == "sparse_categorical_crossentropy":
        return np.zeros(rows, np.int32)
    width = max(facts.classes, 2) if form == "categorical_crossentropy" else 1
    target = np.zeros((rows, width), np.float32)
    target[:, 0] = 1.0 if form in ("categorical_crossentropy", "poisson") else 0.0
    return target


def check_output(predictions: Any, form: str, facts: TargetFacts) -> None:
    """Refuse predictions that do not fit a target of one column.

    Raises:
        ValueError: they do not; the message says what was expected.
    """
    flat = tf.nest.flatten(predictions)
    if form == "given":
        return  # as many outputs, and of such shapes, as its user has given targets
    if len(flat) != 1:
        raise ValueError(
            f"expected one output for the one column of the target, got {len(flat)}. Return the "
            "targets from the data's function as a dict by the names of the outputs"
        )
    shape = tuple(flat[0].shape)[1:]
    if form in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        enough = len(shape) == 1 and (
            shape[0] == facts.classes if form.startswith("cat") else shape[0] >= facts.classes
        )
        if not enough:
            raise ValueError(
                f"expected an output of {facts.classes} units, one for each class of the target, "
                f"got the shape {_shown(shape)}"
            )
    elif math.prod(shape) != 1 or len(shape) > 1:
        raise ValueError(
            f"expected an output of one unit for the one number of the target, got the shape "
            f"{_shown(shape)}"
        )


def _shown(shape: tuple[int, ...]) -> str:
    return f"[rows, {', '.join(map(str, shape))}]" if shape else "[rows]"
