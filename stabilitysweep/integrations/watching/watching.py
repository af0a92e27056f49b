"""A model's train function replaced for one `fit`, and given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from stabilitysweep.errors import UserError
from stabilitysweep.integrations.watching.listening import Patch
from stabilitysweep.integrations.watching.readings import Reading
from stabilitysweep.integrations.watching.state import StateWatch
from stabilitysweep.integrations.watching.step import StepRecorder
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
    `detach` in `on_train_end`. A `fit` that ends in an exception never comes to its end: the
    first train function that is called without a `begin_batch` before it, that of the next
    `fit`, gives the model back by itself.

    Attributes:
        state: looks at the model between two executions of its train function.
        steps_per_execution: steps that one call of the train function makes.
    """

    def __init__(
        self, model: keras.Model, *, every: int = 10, remember: int = 64, optimizer: bool = True
    ) -> None:
        """Prepare the probes; the model is left as it is until `attach`.

        Args:
            model: compiled; it need not be built yet.
            every: steps between two looks at all gradients.
            remember: steps that readings are kept of; never fewer than one execution has.
            optimizer: whether `state` copies what the optimizers keep as well.
        """
        require_tensorflow("Watching")
        self._model = model
        self.steps_per_execution = int(model.steps_per_execution)
        self.state = StateWatch(model, optimizer=optimizer)
        self._recorder = StepRecorder(model, every, max(remember, self.steps_per_execution))
        self._before: Any = None
        self._attached = self._awaited = False

    def attach(self, on_traced: Callable[[], None] | None = None) -> None:
        """Put the probes in.

        Args:
            on_traced: called whenever the step has been traced and not run yet; not in eager
                mode. All variables exist by then.
        """
        model = self._model
        recorder = self._recorder
        recorder.prepare_looks()
        recorder.on_traced = on_traced
        self._before = model.train_function
        patch = Patch(model, "train_step", recorder.watch(model.train_step))
        try:
            model.make_train_function(force=True)
        finally:
            patch.undo()
        watched = model.train_function

        def run(iterator: Any) -> Any:
            if not self._awaited:
                self.detach()
                model.make_train_function()
                return model.train_function(iterator)
            self._awaited = False
            try:
                return watched(iterator)
            except BaseException as error:
                # An epoch that ends before its last execution is full is no failure.
                if not isinstance(error, StopIteration | IndexError) and not _is_end(error):
                    self.detach()
                raise

        model.train_function = run
        self._attached = True

    def begin_batch(self) -> None:
        """Say that the next call of the train function is one of this `fit`."""
        self._awaited = True

    def detach(self) -> None:
        """Take the probes out; harmless where there are none."""
        if self._attached:
            self._attached = False
            self._model.train_function = self._before
            self._before = None

    def collect(self) -> list[Reading]:
        """Return the readings of the steps since the last call, oldest first."""
        return self._recorder.collect()

    def looks(self) -> dict[int, tuple[TensorStats, ...]]:
        """Return the gradients of the last steps that were looked at, by step, unscaled not.

        They are as they were given to the optimizer: times the loss scale.
        """
        return self._recorder.looks()


def _is_end(error: BaseException) -> bool:
    """Whether it says that the data of an epoch have come to their end."""
    return type(error).__name__ == "OutOfRangeError"
