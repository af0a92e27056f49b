"""A data set as it is trained on.

Notation: N training rows, M validation rows, D features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.raw import Array, hash_content, lock

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
            from 0 to C - 1.
        x_validation: float64 [M, D]; M may be 0.
        y_validation: as `y_train`, with M rows.
        outputs: units of the model's head: 1, or C.
        feature_names: D names.
        label: the short name of the data set.
        content_hash: hex digest of the four arrays, `outputs` and the names.
    """

    x_train: Floats
    y_train: Array
    x_validation: Floats
    y_validation: Array
    outputs: int
    feature_names: tuple[str, ...]
    label: str
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content and lock the arrays."""
        arrays = [self.x_train, self.y_train, self.x_validation, self.y_validation]
        lock(*arrays)
        digest = hash_content([*arrays, np.array(self.outputs)], self.feature_names)
        object.__setattr__(self, "content_hash", digest)

    @property
    def shape(self) -> DataShape:
        """What of it shapes a training graph."""
        return DataShape(len(self.feature_names), self.outputs)

    @property
    def nbytes(self) -> int:
        """Bytes of the four arrays."""
        return sum(
            array.nbytes
            for array in (self.x_train, self.y_train, self.x_validation, self.y_validation)
        )

    @property
    def train_rows(self) -> int:
        """N, the number of training rows."""
        return len(self.x_train)
