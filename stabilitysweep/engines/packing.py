"""All weights of a trial in one tensor, so that a step needs one operation and not one a weight.

Notation: P trials; N entries of all weights of one dtype together, padded with zeros.

Every element-wise part of a step (optimizer, decay, selection, norms, finite flags) treats all
weights alike. On the packed tensor [P, M, 64] it is one operation instead of one for each
kernel and bias, which makes a graph faster to trace and to run; the numbers are the same.
Weights that are penalized stand in front, so that their sum of squares is a part of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

WIDTH = 64
"""Length of the last axis: long enough for vector instructions, short enough to pad to."""

Packed = tuple[tf.Tensor, ...]
"""One tensor [P, M, WIDTH] for each dtype among the weights."""


@dataclass(frozen=True, slots=True)
class _Group:
    """The weights of one dtype: their places in the model's order, in packed order."""

    dtype: tf.DType
    front: tuple[int, ...]
    back: tuple[int, ...]
    front_sizes: tuple[int, ...]
    back_sizes: tuple[int, ...]

    @property
    def front_rows(self) -> int:
        return -(-sum(self.front_sizes) // WIDTH)

    @property
    def back_rows(self) -> int:
        return -(-sum(self.back_sizes) // WIDTH)


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
        self._groups = []
        for dtype in dict.fromkeys(dtypes):
            members = [place for place, name in enumerate(dtypes) if name == dtype]
            ahead = tuple(place for place in members if front[place])
            behind = tuple(place for place in members if not front[place])
            self._groups.append(
                _Group(
                    tf.as_dtype(dtype),
                    ahead,
                    behind,
                    tuple(sizes[place] for place in ahead),
                    tuple(sizes[place] for place in behind),
                )
            )

    @property
    def front_rows(self) -> list[int]:
        """Rows of each packed tensor that hold the weights in front."""
        return [group.front_rows for group in self._groups]

    def pack(self, tensors: Sequence[tf.Tensor]) -> Packed:
        """Pack one tensor a weight, [P, ...] each, in the model's order."""
        trials = tf.shape(tensors[0])[0]
        packed = []
        for group in self._groups:
            pieces = []
            for places, sizes, rows in (
                (group.front, group.front_sizes, group.front_rows),
                (group.back, group.back_sizes, group.back_rows),
            ):
                pieces += [
                    tf.reshape(tensors[place], [-1, size])
                    for place, size in zip(places, sizes, strict=True)
                ]
                rest = rows * WIDTH - sum(sizes)
                if rest:
                    pieces.append(tf.zeros([trials, rest], group.dtype))
            whole = tf.concat(pieces, axis=1)
            packed.append(tf.reshape(whole, [-1, group.front_rows + group.back_rows, WIDTH]))
        return tuple(packed)

    def unpack(self, packed: Packed) -> tuple[tf.Tensor, ...]:
        """Return one tensor a weight, [P, ...] each, in the model's order."""
        found: dict[int, tf.Tensor] = {}
        for group, whole in zip(self._groups, packed, strict=True):
            sizes = [
                *group.front_sizes,
                group.front_rows * WIDTH - sum(group.front_sizes),
                *group.back_sizes,
                group.back_rows * WIDTH - sum(group.back_sizes),
            ]
            flat = tf.reshape(whole, [-1, sum(sizes)])
            pieces = tf.split(flat, sizes, axis=1)
            ahead = pieces[: len(group.front)]
            behind = pieces[len(group.front) + 1 : -1]
            for place, piece in zip((*group.front, *group.back), (*ahead, *behind), strict=True):
                found[place] = tf.reshape(piece, [-1, *self._shapes[place]])
        return tuple(found[place] for place in range(len(self._shapes)))
