"""One optimizer step of every trial in a stack, with its probes, as a graph.

Notation: P trials in the stack, B rows a batch, D input columns, O outputs. Everything
carries the trial axis in front.

What one trial does (forward, loss, backward) is written for one trial, with the model's own
Keras layers, and vectorised. What follows (penalties, loss scaling,
clipping, the optimizer) is element-wise and is done for all weights of all trials at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from stabilitysweep.engines import loss_scaling, optimizers, penalties
from stabilitysweep.engines.keras_update import KerasUpdate
from stabilitysweep.engines.loss_scaling import LossScale
from stabilitysweep.engines.lowering import lowered
from stabilitysweep.engines.packing import Packed, Packing
from stabilitysweep.engines.slices import DENSE, Slices, clip, squares, take_apart, unscale
from stabilitysweep.engines.stack_state import Constants, Reading, Settings, State
from stabilitysweep.engines.step_probes import StepProbes, floating
from stabilitysweep.engines.subject import Subject
from stabilitysweep.engines.trial_axis import expand, select_all, vectorize
from stabilitysweep.models.programs import Program
from stabilitysweep.models.recorder import recording
from stabilitysweep.numerics import probes
from stabilitysweep.types import Stage

Tensors = tuple[tf.Tensor, ...]


class _Pass(NamedTuple):
    """What one pass through the model gives, [P, ...] each.

    Attributes:
        loss: with penalties, not scaled, [P].
        gradients: of the scaled loss without penalties, packed.
        others: new values of the non-trainable variables.
        activations: output of every layer.
        slices: the gradients that came as slices, of the scaled loss.
    """

    loss: tf.Tensor
    gradients: Packed
    others: Tensors
    activations: Tensors
    slices: tuple[Slices, ...] = ()


class Computed(NamedTuple):
    """All that a step computes, before anything is read of it.

    Attributes:
        run: forward and backward.
        of_data: unscaled gradients of the loss without penalties, packed.
        gradients: the same with those of the penalties.
        grad_squares: their sums of squares by rows, [P, M] each.
        grad_square: the sum of all those, [P].
        finite: bool [P], whether the scaled gradients are; all, without loss scaling.
        weights: after the step.
        slots: after the step.
    """

    run: _Pass
    of_data: Packed
    gradients: Packed
    grad_squares: Tensors
    grad_square: tf.Tensor
    finite: tf.Tensor
    weights: Packed
    slots: tuple[Packed, ...]


class TrainingStep:
    """The step of one program, ready to be traced.

    Attributes:
        packing: how the weights are packed.
        probes: what is read of a step.
        layers: names of the probed layer outputs; known once the step has been traced.
    """

    def __init__(self, program: Program, subject: Subject) -> None:
        """Keep what the graph is made from.

        Args:
            program: decides which optional terms the graph has.
            subject: what is trained.
        """
        self._program = program
        self._subject = subject
        model = subject.model
        variables = model.trainable_variables
        self._own: KerasUpdate | None = None
        self._update_rule: optimizers.Optimizer | None = None
        if subject.optimizer is not None:
            self._own = KerasUpdate(subject.optimizer, variables)
        else:
            self._update_rule = optimizers.build(
                program.optimizer, momentum=program.terms.momentum, nesterov=program.nesterov
            )
        self._scaled = subject.scaled
        self._penalized = (
            penalties.penalized(model) if subject.closed_form else [False] * len(variables)
        )
        self.packing = Packing(
            [variable.shape for variable in variables],
            [variable.dtype for variable in variables],
            self._penalized,
        )
        own_slots = None if self._own is None else self._own.names
        self.probes = StepProbes(program, model, self.packing, self.slot_names, own_slots)
        self.layers: list[str] = []
        self._kinds = DENSE  # known once the step has been traced

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the optimizer's slots of each weight, in their order; see `own_slots`."""
        return () if self._update_rule is None else self._update_rule.slots

    @property
    def own_slots(self) -> list[str] | None:
        """Names of all variables of an optimizer that is not ours; None if it is."""
        return None if self._own is None else self._own.names

    def final_weights(self, state: State) -> Tensors:
        """Return the weights, unpacked, that training leaves behind."""
        weights = self.packing.unpack(state.weights)
        return weights if self._own is None else self._own.final_weights(weights, state.slots)

    def probe_table(self) -> list[tuple[Stage, str]]:
        """Return stage and tensor behind each probe index, in the order of computation."""
        return self.probes.table(self.layers)

    def initial_state(self, weights: Tensors, others: Tensors) -> State:
        """Return the state before step 1, slots at zero as Keras starts them.

        Args:
            weights: trainable variables, [P, ...] each, in the model's order.
            others: non-trainable variables, [P, ...] each.
        """
        packed = self.packing.pack(weights)
        trials = tf.shape(weights[0])[0]
        slots: tuple[Packed, ...] = tuple(
            tuple(tf.zeros_like(pack) for pack in packed) for _ in self.slot_names
        )
        if self._own is not None:
            slots = self._own.initial(trials)
        no = tf.zeros([trials], tf.bool)
        return State(
            weights=packed,
            squares=self.probes.front_and_back(self.probes.row_squares(packed))[0],
            others=others,
            slots=slots,
            iterations=tf.zeros([trials], tf.int64),
            loss_scale=loss_scaling.initial(
                trials, enabled=self._scaled, start=self._subject.scaling.start
            ),
            active=~no,
            broken=no,
            settled=no,
            skipping=no,
        )

    def constants(self, state: State, settings: Settings) -> Constants:
        """Lay out over each pack what does not change from step to step."""
        strengths = self._strengths(settings)
        terms = self._program.terms

        # Adam multiplies by a factor of the step; an optimizer of its own is given the rates.
        varies = terms.schedule or self._program.optimizer in ("adam", "keras")

        def lay_out(values: tf.Tensor) -> Packed:
            return tuple(expand(values, pack) for pack in state.weights)

        return Constants(
            slopes=tuple(
                penalties.slopes(pack, rows, strengths)
                for pack, rows in zip(state.weights, self.packing.front_rows, strict=True)
            ),
            rates=None if varies else lay_out(settings.learning_rates[:, 0]),
            momentum=lay_out(settings.momentum) if terms.momentum and self._own is None else None,
        )

    def __call__(
        self,
        state: State,
        settings: Settings,
        constants: Constants,
        x: tf.Tensor,
        y: tf.Tensor,
        sampled: tf.Tensor,
    ) -> tuple[State, Reading]:
        """Train every active trial on its batch.

        Args:
            state: before the step.
            settings: the trials' numbers.
            constants: what `constants` made of them.
            x: [P, B, D] inputs.
            y: [P, B, 1] targets, or [P, B] labels.
            sampled: bool scalar, whether to count the zeros of the gradient.

        Returns:
            The state after the step (a frozen trial's is what it was) and the readings.
        """
        computed = self.compute(state, settings, constants, x, y)
        run, of_data, gradients, grad_squares, grad_square, finite, weights, slots = computed
        if self._scaled:
            applied, skipped = state.active & finite, state.active & ~finite
        else:
            applied, skipped = state.active, tf.zeros_like(state.active)
        weight_squares = self.probes.row_squares(weights)
        front_square, back_square = self.probes.front_and_back(weight_squares)
        weight_square = front_square + back_square
        kept = [pack for slot in slots for pack in slot if pack.dtype.is_floating]
        entries = [*run.activations, *kept, *floating(run.others)]
        totals = [probes.plain_sum(probes.widen(tensor)) for tensor in entries]
        sound = probes.proven_finite([grad_square, weight_square, run.loss, *totals])
        named = state.settled | (state.skipping & skipped)
        probe, kind, weights_finite = self.probes.locate(
            run.activations,
            run.loss,
            gradients,
            slots,
            weights,
            run.others,
            settings,
            wanted=state.active & ~sound & ~named,
            doubtful=state.active & ~tf.math.is_finite(weight_square),
        )

        record = run.loss.dtype
        largest, headroom = self.probes.peaks(
            run.activations, (gradients, grad_squares), (weights, weight_squares), record
        )
        readings = Reading(
            active=state.active,
            loss=run.loss,
            grad_norm=tf.sqrt(grad_square),
            weight_norm=tf.sqrt(weight_square),
            max_activation=largest,
            loss_scale=state.loss_scale.scale,
            skipped=skipped,
            headroom=headroom,
            zero_gradients=self.probes.zero_share(of_data, sampled),
            probe=probe,
            kind=kind,
        )
        scale = state.loss_scale
        if self._scaled:
            growth_steps = self._subject.scaling.growth_steps
            advanced = loss_scaling.advance(scale, finite, growth_steps)
            scale = LossScale(*select_all(state.active, tuple(advanced), tuple(scale)))
        after = State(
            weights=weights,
            squares=front_square,
            others=select_all(state.active, run.others, state.others),
            slots=slots,
            iterations=state.iterations + tf.cast(applied, tf.int64),
            loss_scale=scale,
            active=state.active & ~state.broken & (weights_finite | ~tf.math.is_nan(run.loss)),
            broken=state.active & ~weights_finite,
            settled=state.settled | ((probe >= 0) & ~skipped),
            skipping=skipped,
        )
        return after, Reading(*(tf.cast(reading, record) for reading in readings))

    def compute(
        self, state: State, settings: Settings, constants: Constants, x: tf.Tensor, y: tf.Tensor
    ) -> Computed:
        """Compute a step, see `__call__`; a skipped or frozen trial keeps weights and slots."""
        run = self._forward_backward(state, settings, x, y)
        of_data = self._unscale(run.gradients, state.loss_scale.scale)
        gradients = tuple(
            penalties.add_gradient(gradient, weight, slope)
            for gradient, weight, slope in zip(
                of_data, state.weights, constants.slopes, strict=True
            )
        )
        grad_squares = self.probes.row_squares(gradients)
        grad_square = tf.add_n([probes.steady_sum(squares) for squares in grad_squares])
        finite = self._finite_steps(run.gradients, grad_square)
        slices = run.slices
        if slices and self._scaled:
            slices = unscale(slices, state.loss_scale.scale)
        weights, slots = self._update(state, settings, constants, gradients, slices)
        weights, slots = select_all(
            state.active & finite, (weights, slots), (state.weights, state.slots)
        )
        return Computed(run, of_data, gradients, grad_squares, grad_square, finite, weights, slots)

    def _strengths(self, settings: Settings) -> penalties.Strengths:
        terms = self._program.terms
        return penalties.Strengths(
            settings.l1 if terms.l1 else None, settings.l2 if terms.l2 else None
        )

    def _forward_backward(
        self, state: State, settings: Settings, x: tf.Tensor, y: tf.Tensor
    ) -> _Pass:
        subject = self._subject

        def one_trial(arguments: Any) -> tuple[Any, ...]:
            weights, others, batch, targets, scale, numbers = arguments
            with (
                tf.GradientTape() as tape,
                lowered(subject.model),
                recording(subject.model) as record,
            ):
                tape.watch(weights)
                run = subject.run(weights, others, numbers, batch, targets, training=True)
                loss = run.loss
                objective = loss * tf.cast(scale, loss.dtype) if self._scaled else loss
            self.layers = record.names
            gradients, slices, self._kinds = take_apart(tape.gradient(objective, weights), weights)
            return loss, tuple(gradients), tuple(run.others), tuple(record.outputs), slices

        weights = self.packing.unpack(state.weights)
        loss, gradients, others, activations, slices = vectorize(
            one_trial,
            (
                weights,
                state.others,
                x,
                y,
                state.loss_scale.scale,
                settings.numbers if subject.numbers else (),
            ),
        )
        if not subject.closed_form:
            return _Pass(loss, self.packing.pack(gradients), others, activations, slices)
        penalty = penalties.value(
            [weight for weight, kept in zip(weights, self._penalized, strict=True) if kept],
            self._strengths(settings),
            # Keras takes the sum in the weights' dtype: half precision has to as well.
            state.squares if all(pack.dtype.size >= 4 for pack in state.weights) else None,
        )
        if penalty is not None:
            loss += penalty
        return _Pass(loss, self.packing.pack(gradients), others, activations)

    def _unscale(self, gradients: Packed, scale: tf.Tensor) -> Packed:
        if not self._scaled:
            return gradients
        # By division: TensorFlow's vector code for 1 / x is inexact even for powers of two.
        return tuple(gradient / expand(scale, gradient) for gradient in gradients)

    def _finite_steps(self, scaled_gradients: Packed, grad_square: tf.Tensor) -> tf.Tensor:
        """Tell which trials' scaled gradients are finite; all, where nothing is skipped."""
        everywhere = tf.ones_like(grad_square, tf.bool)
        if not self._scaled:
            return everywhere

        def exactly() -> tf.Tensor:
            return tf.reduce_all(
                tf.stack([probes.all_finite(pack) for pack in scaled_gradients]), axis=0
            )

        proven = tf.reduce_all(tf.math.is_finite(grad_square))
        return tf.cond(proven, lambda: everywhere, exactly)

    def _update(
        self,
        state: State,
        settings: Settings,
        constants: Constants,
        gradients: Packed,
        slices: tuple[Slices, ...],
    ) -> tuple[Packed, tuple[Packed, ...]]:
        last = tf.shape(settings.learning_rates, tf.int64)[1] - 1
        rates = tf.gather(
            settings.learning_rates, tf.minimum(state.iterations, last), axis=1, batch_dims=1
        )
        hyper = optimizers.Hyperparameters(
            rates, settings.momentum, settings.weight_decay, settings.clipnorm, state.iterations
        )
        terms = self._program.terms
        if self._own is not None:
            unpack = self.packing.unpack
            updated, own_slots = self._own(
                unpack(state.weights),
                unpack(gradients),
                state.slots,
                rates,
                state.iterations,
                slices,
                self._kinds,
            )
            return self.packing.pack(updated), own_slots
        assert self._update_rule is not None
        squared: Packed | None = None
        if slices:
            gradients, squared = self._squared(gradients, slices, hyper.clipnorm)
        elif terms.clipnorm:  # of each variable by itself
            gradients = self.packing.pack(
                [
                    optimizers.clip_by_norm(gradient, hyper.clipnorm)
                    for gradient in self.packing.unpack(gradients)
                ]
            )
        weights: list[tf.Tensor] = []
        slots: list[tuple[tf.Tensor, ...]] = []
        of_weights = list(zip(*state.slots, strict=True)) or [()] * len(gradients)
        for place, (weight, gradient, slot) in enumerate(
            zip(state.weights, gradients, of_weights, strict=True)
        ):
            if constants.rates is not None:
                hyper = hyper._replace(learning_rate=constants.rates[place])
            if constants.momentum is not None:
                hyper = hyper._replace(momentum=constants.momentum[place])
            if squared is not None:
                hyper = hyper._replace(squares=squared[place])
            if terms.weight_decay:
                weight = optimizers.decay_weights(weight, hyper)
            weight, slot = self._update_rule.update(weight, gradient, slot, hyper)
            weights.append(weight)
            slots.append(slot)
        return self._connected(tuple(weights), state), tuple(zip(*slots, strict=True))

    def _squared(
        self, gradients: Packed, slices: tuple[Slices, ...], clipnorm: tf.Tensor
    ) -> tuple[Packed, Packed]:
        """Return clipped gradients and their squares, where some came as slices."""
        own = list(self.packing.unpack(gradients))
        squared = squares(own, slices, self._kinds)
        if self._program.terms.clipnorm:
            pairs = [clip(g, s, clipnorm) for g, s in zip(own, squared, strict=True)]
            own, squared = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return self.packing.pack(own), self.packing.pack(squared)

    def _connected(self, weights: Packed, state: State) -> Packed:
        """Leave weights as they were that the loss does not depend on."""
        if not self._kinds.unconnected:
            return weights
        before, after = self.packing.unpack(state.weights), list(self.packing.unpack(weights))
        for place in self._kinds.unconnected:
            after[place] = before[place]
        return self.packing.pack(after)
