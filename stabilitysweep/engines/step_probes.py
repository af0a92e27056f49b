"""What is read of a step: where something is not finite, and how far from that it is.

Notation: P trials in the stack. Packed tensors are described in `packing`.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from stabilitysweep.engines.packing import Packed, Packing
from stabilitysweep.engines.stack_state import Settings
from stabilitysweep.models.programs import Program
from stabilitysweep.models.recorder import compute_dtypes
from stabilitysweep.numerics import probes
from stabilitysweep.types import Compiled, Stage

Tensors = Sequence[tf.Tensor]


def held_paths(model: keras.Model) -> list[str]:
    """Return the paths of what a model keeps beside its weights: moving statistics.

    They count as weights. Not all that breaks in them shows elsewhere: an infinite moving
    variance turns batch normalisation into a constant, and every loss stays finite.
    """
    return [v.path for v in model.non_trainable_variables if tf.as_dtype(v.dtype).is_floating]


def floating(tensors: Tensors) -> list[tf.Tensor]:
    """Leave out what holds no numbers that could break, such as the seeds of dropout."""
    return [tensor for tensor in tensors if tensor.dtype.is_floating]


class StepProbes:
    """The probes of one program's step."""

    def __init__(
        self,
        program: Program,
        model: keras.Model,
        packing: Packing,
        slot_names: Sequence[str],
        own_slots: Sequence[str] | None = None,
    ) -> None:
        """Keep what the probes are made from.

        Args:
            program: decides which optional terms the graph has.
            model: built.
            packing: of its weights.
            slot_names: of the optimizer's slots of each weight.
            own_slots: names of all slots, where they are not packed as the weights are.
        """
        variables = model.trainable_variables
        self._program = program
        self._packing = packing
        self._slot_names = tuple(slot_names)
        self._own_slots = own_slots
        self._paths = [variable.path for variable in variables]
        self._held = held_paths(model)
        self._gradient_limits = [probes.limit_bits(dtype) for dtype in compute_dtypes(model)]
        self._weight_limits = [probes.limit_bits(variable.dtype) for variable in variables]
        self._fused = program.compiled is Compiled.GRAPH

    def table(self, layers: Sequence[str]) -> list[tuple[Stage, str]]:
        """Return stage and tensor behind each probe index, in the order of computation."""
        slots = self._own_slots or [
            f"{path}/{slot}" for path in self._paths for slot in self._slot_names
        ]
        return [
            *((Stage.ACTIVATION, layer) for layer in layers),
            (Stage.LOSS, "loss"),
            *((Stage.GRADIENT, path) for path in self._paths),
            *((Stage.OPTIMIZER, slot) for slot in slots),
            *((Stage.WEIGHT, path) for path in (*self._paths, *self._held)),
        ]

    def row_squares(self, packed: Packed) -> tuple[tf.Tensor, ...]:
        """Return the sums of squares of the rows of each pack: [P, M] each."""
        return tuple(probes.squares_of_rows(pack, fused=self._fused) for pack in packed)

    def front_and_back(self, squares: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the sum of squares of the weights in front, and of the others: [P] each."""
        rows = self._packing.front_rows
        front = [s[:, :n] for s, n in zip(squares, rows, strict=True) if n]
        back = [s[:, n:] for s, n in zip(squares, rows, strict=True) if n < s.shape[1]]
        return _total(front, squares[0]), _total(back, squares[0])

    def peaks(
        self,
        activations: Tensors,
        gradients: tuple[Packed, Tensors],
        weights: tuple[Packed, Tensors],
        record: tf.DType,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the largest magnitude of all activations, and the headroom of everything: [P].

        Headroom are the bits left below the largest finite number of each tensor's dtype. No
        entry is larger than the root of its row's squares. If that leaves every trial more room
        than its activations do, as in most steps, gradients and weights are not read again.

        Args:
            activations: output of every layer.
            gradients: unscaled, and their `row_squares`.
            weights: after the step, and their `row_squares`.
            record: dtype of both.
        """
        by_limit: dict[float, list[tf.Tensor]] = {}
        for activation in activations:
            by_limit.setdefault(probes.limit_bits(activation.dtype.name), []).append(activation)
        highest = tf.stack([probes.peak(own, record) for own in by_limit.values()], axis=1)
        room = probes.headroom(highest, list(by_limit))
        parts = [
            (pack, squares, limits)
            for (packed, of_packs), own in (
                (gradients, self._gradient_limits),
                (weights, self._weight_limits),
            )
            for pack, squares, limits in zip(
                packed, of_packs, self._packing.of_rows(own), strict=True
            )
        ]
        # What squares lose below the smallest number, and by rounding, is more than made up for.
        squares = tf.concat([squares for _, squares, _ in parts], axis=1)
        of_rows = [limit for *_, limits in parts for limit in limits]
        if len(set(of_rows)) == 1:
            squares, of_rows = tf.reduce_max(squares, axis=1, keepdims=True), of_rows[:1]
        at_least = probes.headroom(1.001 * tf.sqrt(squares) + 1e-15, of_rows)

        def exactly() -> tf.Tensor:
            rooms = [room]
            alike: dict[float, list[tf.Tensor]] = {}
            for pack, _, limits in parts:
                if len(set(limits)) == 1:
                    alike.setdefault(limits[0], []).append(pack)
                else:
                    rooms.append(probes.headroom(tf.cast(probes.row_peaks(pack), record), limits))
            if alike:
                table = tf.stack([probes.peak(packs, record) for packs in alike.values()], axis=1)
                rooms.append(probes.headroom(table, list(alike)))
            return tf.reduce_min(tf.stack(rooms), axis=0)

        enough = tf.reduce_all(at_least >= tf.cast(room, at_least.dtype))
        return tf.reduce_max(highest, axis=1), tf.cond(enough, lambda: room, exactly)

    def zero_share(self, gradients: Packed, sampled: tf.Tensor) -> tf.Tensor:
        """Return the share of zero entries of each trial, NaN in steps not sampled: [P].

        Args:
            gradients: of the loss without penalties, which would hide what was flushed to zero.
            sampled: bool scalar, whether to count.
        """

        def count() -> tf.Tensor:
            total = tf.add_n([probes.count_nonzero(pack) for pack in gradients])
            return 1.0 - total / self._packing.entries

        nothing = tf.fill(tf.shape(gradients[0])[:1], np.float32(np.nan))
        return tf.cond(sampled, count, lambda: nothing)

    def locate(
        self,
        activations: Tensors,
        loss: tf.Tensor,
        gradients: Packed,
        slots: tuple[Packed, ...],
        weights: Packed,
        others: Tensors,
        settings: Settings,
        *,
        wanted: tf.Tensor,
        doubtful: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Name the first non-finite probe of `wanted` trials, and check `doubtful` weights.

        The exact look at every tensor is taken only in steps where some trial needs it.

        Returns:
            Probe index (-1 where not wanted or finite), kind code, whether the weights
            are finite: int32, int32 and bool [P].
        """
        none = tf.fill(tf.shape(wanted), -1)

        def look() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            of_weights = self._nonfinite_sums(weights)
            held = [probes.nonfinite_sum(statistic) for statistic in floating(others)]
            sums = [
                *(probes.nonfinite_sum(activation) for activation in activations),
                probes.nonfinite_sum(loss),
                *self._nonfinite_sums(gradients),
                *self._of_slots(slots, settings),
                *of_weights,
                *held,
            ]
            table = tf.stack(sums, axis=1)
            bad = table != 0
            first = tf.argmax(bad, axis=1, output_type=tf.int32)
            found = wanted & tf.reduce_any(bad, axis=1)
            kind = probes.kind_code(tf.gather(table, first, axis=1, batch_dims=1))
            end = len(sums) - len(held)
            weights_finite = ~tf.reduce_any(bad[:, end - len(of_weights) : end], axis=1)
            return tf.where(found, first, -1), tf.where(found, kind, 0), weights_finite

        def skip() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return none, tf.zeros_like(none), tf.ones_like(wanted)

        probe, kind, finite = tf.cond(tf.reduce_any(wanted | doubtful), look, skip)
        return probe, kind, finite

    def _of_slots(self, slots: tuple[Packed, ...], settings: Settings) -> list[tf.Tensor]:
        """Return `probes.nonfinite_sum` of each slot, in the order of the table."""
        if self._own_slots is not None:
            return [probes.nonfinite_sum(tensor) for (tensor,) in slots]
        by_slot = [self._nonfinite_sums(slot) for slot in slots]
        if self._program.optimizer in ("sgd", "rmsprop") and self._program.terms.momentum:
            # A trial without momentum, alone, would have no such slot.
            place = self._slot_names.index("momentum")
            own = settings.momentum > 0
            by_slot[place] = [tf.where(own, sums, 0.0) for sums in by_slot[place]]
        return [sums for weight in zip(*by_slot, strict=True) for sums in weight]

    def _nonfinite_sums(self, packed: Packed) -> list[tf.Tensor]:
        """Return `probes.nonfinite_sum` of each weight, in the model's order."""
        masked = tuple(probes.only_nonfinite(pack) for pack in packed)
        return [
            tf.cast(probes.plain_sum(tensor), tf.float32) for tensor in self._packing.unpack(masked)
        ]


def _total(parts: Tensors, like: tf.Tensor) -> tf.Tensor:
    """Add up all entries of each trial: [P]; nothing adds up to zero, of the dtype of `like`."""
    if not parts:
        return tf.zeros_like(like[:, 0])
    return tf.add_n([probes.steady_sum(part) for part in parts])
