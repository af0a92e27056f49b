"""The probes in one model's training step, shared by all that watch the same `fit`."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import keras

from stabilitysweep.integrations.watching.listening import Patch
from stabilitysweep.integrations.watching.readings import Found
from stabilitysweep.integrations.watching.step import StepRecorder


class Listener(Protocol):
    """One of those that watch a `fit`.

    Attributes:
        every: steps between two looks at all gradients; None asks for none.
        rows: how many steps are to be remembered.
    """

    every: int | None
    rows: int

    def traced(self) -> None:
        """Hear that the step was traced, and was not run yet."""

    def forget(self) -> None:
        """Let go of copies: the `fit` is over."""


class SharedProbes:
    """A model's train function, replaced once for all listeners, until the last one leaves.

    Attributes:
        recorder: reads the steps.
        attached: whether the model trains through the probes.
        met: the first part of the state that a listener met and that was not finite.
    """

    recorder: StepRecorder

    def __init__(self, model: keras.Model) -> None:
        """Prepare them; the model is left as it is until someone joins."""
        self._model = model
        self._listeners: list[Listener] = []
        self._awaiting: list[Listener] = []
        self._run = _Run(self, model)
        self._full: Any = None
        self._light: Any = None
        self._fully = False
        self.begun = False
        self.attached = True
        self.met: Found | None = None
        # The train function is given back also where a `fit` that was interrupted never ended.
        self._finalizer = weakref.finalize(self, _Run.leave, self._run)
        self._finalizer.atexit = False

    def join(self, listener: Listener) -> None:
        """Put the probes in, with what this and all earlier listeners ask for."""
        self._listeners.append(listener)
        model = self._model
        everies = {one.every for one in self._listeners if one.every is not None}
        rows = max(one.rows for one in self._listeners)
        self.recorder = recorder = StepRecorder(model, everies, rows)
        recorder.prepare_looks()
        recorder.on_traced = self._on_traced
        # Neither is traced before it is first called.
        self._full = self._made(recorder.watch(model.train_step, full=True))
        self._light = self._made(recorder.watch(model.train_step, full=False))

    def _made(self, step: Callable[[Any], Any]) -> Any:
        """A train function that goes through `step`; the model keeps ours."""
        model = self._model
        patch = Patch(model, "train_step", step)
        try:
            model.make_train_function(force=True)
            return model.train_function
        finally:
            patch.undo()
            model.train_function = self._run

    def expect(self, listener: Listener, *, full: bool) -> None:
        """Take note that for a listener the next call is one of its `fit`.

        Args:
            listener: one that has joined.
            full: whether it wants its steps read fully; it suffices that one of them does.
        """
        self._fully |= full
        if listener not in self._awaiting:
            self._awaiting.append(listener)

    def leave(self, listener: Listener) -> None:
        """Let a listener go; with the last of them the probes."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            listener.forget()
            if not self._listeners:
                self.close()

    def close(self) -> None:
        """Take the probes out; what was read stays."""
        if not self.attached:
            return
        self.attached = False
        self._finalizer.detach()
        self._run.leave()
        self._full = self._light = None
        for listener in self._listeners:
            listener.forget()
        self._listeners = []

    def expected(self) -> bool:
        """Whether the next call is one that listeners announced; else it is none of theirs."""
        if not self._awaiting:
            self.close()
        return self.attached

    def call(self, iterator: Any) -> Any:
        """Train through the probes."""
        # One that was left over by a `fit` interrupted before its first step announces nothing.
        for gone in [one for one in self._listeners if one not in self._awaiting]:
            self.leave(gone)
        self._awaiting = []
        self.begun = True
        # The first step is read fully, so it is known by the second.
        watched = self._full if self._fully or self.recorder.draws else self._light
        self._fully = False
        try:
            return watched(iterator)
        except BaseException as error:
            # An epoch that ends before its last execution is full is no failure.
            if not isinstance(error, StopIteration | IndexError) and not _is_end(error):
                self.close()
            raise

    def _on_traced(self) -> None:
        for listener in list(self._listeners):
            listener.traced()


def probes_of(model: keras.Model) -> SharedProbes:
    """Return the probes to join: those of the same `fit`, or new ones.

    Probes that have seen a step are of a `fit` that was interrupted, and taken out.
    """
    run = model.train_function
    if isinstance(run, _Run):
        there = run.probes()
        if there is not None and there.attached and not there.begun:
            return there
        if there is not None:
            there.close()
        run.leave()
    return SharedProbes(model)


class _Run:
    """What stands in the place of a model's train function.

    It does not keep the probes alive: they go with those that listen.
    """

    def __init__(self, probes: SharedProbes, model: keras.Model) -> None:
        self.probes: Callable[[], SharedProbes | None] = weakref.ref(probes)
        self._model = model
        self._before = model.train_function

    def __call__(self, iterator: Any) -> Any:
        probes = self.probes()
        if probes is not None and probes.expected():
            return probes.call(iterator)
        return self._plain()(iterator)

    def leave(self) -> None:
        """Give the train function back, unless the model has got another meanwhile."""
        if self._model.train_function is self:
            self._model.train_function = self._before

    def _plain(self) -> Any:
        """The train function without probes."""
        self.leave()
        if self._before is None:
            theirs = self._model.train_function  # of someone who goes on calling this one
            self._model.make_train_function(force=True)
            self._before = self._model.train_function
            if theirs is not None:
                self._model.train_function = theirs
        return self._before


def _is_end(error: BaseException) -> bool:
    """Whether it says that the data of an epoch have come to their end."""
    return type(error).__name__ == "OutOfRangeError"
