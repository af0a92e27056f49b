"""The data as it was loaded: before any split, imputation, encoding or scaling.

Notation: N rows, D columns of numbers, C columns of categories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.blueprint import Block

Array = NDArray[Any]

Targets = Array | Mapping[str, Array]
"""What is predicted, [N, ...]: of the one output, or of several by name."""

Rows = NDArray[np.intp]
"""Numbers of rows, from 0."""

MISSING_CODE = -1
"""The code of a missing category."""


def _row_in_words(row: int) -> str:
    return f"row {row} (counted from 0)"


@dataclass(frozen=True, slots=True, eq=False)
class RawData:
    """A data set as its source gives it; the arrays cannot be written to.

    Attributes:
        features: float64 [N, D]; NaN and Inf are allowed, they are what is studied.
        target: [N]; float64, or the source's own labels (integers or text).
        feature_names: D names.
        label: the short name the data goes by in tables and figures.
        source: one line that says where the data came from.
        categories: int32 [N, C], places in `levels`, or `MISSING_CODE`.
        category_names: C names; no name is in `feature_names` as well.
        levels: for each column of categories its texts, sorted, each met in some row.
        own_training_rows: where the source brings its own validation rows: the number of
            training rows, which come first; None where the rows are to be split.
        dtypes: of each column as its source has it, by name, the target's under its own unless
            an input has it too; empty where the source has one dtype for all.
        target_name: of the target, or empty.
        without_target: number of rows left out since they had no target.
        drawn_from: number of rows of the source that these are a random sample of, or None.
        blocks: which columns of numbers belong together, in their order; each is a block of its
            own where the source does not say.
        named: whether the source gives its inputs by name, in a mapping.
        targets: [N, ...] of numbers, what the source gives as target with a shape of its own, by
            the name of the output, or by "" where there is one; empty for a plain column.
            `target` is the first column of the first.
        locate: says where a row (from 0) stands in the source: `line 7`.
        content_hash: hex digest of all arrays, names, levels and shapes; the same in every
            process, and for the same content from another path.
    """

    features: NDArray[np.float64]
    target: Array
    feature_names: tuple[str, ...]
    label: str
    source: str
    categories: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))
    category_names: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    own_training_rows: int | None = None
    dtypes: dict[str, str] = field(default_factory=dict)
    target_name: str = ""
    without_target: int = 0
    drawn_from: int | None = None
    blocks: tuple[Block, ...] = ()
    named: bool = False
    targets: Mapping[str, Array] = field(default_factory=dict)
    locate: Callable[[int], str] = _row_in_words
    content_hash: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the content and lock the arrays."""
        if not self.category_names:
            object.__setattr__(self, "categories", np.empty((len(self.features), 0), np.int32))
        if not self.blocks:
            object.__setattr__(self, "blocks", plain_blocks(self.feature_names))
        lock(self.features, self.target, self.categories, *self.targets.values())
        arrays, names = [self.features, self.target], list(self.feature_names)
        # Without these the digest is what it was before there were any.
        if self.category_names:
            arrays.append(self.categories)
            names += [*self.category_names, *(level for texts in self.levels for level in texts)]
        if self.own_training_rows is not None:
            arrays.append(np.array(self.own_training_rows))
        # The names of the columns tell the shapes of the blocks: x_0_0, x_0_1, ...
        for name, values in self.targets.items():
            arrays.append(values)
            names.append(f"target {name}")
        object.__setattr__(self, "content_hash", hash_content(arrays, names))

    @property
    def columns(self) -> int:
        """D + C, the number of columns that are inputs."""
        return len(self.feature_names) + len(self.category_names)


def plain_blocks(names: Sequence[str], start: int = 0) -> tuple[Block, ...]:
    """Return a block for each column, the first of which is in place `start`."""
    return tuple(Block(name, place, place + 1, ()) for place, name in enumerate(names, start))


def target_arrays(targets: Targets) -> tuple[Array, ...]:
    """Return the array of each output."""
    return tuple(targets.values()) if isinstance(targets, Mapping) else (targets,)


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
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    for name in names:
        digest.update(f"{len(name)}:{name}".encode())
    return digest.hexdigest()
