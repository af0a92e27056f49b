"""The order in which the training rows are visited."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def batch_order(seed: int, batch_size: int, rows: int, steps: int) -> NDArray[np.int32]:
    """Return the rows of each batch: permutations laid end to end, cut into whole batches.

    Keras ends an epoch with a short batch; here a batch may begin in one permutation and end
    in the next, so that all have the same size. More `steps` extend the same sequence: the
    first batches do not depend on how many follow. Both engines use this order.

    Args:
        seed: the trial's seed, >= 0.
        batch_size: B, from 1 to `rows`.
        rows: number of training rows, >= 1.
        steps: S, number of batches, >= 0.

    Returns:
        int32 [S, B], values from 0 to `rows` - 1. It depends on the arguments alone (and on
        NumPy's PCG64 stream, the same on every machine).

    Raises:
        ValueError: an argument is out of range; the caller clamps the batch size.

    Example:
        >>> batch_order(seed=0, batch_size=2, rows=3, steps=3).tolist()
        [[2, 1], [0, 2], [1, 0]]
    """
    if seed < 0 or rows < 1 or steps < 0 or not 1 <= batch_size <= rows:
        raise ValueError(
            "expected seed >= 0, rows >= 1, steps >= 0 and 1 <= batch_size <= rows, got "
            f"seed={seed}, batch_size={batch_size}, rows={rows}, steps={steps}"
        )
    generator = np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([seed, batch_size, rows]))
    )
    needed = steps * batch_size
    epochs = -(-needed // rows)
    ordered = np.tile(np.arange(rows, dtype=np.int32), (epochs, 1))
    # Row after row from one stream, hence the prefix property.
    shuffled = generator.permuted(ordered, axis=1)
    return shuffled.reshape(-1)[:needed].reshape(steps, batch_size)
