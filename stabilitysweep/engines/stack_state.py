"""What a stack is trained with, what a step changes, and what its probes read.

Notation: P trials in the stack, T steps. Packed tensors are described in `packing`.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from stabilitysweep.engines import penalties
from stabilitysweep.engines.loss_scaling import LossScale
from stabilitysweep.engines.packing import Packed


class Settings(NamedTuple):
    """The numbers in which trials of a program differ, a tensor [P] each but the first.

    Attributes:
        learning_rates: [P, T], by steps applied so far.
        l1: penalty strength, >= 0.
        l2: penalty strength, >= 0.
        momentum: in [0, 1).
        weight_decay: >= 0.
        clipnorm: > 0, or 0 for none.
        numbers: of a user's regularizers, lifted out of its graph, [P, K]; K may be 0.
    """

    learning_rates: tf.Tensor
    l1: tf.Tensor
    l2: tf.Tensor
    momentum: tf.Tensor
    weight_decay: tf.Tensor
    clipnorm: tf.Tensor
    numbers: tf.Tensor


class Constants(NamedTuple):
    """What does not change from step to step, laid out over the weights once for many steps.

    Attributes:
        slopes: of the penalties, for each pack.
        rates: the learning rate over each pack; None where what multiplies the gradient
            changes from step to step: by a schedule, or under Adam.
        momentum: the same of the momentum; None where no trial has any.
    """

    slopes: tuple[penalties.Slopes, ...]
    rates: Packed | None
    momentum: Packed | None


class State(NamedTuple):
    """All that a step changes.

    Attributes:
        weights: trainable variables, packed.
        squares: sum of squares of the weights that are packed in front, [P].
        others: non-trainable variables (batch statistics, dropout seeds), [P, ...] each.
        slots: each slot of the optimizer, packed as the weights are; those of an optimizer
            that is not ours are one tensor [P, ...] each, packed by themselves.
        iterations: steps applied so far, int64 [P].
        loss_scale: the dynamic loss scale.
        active: bool [P], false once weights are not finite and the loss has become NaN, and
            at the latest one step after those weights: so that the NaN is on record.
        broken: bool [P], the weights are not finite.
        settled: bool [P], an onset was met outside of a skipped step.
        skipping: bool [P], the last step was skipped.
    """

    weights: Packed
    squares: tf.Tensor
    others: tuple[tf.Tensor, ...]
    slots: tuple[Packed, ...]
    iterations: tf.Tensor
    loss_scale: LossScale
    active: tf.Tensor
    broken: tf.Tensor
    settled: tf.Tensor
    skipping: tf.Tensor


class Reading(NamedTuple):
    """What a step's probes saw, a float tensor [P] each; columns of the recorded history.

    Attributes:
        active: 1 where the trial ran this step, 0 where it was frozen.
        loss: batch loss with penalties, unscaled.
        grad_norm: L2 norm of the unscaled gradient over all weights.
        weight_norm: L2 norm of all weights after the step.
        max_activation: largest absolute output of any layer.
        loss_scale: used in this step.
        skipped: 1 where loss scaling skipped the update.
        headroom: bits between the largest magnitude of activations, unscaled gradients and
            weights and the largest finite number of its dtype, see `probes.headroom`.
        zero_gradients: share of the entries of the gradient of the loss without penalties
            that are zero; may be NaN in steps that `outcomes.sampled_steps` leaves out.
        probe: index of the first non-finite probe in the order of computation; -1 if
            every one is finite, or if the trial's onset was named in an earlier step.
        kind: index into `probes.KINDS` of what that probe met.
    """

    active: tf.Tensor
    loss: tf.Tensor
    grad_norm: tf.Tensor
    weight_norm: tf.Tensor
    max_activation: tf.Tensor
    loss_scale: tf.Tensor
    skipped: tf.Tensor
    headroom: tf.Tensor
    zero_gradients: tf.Tensor
    probe: tf.Tensor
    kind: tf.Tensor
