"""Data that a training is known to break on, made up; and real data that needs a line of Python.

A config names a function as `function: sweeps.data_cases:unscaled`, with its arguments under
`options`. Each gives the same data every time for the same arguments.

Notation: N rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[1] / "configs" / "data"


def unscaled(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Columns near 1,000 beside columns near 0.1, all of the same use to the target.

    Args:
        rows: N, at least 1.
        seed: of the random numbers, at least 0.

    Returns:
        N rows, float64: `pressure` and `altitude`, normal with mean 1,000 and deviation 100;
        `humidity` and `slope`, normal with mean 0.1 and deviation 0.01; and the target `y`,
        the sum of the four, standardised with these means and deviations, and of normal noise
        with deviation 0.5.
    """
    random = np.random.default_rng(seed)
    z = random.normal(size=(rows, 4))
    noise = random.normal(size=rows)
    return pd.DataFrame(
        {
            "pressure": 1_000 + 100 * z[:, 0],
            "humidity": 0.1 + 0.01 * z[:, 1],
            "altitude": 1_000 + 100 * z[:, 2],
            "slope": 0.1 + 0.01 * z[:, 3],
            "y": z.sum(axis=1) + 0.5 * noise,
        }
    )


def noise(rows: int = 100, columns: int = 20, seed: int = 0) -> tuple[Floats, Floats]:
    """Inputs that say nothing about the target: whatever is learnt is learnt by heart.

    Args:
        rows: N, at least 1.
        columns: number of inputs, at least 1.
        seed: of the random numbers, at least 0.

    Returns:
        Inputs float64 [N, columns] and a target float64 [N], all standard normal and
        independent.
    """
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, columns)), random.normal(size=rows)


def heavy_tails(rows: int = 400, columns: int = 6, seed: int = 0) -> tuple[Floats, Floats]:
    """Inputs with outliers, as incomes and waiting times have them.

    Args:
        rows: N, at least 1.
        columns: number of inputs, at least 1.
        seed: of the random numbers, at least 0.

    Returns:
        Inputs float64 [N, columns], log-normal: exp(1.5 z) with z standard normal, so that the
        largest of 400 is some 90 times the median; and a target float64 [N], the sum of the z
        and of standard normal noise.
    """
    random = np.random.default_rng(seed)
    z = random.normal(size=(rows, columns))
    return np.exp(1.5 * z), z.sum(axis=1) + random.normal(size=rows)


def weighed_penguins() -> pd.DataFrame:
    """The penguins whose body mass is known: a target must not have gaps.

    Returns:
        342 of the 344 rows of configs/data/penguins.csv, with all its columns. The sex is still
        missing in 9 of them.
    """
    return pd.read_csv(DATA / "penguins.csv").dropna(subset="body_mass_g")
