"""Listening in on a model's training step while it is traced, or run eagerly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

Apply = Callable[[Any, Sequence[tuple[Any, Any]]], None]
"""Called before an optimizer applies pairs of a gradient and its variable."""


class Patch:
    """An attribute of one object, replaced until `undo`; as if it had never been."""

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        """Replace it, whether the object has its own or that of its class."""
        self._owner, self._name = owner, name
        self._own = name in vars(owner)
        self._before = vars(owner).get(name)
        object.__setattr__(owner, name, value)

    def undo(self) -> None:
        """Put back what was there."""
        if self._own:
            object.__setattr__(self._owner, self._name, self._before)
        else:
            object.__delattr__(self._owner, self._name)


class Heard:
    """What one call of a training step told.

    Attributes:
        loss: the last loss it computed, a scalar; None if it told none.
        graph: in which it is traced; None if it is run eagerly.
        before_apply: called whenever an optimizer is about to update.
    """

    def __init__(self, before_apply: Callable[[Heard, Any, list[tuple[Any, Any]]], None]) -> None:
        """Hear nothing yet."""
        self.loss: tf.Tensor | None = None
        self.graph = current_graph()
        self.before_apply = before_apply

    def hear_loss(self, loss: Any) -> None:
        """Keep a loss, unless it is in a branch or a loop and cannot be used outside of it."""
        if self.reachable() and loss is not None:
            self.loss = tf.reduce_sum(tf.convert_to_tensor(loss))

    def reachable(self) -> bool:
        """Whether what is computed now can be used in the whole step."""
        return current_graph() is self.graph


def current_graph() -> Any:
    """Return the graph that is being traced; None outside of one."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def draws(graph: Any) -> bool:
    """Whether a graph, or a function that it calls, has random operations that count their draws.

    `tf.random.normal` is one: its numbers follow from its seed and from how often that graph has
    run. Keras' layers draw from seeds that are variables.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    return any("seed2" in node.attr for node in nodes)


def optimizers_of(model: keras.Model) -> list[Any]:
    """Return the optimizers a model trains with, its own first; a GAN has several."""
    own = [model.optimizer] if getattr(model, "optimizer", None) is not None else []
    others = [v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)]
    return list({id(one): one for one in (*own, *others)}.values())


class Ear:
    """Hears the losses and gradients of one model's training steps.

    Replicas of a distributed step are traced in threads that take turns: what they hear is
    kept apart, and the model is given back when the last of them is through.
    """

    def __init__(self, model: keras.Model) -> None:
        """Keep the model; nothing is replaced yet."""
        self._model = model
        self._own = threading.local()
        self._lock = threading.Lock()
        self._patches: list[Patch] = []
        self._listeners = 0

    @contextmanager
    def listening(self, before_apply: Callable[..., None]) -> Iterator[Heard]:
        """Hear what a training step called inside tells."""
        heard = Heard(before_apply)
        outer, self._own.heard = getattr(self._own, "heard", None), heard
        self._open()
        try:
            yield heard
        finally:
            self._own.heard = outer
            self._close()

    def _open(self) -> None:
        with self._lock:
            self._listeners += 1
            if self._listeners > 1:
                return
            model = self._model
            self._patches = [Patch(model, "compute_loss", self._on_loss(model.compute_loss))]
            for optimizer in optimizers_of(model):
                apply = self._on_apply(optimizer, optimizer.apply)
                self._patches.append(Patch(optimizer, "apply", apply))

    def _close(self) -> None:
        with self._lock:
            self._listeners -= 1
            if not self._listeners:
                for patch in reversed(self._patches):
                    patch.undo()
                self._patches = []

    def _on_loss(self, compute_loss: Callable[..., Any]) -> Callable[..., Any]:
        def compute(*args: Any, **kwargs: Any) -> Any:
            loss = compute_loss(*args, **kwargs)
            heard = getattr(self._own, "heard", None)
            if heard is not None:
                heard.hear_loss(loss)
            return loss

        return compute

    def _on_apply(self, optimizer: Any, apply: Callable[..., Any]) -> Callable[..., Any]:
        def listen(grads: Any, trainable_variables: Any = None) -> Any:
            gradients = list(grads)
            variables = None if trainable_variables is None else list(trainable_variables)
            heard = getattr(self._own, "heard", None)
            if heard is not None and heard.reachable():
                owners = optimizer._trainable_variables if variables is None else variables
                heard.before_apply(heard, optimizer, list(zip(gradients, owners, strict=False)))
            return apply(gradients, variables)

        return listen
