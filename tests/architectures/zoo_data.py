"""The data that the models of the zoo train on.

Notation: N rows, T steps of a sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS, LENGTH = 40, 4
Array = NDArray[Any]


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def columns() -> tuple[Array, Array]:
    """Rows of 5 numbers, and a number: [N, 5], [N]."""
    x = _random(1).normal(size=(ROWS, 5))
    return x.astype("float32"), np.sin(x.sum(axis=1)).astype("float32")


def images() -> tuple[Array, Array]:
    """Images of two channels, and three classes: [N, 8, 8, 2], [N]."""
    x = _random(2).normal(size=(ROWS, 8, 8, 2))
    return x.astype("float32"), (np.arange(ROWS) % 3).astype("int64")


def sequences() -> tuple[Array, Array]:
    """Sequences of three numbers, and a number: [N, T, 3], [N]."""
    x = _random(3).normal(size=(ROWS, LENGTH, 3))
    return x.astype("float32"), x.mean(axis=(1, 2)).astype("float32")


def sentences() -> tuple[Array, Array]:
    """Sequences of word numbers below 11, filled up with zeros, and two classes: [N, T], [N]."""
    random = _random(4)
    x = random.integers(1, 11, size=(ROWS, LENGTH))
    x[np.arange(LENGTH) >= random.integers(2, LENGTH + 1, size=(ROWS, 1))] = 0
    return x, (np.arange(ROWS) % 2).astype("int64")


def pairs() -> tuple[dict[str, Array], dict[str, Array]]:
    """Two inputs and two targets by name."""
    random = _random(5)
    x = {"numbers": random.normal(size=(ROWS, 4)), "word": random.integers(0, 7, size=(ROWS, 1))}
    y = {
        "value": x["numbers"][:, :2].astype("float32"),
        "kind": (np.arange(ROWS) % 2).astype("int64"),
    }
    return x, y
