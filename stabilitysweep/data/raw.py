"""The data as it was loaded: before any split, imputation or scaling.

Notation: N rows, D features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class RawData:
    """A data set as its source gives it; the arrays cannot be written to.

    Attributes:
        features: float64 [N, D]; NaN and Inf are allowed, they are what is studied.
        target: [N]; float64, or the source's own labels (integers or text).
        feature_names: D names.
        label: the short name the data goes by in tables and figures.
        source: one line that says where the data came from.
        content_hash: hex digest of features, target, names and shapes; the same in every
            process, and for the same content from another path.
    """

    features: NDArray[np.float64]
    target: Array
    feature_names: tuple[str, ...]
    label: str
    source: str
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content and lock the arrays."""
        lock(self.features, self.target)
        digest = hash_content([self.features, self.target], self.feature_names)
        object.__setattr__(self, "content_hash", digest)


def lock(*arrays: Array) -> None:
    """Make arrays read-only, so that a frozen record is frozen in its content too."""
    for array in arrays:
        array.setflags(write=False)


def hash_content(arrays: Sequence[Array], names: Sequence[str]) -> str:
    """Return the blake2b hex digest (32 digits) of arrays and names.

    Args:
        arrays: arrays of numbers or of text (dtype `U`, not object); their dtypes, shapes
            and bytes count, their memory layout does not.
        names: names of any length; ["ab"] and ["a", "b"] differ.

    Returns:
        A digest that depends on nothing but the content: not on the process, nor on its
        hash seed.
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    for name in names:
        digest.update(f"{len(name)}:{name}".encode())
    return digest.hexdigest()
