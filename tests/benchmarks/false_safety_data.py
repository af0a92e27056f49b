"""Data sets that nothing else in this repository uses: no threshold was chosen by them.

Notation: N rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_friedman3, make_gaussian_quantiles, make_hastie_10_2

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]

LENGTH = 16
"""Values in a window of `echoes`, as many as sweeps/lstm.py takes."""


def friedman3(rows: int = 600) -> tuple[Floats, Floats]:
    """An arcus tangens of four columns of very different scale, with noise: regression."""
    x, y = make_friedman3(n_samples=rows, noise=0.1, random_state=31)
    return x, y


def spikes(rows: int = 600, columns: int = 8) -> tuple[Floats, Floats]:
    """A smooth function of normal columns, with outliers in the target: regression.

    The noise is Student's with two degrees of freedom: its variance is infinite.
    """
    random = np.random.default_rng(32)
    x = random.normal(size=(rows, columns))
    noise = 0.5 * random.standard_t(2, size=rows)
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3:].sum(axis=1) + noise


def hastie(rows: int = 800) -> tuple[Floats, Classes]:
    """Whether ten normal columns are far from the origin: two classes."""
    x, y = make_hastie_10_2(n_samples=rows, random_state=33)
    return x, (y > 0).astype(np.int64)


def quantiles(rows: int = 800) -> tuple[Floats, Classes]:
    """Shells of a normal distribution in five dimensions: four classes."""
    x, y = make_gaussian_quantiles(n_samples=rows, n_features=5, n_classes=4, random_state=34)
    return x, y


def echoes(rows: int = 600) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Windows of a noisy oscillation that feeds on its past, and the value that follows.

    Returns:
        Windows float32 [N, 16, 1], and float32 [N].
    """
    random = np.random.default_rng(35)
    series = random.normal(size=3 * rows + LENGTH + 1)
    for at in range(2, len(series)):
        series[at] = 1.6 * series[at - 1] - 0.8 * series[at - 2] + 0.4 * series[at]
    begins = 3 * np.arange(rows)
    windows = series[begins[:, None] + np.arange(LENGTH + 1)].astype(np.float32)
    return windows[:, :-1, None], windows[:, -1]
