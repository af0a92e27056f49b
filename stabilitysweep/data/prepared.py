"""A data set as it is trained on.

Notation: N training rows, M validation rows, D features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.blueprint import Block
from stabilitysweep.data.raw import Array, hash_content, lock, plain_blocks, target_arrays

Floats = NDArray[np.float64]


class DataShape(NamedTuple):
    """What of prepared data shapes a training graph.

    Attributes:
        features: inputs of the model.
        outputs: units of its head.
    """

    features: int
    outputs: int


@dataclass(frozen=True, slots=True, eq=False)
class PreparedData:
    """What is trained on: float64 masters, which an engine casts to a trial's precision.

    The arrays cannot be written to.

    Attributes:
        x_train: float64 [N, D].
        y_train: float64 [N, 1] (regression; two classes as 0 and 1) or int32 [N], classes
            from 0 to C - 1; for a model of the user's float64 or int32 [N, ...], or such arrays
            by the names of its outputs.
        x_validation: float64 [M, D]; M may be 0.
        y_validation: as `y_train`, with M rows.
        outputs: units of the model's head: 1, or C; values a row of a target that is given.
        feature_names: D names.
        label: the short name of the data set.
        blocks: which of the D columns belong together, in their order; each is a block of its
            own unless they are given.
        named: whether the source gives its inputs by name, in a mapping.
        content_hash: hex digest of the arrays, `outputs` and the names.
    """

    x_train: Floats
    y_train: Any  # Targets: what takes nothing but a column need not tell it from a mapping
    x_validation: Floats
    y_validation: Any
    outputs: int
    feature_names: tuple[str, ...]
    label: str
    blocks: tuple[Block, ...] = ()
    named: bool = False
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content and lock the arrays."""
        if not self.blocks:
            object.__setattr__(self, "blocks", plain_blocks(self.feature_names))
        lock(*self._arrays)
        names = list(self.feature_names)
        if isinstance(self.y_train, Mapping):
            names += [f"target {name}" for name in self.y_train]
        digest = hash_content([*self._arrays, np.array(self.outputs)], names)
        object.__setattr__(self, "content_hash", digest)

    @property
    def shape(self) -> DataShape:
        """What of it shapes a training graph."""
        return DataShape(len(self.feature_names), self.outputs)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self._arrays)

    @property
    def train_rows(self) -> int:
        """N, the number of training rows."""
        return len(self.x_train)

    @property
    def _arrays(self) -> tuple[Array, ...]:
        y_train, y_validation = target_arrays(self.y_train), target_arrays(self.y_validation)
        return (self.x_train, *y_train, self.x_validation, *y_validation)
