"""All small weights of a trial in one tensor: a step needs one operation, not one a weight.

Notation: P trials; M rows of 64 entries, in which the small weights of one dtype stand one after
the other. Each begins a row; what is left of its last one is zero.

Every element-wise part of a step (optimizer, decay, selection, norms, finite flags) treats all
weights alike. On the packed tensor [P, M, 64] it is one operation instead of one for each
kernel and bias, which makes a graph faster to trace and to run; the numbers are the same.
Weights that are penalized stand in front, so that their sum of squares is a part of the whole.

A large weight is a pack of its own. To take it out of a common one, and to put
its gradient into one, would be two more passes over memory in every step, where another operation
costs some microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

WIDTH = 64
"""Length of the last axis: long enough for vector instructions, short enough to pad to."""

LARGE = 2_048
"""Entries from which on a weight is a pack of its own, if they are whole rows."""

Packed = tuple[tf.Tensor, ...]
"""For each dtype among the weights one tensor [P, M, WIDTH], and one for each large weight."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The weights of one pack: their places in the model's order, in packed order."""

    dtype: tf.DType
    members: tuple[int, ...]
    sizes: tuple[int, ...]
    front: int
    alone: bool = False

    @property
    def rows(self) -> list[int]:
        return [-(-size // WIDTH) for size in self.sizes]


class Packing:
    """Packs lists of tensors that are shaped like a model's weights."""

    def __init__(
        self,
        shapes: Sequence[Sequence[int]],
        dtypes: Sequence[str],
        front: Sequence[bool],
    ) -> None:
        """Lay out the packed tensors.

        Args:
            shapes: of each weight, without the trial axis.
            dtypes: of each weight.
            front: which weights stand in front.
        """
        self._shapes = [tuple(shape) for shape in shapes]
        sizes = [int(tf.TensorShape(shape).num_elements()) for shape in self._shapes]
        self._groups = [
            _Group(tf.as_dtype(dtypes[place]), (place,), (size,), int(front[place]), alone=True)
            for place, size in enumerate(sizes)
            if _large(size)
        ]
        for dtype in dict.fromkeys(dtypes):
            own = [
                place
                for place, name in enumerate(dtypes)
                if name == dtype and not _large(sizes[place])
            ]
            if not own:
                continue
            members = sorted(own, key=lambda place: not front[place])
            self._groups.append(
                _Group(
                    tf.as_dtype(dtype),
                    tuple(members),
                    tuple(sizes[place] for place in members),
                    sum(front[place] for place in own),
                )
            )

    @property
    def entries(self) -> int:
        """Number of entries of all weights together."""
        return sum(sum(group.sizes) for group in self._groups)

    @property
    def front_rows(self) -> list[int]:
        """Rows of each packed tensor that hold the weights in front."""
        return [sum(group.rows[: group.front]) for group in self._groups]

    def of_rows(self, values: Sequence[float]) -> list[list[float]]:
        """Repeat a value of each weight, in the model's order, for each of its rows.

        Returns:
            The values of the M rows of each packed tensor.
        """
        return [
            [
                values[place]
                for place, rows in zip(group.members, group.rows, strict=True)
                for _ in range(rows)
            ]
            for group in self._groups
        ]

    def pack(self, tensors: Sequence[tf.Tensor]) -> Packed:
        """Pack one tensor a weight, [P, ...] each, in the model's order."""
        trials = tf.shape(tensors[0])[0]
        packed = []
        for group in self._groups:
            if group.alone:
                (place,), (rows,) = group.members, group.rows
                packed.append(tf.reshape(tensors[place], [-1, rows, WIDTH]))
                continue
            pieces = []
            padding: dict[int, tf.Tensor] = {}
            for place, size in zip(group.members, group.sizes, strict=True):
                pieces.append(tf.reshape(tensors[place], [-1, size]))
                rest = -size % WIDTH
                if rest and rest not in padding:
                    padding[rest] = tf.zeros([trials, rest], group.dtype)
                if rest:
                    pieces.append(padding[rest])
            whole = tf.concat(pieces, axis=1)
            packed.append(tf.reshape(whole, [-1, sum(group.rows), WIDTH]))
        return tuple(packed)

    def unpack(self, packed: Packed) -> tuple[tf.Tensor, ...]:
        """Return one tensor a weight, [P, ...] each, in the model's order."""
        found: dict[int, tf.Tensor] = {}
        for group, whole in zip(self._groups, packed, strict=True):
            if group.alone:
                (place,) = group.members
                found[place] = tf.reshape(whole, [-1, *self._shapes[place]])
                continue
            sizes = [length for size in group.sizes for length in (size, -size % WIDTH)]
            flat = tf.reshape(whole, [-1, sum(sizes)])
            kept = [length for length in sizes if length]
            pieces = iter(tf.split(flat, kept, axis=1))
            for place, size in zip(group.members, group.sizes, strict=True):
                found[place] = tf.reshape(next(pieces), [-1, *self._shapes[place]])
                if size % WIDTH:
                    next(pieces)
        return tuple(found[place] for place in range(len(self._shapes)))


def _large(size: int) -> bool:
    # Only whole rows: in a tensor of whole vectors a trial's bits do not depend on its place.
    return size >= LARGE and size % WIDTH == 0
