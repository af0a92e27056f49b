"""The largest curvature of the training loss at the initial weights, and the limit it sets.

Notation: n weights of a trial in one vector; N training rows; H the Hessian of the mean loss
over the whole training split, n x n; M the diagonal matrix that is 1 for the penalized weights
and 0 for others; c an L2 strength. The penalty c |w|^2 makes the Hessian H + 2 c M. An L1
penalty is piecewise linear: it bends nothing but at zero, and adds nothing.

Whatever the precision of a trial, everything here is float64, from the trial's own initial
weights: float32 and mixed_float16 share them, float16 and float64 draw others. Batch
normalisation uses the statistics of the whole split, as in a full-batch training step.

The eigenvalue is found from products of H with vectors, each a gradient of a gradient, with
the subspace of Lanczos' method (Golub and Van Loan, "Matrix Computations", ch. 10): within a
growing orthonormal basis the best vector is found exactly, and the basis grows by its residual
made orthogonal to all of it, which from a single start spans what Lanczos spans but does not
lose orthogonality. It ends where the residual's length is at most `TOLERANCE` times the
eigenvalue; some eigenvalue is then at most that far off, and the error is of the order of its
square unless two eigenvalues are as near as that to one another.

A strength c has its own search, from the same random start: the vectors found for another
strength hold nothing of what that strength has parted. Only where c is so small that bounds
on its eigenvalue meet within the tolerance is there nothing to search for.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.config import ModelSettings
from stabilitysweep.data import PreparedData
from stabilitysweep.engines import penalties
from stabilitysweep.engines.base import Stack
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.losses import build_loss
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics.critical_rate import critical_learning_rate

TOLERANCE = 1e-4
"""Largest residual of the eigenvector found, relative to its eigenvalue."""

MOST_WORK = 2**25
"""Rows times weights above which a curvature is not sought: it would take too long, and the basis
of 120 vectors too much memory (half a gigabyte at this bound)."""

_ROUNDING = 1e-12
_STEP = 1e-5
_MOST_VECTORS = 120
_ROWS = 4_096
_KEPT_GRAPHS = 16
_KEPT_VALUES = 65_536

Floats = NDArray[np.float64]
Product = Callable[[Floats], Floats]


def has_limit(trial: Trial) -> bool:
    """Tell whether theory limits the learning rate of a trial.

    It does for SGD in all its forms: Adam and RMSprop divide by the size of the gradients,
    `clipnorm` bounds the step, and with dropout the loss changes from step to step. Of a user's
    model nothing of the kind is known.
    """
    if trial.blueprint is not None:
        return False
    training = trial.training
    return training.optimizer == "sgd" and training.clipnorm is None and trial.model.dropout == 0


def _limit(trial: Trial, curvature: float) -> float | None:
    training = trial.training
    return critical_learning_rate(
        curvature,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay or 0.0,
    )


class Curvatures:
    """Finds the critical learning rates of trials; keeps what several of them share.

    Attributes:
        traces: how many graphs were traced.
    """

    def __init__(self) -> None:
        """Start with nothing known."""
        self._graphs: OrderedDict[_Model, _Graph] = OrderedDict()
        self._known: OrderedDict[tuple[Any, ...], float] = OrderedDict()
        self.traces = 0

    def critical_learning_rates(
        self, stack: Stack, initial: Sequence[Sequence[NDArray[Any]]], data: PreparedData
    ) -> list[float | None]:
        """Return the theoretical limit of the learning rate of each trial of a stack.

        Args:
            stack: the trials.
            initial: initial trainable weights of each trial, in the model's order; equal
                for trials of one seed. Places beyond the trials are not read.
            data: what they are trained on.

        Returns:
            A number for each trial, None where theory has none: see `has_limit`, and where
            the curvature is not positive, not finite, not found, or too costly to find.
        """
        wanted: dict[int, list[float]] = {}
        places: dict[int, int] = {}
        for place, trial in enumerate(stack.trials):
            if has_limit(trial):
                places.setdefault(trial.seed, place)
                wanted.setdefault(trial.seed, []).append(trial.model.l2)
        found: dict[tuple[int, float], float] = {}
        for seed, strengths in wanted.items():
            weights = [np.asarray(w).astype(np.float64) for w in initial[places[seed]]]
            distinct = sorted(set(strengths))
            values = self.largest(stack.program, weights, distinct, data)
            found |= {(seed, c): value for c, value in zip(distinct, values, strict=True)}
        return [
            _limit(trial, found[trial.seed, trial.model.l2]) if has_limit(trial) else None
            for trial in stack.trials
        ]

    def largest(
        self,
        program: Program,
        weights: Sequence[Floats],
        strengths: Sequence[float],
        data: PreparedData,
    ) -> list[float]:
        """Return the largest eigenvalue of H + 2 c M for each strength c.

        Args:
            program: model and loss; its precision and optimizer are of no account.
            weights: the trainable weights at which to take it, in the model's order.
            strengths: L2 strengths, >= 0.
            data: the training split.

        Returns:
            An eigenvalue for each strength; NaN where it was not found.
        """
        size = sum(weight.size for weight in weights)
        # A wide network on few rows counts as one on more, since the basis must fit into memory.
        if max(data.train_rows, 128) * size > MOST_WORK:
            return [math.nan] * len(strengths)
        model = _model_of(program)
        digest = hashlib.blake2b(b"".join(weight.tobytes() for weight in weights)).digest()
        keys = [(model, data.content_hash, digest, strength) for strength in strengths]
        if any(key not in self._known for key in keys):
            try:
                graph = self._graph(model)
                product = graph.product(weights, data)
                plain = _Search(product, size).run()
                for key in keys:
                    self._known[key] = _with_penalty(*plain, product, graph.penalized, key[-1])
            except (MemoryError, tf.errors.ResourceExhaustedError, np.linalg.LinAlgError):
                # The trials are trained by now: a limit that cannot be had must not undo that.
                self._known.update(dict.fromkeys(keys, math.nan))
        found = [self._known[key] for key in keys]
        while len(self._known) > _KEPT_VALUES:
            self._known.popitem(last=False)
        return found

    def _graph(self, model: _Model) -> _Graph:
        if model not in self._graphs:
            while len(self._graphs) >= _KEPT_GRAPHS:
                self._graphs.popitem(last=False)
            self._graphs[model] = _Graph(model)
            self.traces += 1
        self._graphs.move_to_end(model)
        return self._graphs[model]


def _with_penalty(
    value: float, vector: Floats, product: Product, penalized: Floats, strength: float
) -> float:
    """Return the largest eigenvalue of H + 2 c M, given that of H and its vector."""
    if strength == 0:
        return value
    # It is at least what the vector has of it, and at most 2 c above that of H (Weyl).
    least = value + 2 * strength * float(np.einsum("i,i,i->", vector, penalized, vector))
    if value + 2 * strength - least <= TOLERANCE * least:
        return least
    slope = 2 * strength * penalized
    found, _ = _Search(lambda v: product(v) + slope * v, len(penalized)).run()
    return found


def hessian_product(program: Program, weights: Sequence[Floats], data: PreparedData) -> Product:
    """Return the function from a vector [n] to H times it, H at `weights`, penalties apart."""
    return _Graph(_model_of(program)).product(weights, data)


class _Model(NamedTuple):
    """All that the loss over the split depends on, its weights and penalties apart."""

    settings: ModelSettings
    features: int
    outputs: int
    loss: str


def _model_of(program: Program) -> _Model:
    return _Model(program.model, program.features, program.outputs, program.loss)


class _Graph:
    """Products of a model's Hessian with vectors, as a float64 graph.

    Attributes:
        penalized: the diagonal of M, [n].
    """

    def __init__(self, model: _Model) -> None:
        # Any strength will do: it marks what an L2 penalty is on. The model's own weights are
        # never read, and zeros are made without tracing an initializer.
        plain = {"l1": 0.0, "l2": 1.0, "initializer": "zeros"}
        settings = model.settings.model_copy(update=plain)
        self._whole = settings.batch_norm
        with precision_scope("float64"):
            spec = ModelSpec(settings, model.features, model.outputs, "float64")
            self._model = build_model(spec, seed=0)
            self._loss = build_loss(model.loss)
        self._variables = self._model.trainable_variables
        sizes = [int(np.prod(variable.shape)) for variable in self._variables]
        self.penalized = np.repeat(np.array(penalties.penalized(self._model), float), sizes)
        labels = model.loss == "sparse_categorical_crossentropy"
        targets = ([None], tf.int32) if labels else ([None, None], tf.float64)
        self._multiply = tf.function(
            self._trace,
            input_signature=[
                [tf.TensorSpec(variable.shape, tf.float64) for variable in self._variables],
                tf.TensorSpec([sum(sizes)], tf.float64),
                tf.TensorSpec([None, model.features], tf.float64),
                tf.TensorSpec(*targets),
            ],
            autograph=False,
        )

    def product(self, weights: Sequence[Floats], data: PreparedData) -> Product:
        """Return the function from a vector [n] to its product with H at `weights`, [n]."""
        at = [tf.constant(weight) for weight in weights]
        kind = self._multiply.input_signature[-1].dtype.as_numpy_dtype
        size = data.train_rows if self._whole else _ROWS
        chunks = [
            (
                len(data.x_train[start : start + size]) / data.train_rows,
                tf.constant(data.x_train[start : start + size], tf.float64),
                tf.constant(data.y_train[start : start + size].astype(kind)),
            )
            for start in range(0, data.train_rows, size)
        ]

        def multiply(vector: Floats) -> Floats:
            by = tf.constant(vector)
            parts = [share * self._multiply(at, by, x, y).numpy() for share, x, y in chunks]
            total: Floats = np.sum(parts, axis=0)
            return total

        return multiply

    def _trace(
        self, weights: list[tf.Tensor], vector: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """Differentiate the gradient along `vector`."""
        shapes = [weight.shape for weight in weights]
        parts = tf.split(vector, [shape.num_elements() for shape in shapes])
        along = [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
        try:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                gradient = self._gradient(weights, x, y)
            product = tape.gradient(
                gradient, weights, output_gradients=along, unconnected_gradients="zero"
            )
        except LookupError:  # TensorFlow has no second derivative of softsign
            above, below = (
                self._gradient([w + h * v for w, v in zip(weights, along, strict=True)], x, y)
                for h in (_STEP, -_STEP)
            )
            product = [(a - b) / (2 * _STEP) for a, b in zip(above, below, strict=True)]
        return tf.concat([tf.reshape(part, [-1]) for part in product], axis=0)

    def _gradient(self, weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        state = list(zip(self._variables, weights, strict=True))
        with tf.GradientTape() as tape, precision_scope("float64"):
            tape.watch(weights)
            with keras.StatelessScope(state_mapping=state):
                predictions = self._model(x, training=True)
            loss = self._loss(y, predictions)
        gradient: list[tf.Tensor] = tape.gradient(loss, weights, unconnected_gradients="zero")
        return gradient


class _Search:
    """The search for one eigenvector: an orthonormal basis that grows until it holds it.

    The sums are NumPy's own, not the matrix library's, whose bits depend on its threads.
    """

    def __init__(self, product: Product, size: int) -> None:
        self._product = product
        # The vectors, and the operator times each: [m, n]; its form within the basis, [m, m].
        self._vectors, self._images = np.empty((0, size)), np.empty((0, size))
        self._form = np.empty((0, 0))
        self._count = 0

    def run(self) -> tuple[float, Floats]:
        """Return the largest eigenvalue and its vector; NaN if it was not found."""
        size = self._vectors.shape[1]
        residual = np.random.default_rng(0).standard_normal(size)
        while True:
            self._add(residual)
            m = self._count
            form = self._form[:m, :m]
            if not np.isfinite(form).all():
                return math.nan, residual
            values, rotations = np.linalg.eigh(form)
            value, mixture = float(values[-1]), rotations[:, -1]
            rounding = _ROUNDING * float(np.abs(values).max())
            vector = np.einsum("i,ij->j", mixture, self._vectors[:m])
            residual = np.einsum("i,ij->j", mixture, self._images[:m]) - value * vector
            if _length(residual) <= max(TOLERANCE * abs(value), rounding) or m == size:
                return (value if value > rounding else 0.0), vector
            if m == _MOST_VECTORS:
                return math.nan, vector

    def _add(self, direction: Floats) -> None:
        """Add a vector: the direction, made orthogonal to all before it and of length 1."""
        m = self._count
        if m == len(self._vectors):
            self._enlarge()
        before = self._vectors[:m]
        for _ in range(2):  # once leaves what rounding leaves; twice is enough
            direction = direction / _length(direction)
            shares = np.einsum("ij,j->i", before, direction)
            direction = direction - np.einsum("i,ij->j", shares, before)
        self._vectors[m] = direction / _length(direction)
        self._images[m] = self._product(self._vectors[m])
        self._count = m + 1
        row = np.einsum("ij,j->i", self._vectors[: m + 1], self._images[m])
        self._form[m, : m + 1] = self._form[: m + 1, m] = row

    def _enlarge(self) -> None:
        more = max(16, len(self._vectors))
        wide = ((0, more), (0, 0))
        self._vectors, self._images = np.pad(self._vectors, wide), np.pad(self._images, wide)
        self._form = np.pad(self._form, (0, more))


def _length(vector: Floats) -> float:
    return math.sqrt(np.einsum("i,i->", vector, vector))
