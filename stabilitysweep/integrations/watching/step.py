"""What is read of every step, inside the step's own graph.

There are two ways to read a step. A *full* one measures gradients as exactly as everything else,
and keeps them till its end for that: the optimizer cannot compute in their place then. A *light*
one only adds each of them up. They are two graphs: a random operation of TensorFlow's that counts
its draws would begin anew in the second.

Notation: G gradients, W weights, K tensors that are looked at, R rows of the ring, M looks kept.
Every number is kept in a variable: under XLA nothing else leaves the graph but the logs, which
are the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.step_probes import held_paths
from stabilitysweep.integrations.watching import measures
from stabilitysweep.integrations.watching.listening import Ear, Heard, draws
from stabilitysweep.integrations.watching.readings import Found, Reading
from stabilitysweep.models.recorder import compute_dtypes
from stabilitysweep.numerics import probes
from stabilitysweep.numerics.moments import Quantity, TensorStats
from stabilitysweep.numerics.statistics import FIELDS, read_statistics
from stabilitysweep.types import Stage

Place = tuple[Stage, str]
Head = tuple[Quantity, str, str, int]

_STEP, _STREAK, _BROKEN, _LOOKS = range(4)
_ROW = 11
"""Numbers of a row, in the order of `StepRecorder._read`."""
LOOKS = 8
"""Looks that are kept."""


def is_due(step: int, every: int) -> bool:
    """Whether a step is looked at: every so many, and at first 1, 2, 4, 8, and so on."""
    return step % every == 0 or (step < every and step & (step - 1) == 0)


class _Gradient(NamedTuple):
    """A gradient that is about to be applied, and the variable it belongs to."""

    path: str
    size: int
    value: Any


class _Checked(NamedTuple):
    """What was found before the updates of a step.

    Attributes:
        loss: float64, with penalties; 0 where the step told none.
        squares: float64, of all gradients, unscaled; -1 where they were not measured.
        scale: float64, the loss scale.
        found: float64 [4], as `measures.first_nonfinite` returns it.
        applied: the count of steps before the update; None without an update.
        inner: the optimizer that counts; None without one.
        gradients: all of them, where they are measured.
    """

    loss: tf.Tensor
    squares: tf.Tensor
    scale: tf.Tensor
    found: tf.Tensor
    applied: tf.Tensor | None
    inner: Any
    gradients: list[_Gradient]


class StepRecorder:
    """Writes what it sees of every step into variables of its own, and reads them.

    Attributes:
        on_traced: called when a step was traced.
        draws: whether the step has random operations that keep their own count; known once it
            was traced.
    """

    def __init__(self, model: keras.Model, everies: Collection[int], rows: int) -> None:
        """Make the variables; to be called where no graph is traced.

        Args:
            model: compiled.
            everies: steps between two looks at all gradients; of several, each has its looks.
            rows: how many steps are remembered.
        """
        self._model = model
        self._everies = sorted(everies)
        self._rows = rows
        self._ear = Ear(model)
        self._strategy = model.distribute_strategy
        self._replicas = self._strategy.num_replicas_in_sync
        self._counters = self._variable(np.zeros(4))
        self._ring = self._variable(np.full((rows, _ROW), -1.0))
        self._look_steps = self._variable(np.zeros(LOOKS, np.int64))
        self._looks: tf.Variable | None = None
        self._places: list[Place] = [(Stage.LOSS, "loss")]
        self._weights: list[str] = []
        self._heads: list[Head] = []
        self.on_traced: Callable[[], None] | None = None
        self.draws = False

    def watch(self, step: Callable[[Any], Any], *, full: bool) -> Callable[[Any], Any]:
        """Return a training step that does what `step` does, and is read fully or lightly."""

        def watched(data: Any) -> Any:
            checked: list[_Checked] = []

            def before_apply(heard: Heard, optimizer: Any, pairs: list[tuple[Any, Any]]) -> None:
                later = bool(checked)
                checked.append(self._check(heard, optimizer, pairs, later=later, full=full))

            with self._ear.listening(before_apply) as heard:
                logs = step(data)
            if not checked:
                checked.append(self._check(heard, None, [], later=False, full=full))
            self._write(heard, checked)
            if heard.graph is not None:
                self.draws |= draws(heard.graph)
                if self.on_traced is not None:
                    self.on_traced()
            return logs

        return watched

    def peek(self) -> tuple[int, bool]:
        """Return the last step, and whether nothing has come up in it, nor broken before it."""
        step, streak, broken, _ = self._local(self._counters)[0]
        return int(step), not (streak or broken)

    def since(self, seen: int) -> tuple[int, list[Reading]]:
        """Return the last step, and what was read of the steps after `seen`, oldest first.

        Of more steps than the ring has rows, the last ones.
        """
        table = self._local(self._ring)[0]
        latest = max(int(table[:, 0].max()), 0)
        steps = range(max(seen, latest - self._rows), latest)
        return latest, [self._read(*table[step % self._rows].tolist()) for step in steps]

    def looks(self) -> dict[int, tuple[TensorStats, ...]]:
        """Return the gradients of those steps that were looked at, by step; scaled as they were."""
        if self._looks is None:
            return {}
        steps = self._local(self._look_steps)[0]
        tables = self._merged(self._local(self._looks))
        return {
            int(step): tuple(
                read_statistics(*head, values)
                for head, values in zip(self._heads, tables[place], strict=True)
            )
            for place, step in sorted(enumerate(steps), key=lambda pair: pair[1])
            if step > 0
        }

    # --- before the update

    def _check(
        self,
        heard: Heard,
        optimizer: Any,
        pairs: Sequence[tuple[Any, Any]],
        *,
        later: bool,
        full: bool,
    ) -> _Checked:
        """Look at the loss and at the gradients that are about to be applied."""
        own = [_Gradient(_path(v), _size(v), g) for g, v in pairs if g is not None]
        if not later:
            self._places = [(Stage.LOSS, "loss")]
            trainable = self._model.trainable_variables
            self._weights = [*(w.path for w in trainable), *held_paths(self._model)]
        offset = len(self._places) - 1
        self._places += [(Stage.GRADIENT, gradient.path) for gradient in own]

        loss = tf.zeros([], tf.float64) if heard.loss is None else tf.cast(heard.loss, tf.float64)
        scale = tf.cast(_scale(optimizer), tf.float64)
        values = [gradient.value for gradient in own]
        if full:
            loss, squared, found = self._exactly(loss, values, offset, later=later)
            squared /= scale * scale
        else:
            loss, found = self._roughly(loss, values, offset, later=later)
            squared = tf.constant(-1.0, tf.float64)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return _Checked(
            loss=loss,
            squares=squared,
            scale=scale,
            found=found,
            applied=None if inner is None else tf.identity(inner._iterations.value),
            inner=inner,
            gradients=own if full else [],
        )

    def _exactly(
        self, loss: tf.Tensor, gradients: Sequence[Any], offset: int, *, later: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The loss, the sum of squares of the gradients, and what is not finite.

        It is looked for only where a finite sum of squares does not prove that there is nothing.
        """
        loss, squared = self._over_replicas([loss, measures.squares(gradients)])
        proven = tf.math.is_finite(loss + squared)

        def sums() -> tf.Tensor:
            return measures.nonfinite_sums([loss, *gradients])

        if self._replicas == 1:
            return loss, squared, self._found(proven, sums, offset, later=later)
        # Replicas have gradients of their own, and the same weights.
        own = tf.cond(proven, lambda: tf.zeros([1 + len(gradients)]), sums)
        (every,) = self._over_replicas([own])
        return loss, squared, self._found(proven, lambda: every, offset, later=later)

    def _roughly(
        self, loss: tf.Tensor, gradients: Sequence[Any], offset: int, *, later: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss, and what is not finite: of the gradients what does not add up to a number.

        Finite entries near the largest number may do so too, in a training that is lost.
        """
        xla = bool(self._model.jit_compile) and not self._model.run_eagerly
        every = tf.stack([loss, *measures.sums(gradients, xla=xla)])
        (sums,) = self._over_replicas([every])
        finite = tf.math.is_finite(sums)
        bad = tf.cast(tf.where(finite, tf.zeros_like(sums), sums), tf.float32)
        return sums[0], self._found(tf.reduce_all(finite), lambda: bad, offset, later=later)

    def _found(
        self, proven: tf.Tensor, sums: Callable[[], tf.Tensor], offset: int, *, later: bool
    ) -> tf.Tensor:
        """Return `measures.first_nonfinite`, with the weights before their update.

        Args:
            proven: whether nothing is.
            sums: of what is not finite in the loss and in each gradient.
            offset: places before those of these gradients.
            later: whether another optimizer has updated weights in this very step.
        """
        model = self._model

        def look() -> tf.Tensor:
            weights = [w.value for w in model.trainable_variables]
            held = [v.value for v in model.non_trainable_variables if _floating(v)]
            before = tf.zeros([1]) if later else measures.nonfinite_sums([*weights, *held])
            return measures.first_nonfinite(sums(), before, offset)

        return tf.cond(proven, lambda: tf.constant([-1.0, 0.0, -1.0, 0.0], tf.float64), look)

    def _due(self, step: tf.Tensor) -> tf.Tensor:
        """The same as `is_due`, in the graph."""
        due = tf.constant(False)
        for every in self._everies:
            early = [float(at) for at in range(1, min(every, 1 << 20)) if at & (at - 1) == 0]
            due |= tf.equal(tf.math.floormod(step, tf.constant(every, tf.float64)), 0.0)
            if early:
                due |= tf.reduce_any(tf.equal(step, tf.constant(early, tf.float64)))
        return due

    def _look(
        self, gradients: Sequence[_Gradient], counters: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        """Measure every gradient, where that is wanted, and keep it in place of the oldest.

        Returns:
            The number of looks so far.
        """
        if not gradients:
            return counters[_LOOKS]
        model = self._model
        paths = [variable.path for variable in model.trainable_variables]
        dtypes = dict(zip(paths, compute_dtypes(model), strict=True))
        self._heads = [
            (Quantity.GRADIENT, path, dtypes.get(path, value.dtype.name), size)
            for path, size, value in gradients
        ]
        looks, steps = self._kept_looks(len(gradients)), self._look_steps

        def keep() -> tf.Tensor:
            turn = tf.cast(counters[_LOOKS], tf.int64) % LOOKS
            place = tf.one_hot(turn, LOOKS, on_value=True, off_value=False)
            found = measures.table([tf.convert_to_tensor(value) for _, _, value in gradients])
            looks.assign(tf.where(place[:, None, None], found[None], looks))
            steps.assign(tf.where(place, tf.cast(counters[_STEP], tf.int64) + 1, steps))
            return counters[_LOOKS] + 1

        return tf.cond(wanted, keep, lambda: counters[_LOOKS])

    # --- after it

    def _write(self, heard: Heard, checked: Sequence[_Checked]) -> None:
        """Write the row of a step."""
        main = checked[0]
        found, squared = main.found, main.squares
        for other in checked[1:]:
            found = tf.where(found[0] >= 0, found, other.found)
            squared = tf.where(squared < 0, squared, squared + other.squares)
        counters = tf.identity(self._counters)
        step, streak, broken, _ = tf.unstack(counters)
        step += 1
        iteration = skipped = tf.zeros([], tf.float64)
        if main.inner is not None and main.applied is not None:
            now = main.inner._iterations.value
            iteration = tf.cast(now, tf.float64)
            if main.inner is not self._model.optimizer:  # it scales the loss
                skipped = tf.cast(tf.equal(main.applied, now), tf.float64)
        lossless = tf.constant(float(heard.loss is None), tf.float64)
        values = [step, iteration, main.loss, squared, main.scale, skipped, lossless]
        row = tf.concat([tf.stack(values), found], axis=0)
        if self._replicas == 1:
            place = tf.cast(step - 1, tf.int64) % self._rows
            self._ring.scatter_update(tf.IndexedSlices(row[None], place[None]))
        else:
            here = tf.range(self._rows, dtype=tf.float64) == tf.math.floormod(step - 1, self._rows)
            self._ring.assign(tf.where(here[:, None], row[None], self._ring))
        bad = found[0] >= 0
        calm = tf.equal(streak + broken, 0)
        gradients = [gradient for one in checked for gradient in one.gradients]
        looks = self._look(gradients, counters, (bad | self._due(step)) & calm)
        streak = tf.where(bad, streak + 1, 0)
        broken = tf.where(bad, tf.maximum(broken, 1 - skipped), broken)
        self._counters.assign(tf.stack([step, streak, broken, looks]))

    # --- variables

    def _variable(self, value: NDArray[Any]) -> tf.Variable:
        """A variable of which every replica has its own."""
        with self._strategy.scope():
            return tf.Variable(
                value,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def _kept_looks(self, tensors: int) -> tf.Variable:
        """The variable of the looks, made when the step is first traced."""
        if self._looks is None or self._looks.shape[1] != tensors:
            with tf.init_scope():
                self._looks = self._variable(np.zeros((LOOKS, tensors, FIELDS)))
        return self._looks

    def prepare_looks(self) -> None:
        """Make the variable of the looks beforehand: replicas could not do it by themselves."""
        if self._model.built:
            self._kept_looks(len(self._model.trainable_variables))

    def _local(self, variable: tf.Variable) -> list[NDArray[Any]]:
        """The values of all replicas."""
        if self._replicas == 1:
            # What `variable.numpy()` comes to, without its detours: it is called in every step.
            value = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
            return [value.numpy()]
        return [one.numpy() for one in self._strategy.experimental_local_results(variable)]

    @staticmethod
    def _merged(tables: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One table of those of all replicas, [M, K, 5] each."""
        if len(tables) == 1:
            return tables[0]
        every = np.stack(tables)
        merged: NDArray[Any] = every.mean(axis=0)  # of magnitudes and of shares of zeros
        merged[..., 0] = every[..., 0].max(axis=0)
        merged[..., 3:] = every[..., 3:].max(axis=0)  # counts; the tensor is of one size
        return merged

    def _over_replicas(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Add up over the replicas of a distributed step."""
        if self._replicas == 1:
            return values
        context = tf.distribute.get_replica_context()
        own = [tf.cast(value, tf.float32) for value in values]
        sums = [context.all_reduce(tf.distribute.ReduceOp.SUM, value) for value in own]
        return [tf.cast(total, value.dtype) for total, value in zip(sums, values, strict=True)]

    def _read(
        self,
        step: float,
        iteration: float,
        loss: float,
        squares: float,
        scale: float,
        skipped: float,
        lossless: float,
        place: float,
        kind: float,
        place_before: float,
        kind_before: float,
    ) -> Reading:
        """The record of a row."""
        found = None if place < 0 else _found(self._places[int(place)], kind)
        weights = None
        if place_before >= 0:
            weights = _found((Stage.WEIGHT, self._weights[int(place_before)]), kind_before)
        return Reading(
            step=int(step),
            iteration=int(iteration),
            loss=math.nan if lossless else loss,
            gradient_norm=None if squares < 0 else math.sqrt(squares),
            loss_scale=scale,
            skipped=bool(skipped),
            found=found,
            found_before=weights,
            lossless=bool(lossless),
        )


def _found(place: Place, code: float) -> Found:
    kind = probes.KINDS[int(code)]
    assert kind is not None, "what was found has a kind"
    return Found(*place, kind)


def _scale(optimizer: Any) -> tf.Tensor:
    """The loss scale that the gradients of a step are multiplied with: float32."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        if optimizer.built:
            return tf.identity(optimizer.dynamic_scale.value)
        return tf.constant(optimizer.initial_scale, tf.float32)
    fixed = getattr(optimizer, "loss_scale_factor", None)
    return tf.constant(1.0 if fixed is None else fixed, tf.float32)


def _floating(variable: Any) -> bool:
    return bool(tf.as_dtype(variable.dtype).is_floating)


def _size(variable: Any) -> int:
    return math.prod(variable.shape)


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))
