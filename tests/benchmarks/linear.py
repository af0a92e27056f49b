"""What the benchmarks of linear regression have in common; imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def write_csv(path: Path, x: Array, y: Array) -> None:
    """Write inputs and target so that they are read back to the bit."""
    names = [f"x{column}" for column in range(x.shape[1])]
    rows = np.column_stack([x, y]).tolist()
    lines = [",".join([*names, "y"]), *(",".join(map(repr, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def hessian(x: Array) -> tuple[Array, Array]:
    """Return A, the inputs [N, D] with a column of ones, and H = 2 A'A / N."""
    a = np.column_stack([x, np.ones(len(x))])
    return a, 2 * a.T @ a / len(x)
