"""What is read of every step, inside the step's own graph.

Notation: G gradients, W weights, K tensors that are looked at, R rows of the ring, M looks kept.
Every number is kept in a variable: under XLA nothing else leaves the graph but the logs, which
are the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.step_probes import held_paths
from stabilitysweep.integrations.watching import measures
from stabilitysweep.integrations.watching.listening import Ear, Heard
from stabilitysweep.integrations.watching.readings import Found, Reading
from stabilitysweep.models.recorder import compute_dtypes
from stabilitysweep.numerics import probes
from stabilitysweep.numerics.moments import Quantity, TensorStats
from stabilitysweep.numerics.statistics import FIELDS, read_statistics
from stabilitysweep.types import Stage

Place = tuple[Stage, str]
Head = tuple[Quantity, str, str, int]

_STEP, _STREAK, _BROKEN, _LOOKS = range(4)
_ROW = (
    "step", "iteration", "loss", "squares", "scale", "skipped", "lossless",
    "place", "kind", "place_before", "kind_before",
)  # fmt: skip
LOOKS = 8
"""Looks that are kept."""


def is_due(step: int, every: int) -> bool:
    """Whether a step is looked at: every so many, and at first 1, 2, 4, 8, and so on."""
    return step % every == 0 or (step < every and step & (step - 1) == 0)


class _Checked(NamedTuple):
    """What was found before the updates of a step.

    Attributes:
        loss: float64, with penalties; 0 where the step told none.
        squares: float64, of all gradients, unscaled.
        scale: float32, the loss scale.
        sums: float32 [1 + G], `nonfinite_sum` of the loss and the gradients.
        before: float32 [W], the same of the weights.
        applied: the count of steps before the update; None without an update.
        inner: the optimizer that counts; None without one.
        named: the gradients with the names of their variables.
    """

    loss: tf.Tensor
    squares: tf.Tensor
    scale: tf.Tensor
    sums: tf.Tensor
    before: tf.Tensor
    applied: tf.Tensor | None
    inner: Any
    named: list[tuple[str, Any]]


class StepRecorder:
    """Writes what it sees of every step into variables of its own, and reads them."""

    def __init__(self, model: keras.Model, every: int, rows: int) -> None:
        """Make the variables; to be called where no graph is traced.

        Args:
            model: compiled.
            every: steps between two looks at all gradients.
            rows: how many steps are remembered.
        """
        self._model = model
        self._every = every
        self._rows = rows
        self._ear = Ear(model)
        self._strategy = model.distribute_strategy
        self._replicas = self._strategy.num_replicas_in_sync
        self._counters = self._variable(np.zeros(4, np.int64))
        self._ring = self._variable(np.full((rows, len(_ROW)), -1.0))
        self._look_steps = self._variable(np.zeros(LOOKS, np.int64))
        self._looks: tf.Variable | None = None
        self._places: list[Place] = [(Stage.LOSS, "loss")]
        self._weights: list[str] = []
        self._heads: list[Head] = []
        self._seen = 0
        self.on_traced: Callable[[], None] | None = None

    def watch(self, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a training step that does what `step` does, and is read."""

        def watched(data: Any) -> Any:
            checked: list[_Checked] = []

            def before_apply(heard: Heard, optimizer: Any, pairs: list[tuple[Any, Any]]) -> None:
                checked.append(self._check(heard, optimizer, pairs, later=bool(checked)))

            with self._ear.listening(before_apply) as heard:
                logs = step(data)
            if not checked:
                checked.append(self._check(heard, None, [], later=False))
            self._write(heard, checked)
            if heard.graph is not None and self.on_traced is not None:
                self.on_traced()
            return logs

        return watched

    def collect(self) -> list[Reading]:
        """Return what was read of the steps since the last call, oldest first.

        Of more steps than the ring has rows, the last ones.
        """
        table = self._local(self._ring)[0]
        latest = int(table[:, 0].max())
        first = max(self._seen, latest - self._rows)
        self._seen = max(self._seen, latest)
        return [self._read(*table[step % self._rows].tolist()) for step in range(first, latest)]

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
        self, heard: Heard, optimizer: Any, pairs: Sequence[tuple[Any, Any]], *, later: bool
    ) -> _Checked:
        """Look at the loss and at the gradients that are about to be applied."""
        model = self._model
        named = [(_path(v), g) for g, v in pairs if g is not None]
        gradients = [gradient for _, gradient in named]
        weights = [w.value for w in model.trainable_variables]
        held = [v.value for v in model.non_trainable_variables if _floating(v)]
        self._weights = [*(w.path for w in model.trainable_variables), *held_paths(model)]
        if not later:
            self._places = [(Stage.LOSS, "loss")]
        self._places += [(Stage.GRADIENT, path) for path, _ in named]

        loss = tf.zeros([], tf.float64) if heard.loss is None else tf.cast(heard.loss, tf.float64)
        scale = _scale(optimizer)
        squared = tf.add_n([tf.zeros([], tf.float64), *map(measures.squares, gradients)])
        loss, proof = self._over_replicas([loss, squared])
        proven = tf.math.is_finite(proof) & tf.math.is_finite(loss)

        def exact() -> tuple[tf.Tensor, tf.Tensor]:
            return (
                measures.nonfinite_sums([loss, *gradients]),
                measures.nonfinite_sums([*weights, *held]),
            )

        def nothing() -> tuple[tf.Tensor, tf.Tensor]:
            return tf.zeros([1 + len(gradients)]), tf.zeros([len(weights) + len(held)])

        sums, before = tf.cond(proven, nothing, exact)
        (sums,) = self._over_replicas([sums])
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return _Checked(
            loss=loss,
            squares=squared / tf.cast(scale, tf.float64) ** 2,
            scale=scale,
            sums=sums,
            before=before,
            applied=None if inner is None else tf.identity(inner._iterations.value),
            inner=inner,
            named=named,
        )

    def _due(self, step: tf.Tensor) -> tf.Tensor:
        """The same as `is_due`, in the graph."""
        early = (step < self._every) & tf.equal(tf.bitwise.bitwise_and(step, step - 1), 0)
        return early | tf.equal(step % self._every, 0)

    def _look(
        self, named: Sequence[tuple[str, Any]], counters: tf.Tensor, wanted: tf.Tensor
    ) -> tf.Tensor:
        """Measure every gradient, where that is wanted, and keep it in place of the oldest.

        Returns:
            The number of looks so far.
        """
        if not named:
            return counters[_LOOKS]
        dtypes = {
            w.path: dtype
            for w, dtype in zip(
                self._model.trainable_variables, compute_dtypes(self._model), strict=True
            )
        }
        dense = [tf.convert_to_tensor(gradient) for _, gradient in named]
        self._heads = [
            (Quantity.GRADIENT, path, dtypes.get(path, g.dtype.name), g.shape.num_elements() or 1)
            for (path, _), g in zip(named, dense, strict=True)
        ]
        looks, steps = self._kept_looks(len(named)), self._look_steps
        place = tf.one_hot(counters[_LOOKS] % LOOKS, LOOKS, on_value=True, off_value=False)

        def keep() -> tf.Tensor:
            found = measures.table(dense)
            looks.assign(tf.where(place[:, None, None], found[None], looks))
            steps.assign(tf.where(place, counters[_STEP] + 1, steps))
            return counters[_LOOKS] + 1

        return tf.cond(wanted, keep, lambda: counters[_LOOKS])

    # --- after it

    def _write(self, heard: Heard, checked: Sequence[_Checked]) -> None:
        """Write the row of a step."""
        sums = tf.concat([checked[0].sums, *(c.sums[1:] for c in checked[1:])], axis=0)
        before = tf.concat([c.before for c in checked[:1]], axis=0)
        counters = tf.identity(self._counters)
        step = counters[_STEP] + 1
        place, kind = _first(sums)
        place_before, kind_before = _first(before)
        main = checked[0]
        iteration = tf.zeros([], tf.int64)
        skipped = tf.zeros([], tf.bool)
        if main.inner is not None and main.applied is not None:
            iteration = tf.cast(main.inner._iterations.value, tf.int64)
            skipped = tf.equal(main.applied, main.inner._iterations.value)
        row = {
            "step": step,
            "iteration": iteration,
            "loss": main.loss,
            "squares": tf.add_n([c.squares for c in checked]),
            "scale": main.scale,
            "skipped": skipped,
            "lossless": heard.loss is None,
            "place": place,
            "kind": kind,
            "place_before": place_before,
            "kind_before": kind_before,
        }
        values = tf.stack([tf.cast(row[name], tf.float64) for name in _ROW])
        here = tf.range(self._rows, dtype=tf.int64)[:, None] == (step - 1) % self._rows
        self._ring.assign(tf.where(here, values[None], self._ring))
        bad = place >= 0
        calm = tf.equal(counters[_STREAK], 0) & tf.equal(counters[_BROKEN], 0)
        named = [pair for c in checked for pair in c.named]
        looks = self._look(named, counters, (bad | self._due(step)) & calm)
        streak = tf.where(bad, counters[_STREAK] + 1, 0)
        broken = counters[_BROKEN] | tf.cast(bad & ~skipped, tf.int64)
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
            return [variable.numpy()]
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
        """The record of a row, whose order is that of `_ROW`."""
        found = None if place < 0 else _found(self._places[int(place)], kind)
        weights = None
        if place_before >= 0:
            weights = _found((Stage.WEIGHT, self._weights[int(place_before)]), kind_before)
        return Reading(
            step=int(step),
            iteration=int(iteration),
            loss=math.nan if lossless else loss,
            gradient_norm=math.sqrt(squares),
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


def _first(sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first place that is not finite and its kind code; -1 and 0 if there is none."""
    bad = sums != 0
    found = tf.reduce_any(bad)
    first = tf.argmax(bad, output_type=tf.int32)
    kind = probes.kind_code(tf.gather(sums, first))
    return tf.where(found, first, -1), tf.where(found, kind, 0)


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


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))
