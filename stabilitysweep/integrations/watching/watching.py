"""One watcher of a model's `fit`; several share the probes."""

from __future__ import annotations

from collections.abc import Callable

import keras

from stabilitysweep.errors import UserError
from stabilitysweep.integrations.watching.readings import Found, Reading
from stabilitysweep.integrations.watching.shared import SharedProbes, probes_of
from stabilitysweep.integrations.watching.state import StateWatch
from stabilitysweep.numerics.moments import TensorStats


def require_tensorflow(what: str) -> None:
    """Refuse Keras' other backends.

    Raises:
        UserError: Keras does not run on TensorFlow.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"{what}: expected Keras to run on TensorFlow, it runs on {backend!r}. "
            "Set KERAS_BACKEND=tensorflow before Keras is imported."
        )


class Watching:
    """Probes in the training step of one model, for one `fit`.

    `attach` comes in `on_train_begin`, `begin_batch` in every `on_train_batch_begin`, and
    `detach` in `on_train_end`. Of one `fit` there may be several: each gets all readings, from
    probes that they share, and the model is given back when the last of them detaches.

    A `fit` that ends in an exception of another callback never comes to its end. The model is
    given back then by the first train function that is called without a `begin_batch` before
    it, by the next `attach`, or when nobody keeps this object any more.

    Attributes:
        state: looks at the model between two executions of its train function.
        steps_per_execution: steps that one call of the train function makes.
        every: steps between two looks at all gradients.
        rows: steps that readings are kept of.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        every: int | None = 10,
        remember: int = 64,
        optimizer: bool = True,
    ) -> None:
        """Prepare the probes; the model is left as it is until `attach`.

        Args:
            model: compiled; it need not be built yet.
            every: steps between two looks at all gradients; None looks only where something is
                not finite. Others of the same `fit` may ask for more.
            remember: steps that readings are kept of; never fewer than one execution has.
            optimizer: whether `state` copies what the optimizers keep as well.
        """
        require_tensorflow("Watching")
        self._model = model
        self.steps_per_execution = int(model.steps_per_execution)
        self.state = StateWatch(model, optimizer=optimizer)
        self.every = every
        self.rows = max(remember, self.steps_per_execution)
        self._probes: SharedProbes | None = None
        self._seen = 0
        self._on_traced: Callable[[], None] | None = None

    def attach(self, on_traced: Callable[[], None] | None = None) -> None:
        """Put the probes in, or share those that others have put in for the same `fit`.

        Args:
            on_traced: called whenever the step has been traced and not run yet; not in eager
                mode. All variables exist by then.
        """
        self._on_traced = on_traced
        self._probes = probes_of(self._model)
        self._probes.join(self)

    def begin_batch(self, *, full: bool = True) -> None:
        """Say that the next call of the train function is one of this `fit`.

        Args:
            full: whether to measure all gradients of its steps, rather than only to find those
                that are not finite; others of the same `fit` may ask for it.
        """
        if self._probes is not None:
            self._probes.expect(self, full=full)

    def detach(self) -> None:
        """Take the probes out, unless others still watch; harmless where there are none."""
        if self._probes is not None:
            self._probes.leave(self)

    @property
    def attached(self) -> bool:
        """Whether the model trains through the probes."""
        return self._probes is not None and self._probes.attached

    def peek(self) -> tuple[int, bool]:
        """Return the last step, and whether all was finite in it and before; cheap.

        Step 0 before the first.
        """
        return (0, True) if self._probes is None else self._probes.recorder.peek()

    def collect(self) -> list[Reading]:
        """Return the readings of the steps since the last call, oldest first."""
        if self._probes is None:
            return []
        self._seen, readings = self._probes.recorder.since(self._seen)
        return readings

    def looks(self) -> dict[int, tuple[TensorStats, ...]]:
        """Return the gradients of the last steps that were looked at, by step.

        They are as they were given to the optimizer: times the loss scale.
        """
        return {} if self._probes is None else self._probes.recorder.looks()

    def tell(self, found: Found) -> None:
        """Tell the others what was met in the state, before it is put back."""
        if self._probes is not None and self._probes.met is None:
            self._probes.met = found

    @property
    def met(self) -> Found | None:
        """What one of those that watch this `fit` has told."""
        return None if self._probes is None else self._probes.met

    def traced(self) -> None:
        """Pass on that the step was traced, and was not run yet."""
        if self._on_traced is not None:
            self._on_traced()

    def forget(self) -> None:
        """Let go of the copy of the state."""
        self.state.forget()
