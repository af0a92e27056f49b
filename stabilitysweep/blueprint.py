"""What building a user's model once has told of it: all that the rest needs to know.

The models are built by their user's function, under Keras, in a process of their own. Only
what is plain comes back from there, so that nothing above imports TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Value = bool | int | float | str
"""A value of an `hp`."""


class Block(NamedTuple):
    """Neighbouring columns of the inputs that belong together: one array of the source.

    Attributes:
        name: of the source's column, or of its array; `x` where it has no name.
        start: the first of the columns, from 0.
        stop: behind the last.
        shape: of one row: () for a single column, (8, 8, 1) for a small image.
        whole: whether the source has whole numbers, truth values or codes of categories.
    """

    name: str
    start: int
    stop: int
    shape: tuple[int, ...]
    whole: bool = False


class TargetFacts(NamedTuple):
    """What a model's output has to fit, known before a loss has given the target its form.

    Attributes:
        shapes: of one row of each target that the source gives with a shape of its own, by
            the name of the output, or by "" where there is one; empty for a plain column.
        classes: number of different values of a plain column; 0 where they are numbers with
            fractions.
        text: whether a plain column is text.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    classes: int = 0
    text: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A model to be built, by what decides on it; its seed decides on its weights alone.

    Attributes:
        build: `module:function`, or the name of a `keras_tuner.HyperModel` in a module.
        values: what `hp` is asked for, by name: the `hp` values of the config, and the
            training settings that the config gives.
        given: names of the training settings among these.
        training: the training settings as plain values, for a model that is not compiled.
        precision: the dtype policy.
        blocks: of the inputs.
        named: whether the source gives its inputs by name, in a mapping.
        target: what the output has to fit.
    """

    build: str
    values: tuple[tuple[str, Value], ...]
    given: tuple[str, ...]
    training: tuple[tuple[str, Any], ...]
    precision: str
    blocks: tuple[Block, ...]
    named: bool
    target: TargetFacts


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model of a user's, as it is built for one cell of the grid.

    Attributes:
        build: as in the request, and so are `precision`, `blocks`, `named` and `facts`, what
            the output has to fit.
        folders: where its module is looked for, beside the installed ones.
        values: the `hp` values that the model was built with, those that were asked for.
        defaults: the `hp` values that no config gave, which took their default.
        program: digest of all that shapes the training graph; trials with equal digests
            differ in numbers that are fed to it.
        weights: digest of all that shapes the initial weights; with the seed it names them.
        numbers: the coefficients of the regularizers, lifted out of the graph, in the order
            in which the model has them.
        training: training settings that the compiled model decides on, resolved: those of
            the optimizer by the names of the config. Empty if the model is not compiled.
        compiled: whether the model brings its own loss and optimizer.
        optimizer: the class of the optimizer of a compiled model.
        update: how its weights are updated: `sgd`, `adam` or `rmsprop` in the form that
            the config knows too, or `keras` for any other.
        scheduled: whether its learning rate follows a schedule of the model's own.
        loss: the loss in words.
        target: the form of the target, see `data.targets`.
        metrics: names of the model's own metrics.
        whole: names of the blocks that the model takes as whole numbers, never scaled.
        parameters: number of weights.
        units: floats that the layers put out for a row, all together.
        layers: names of the innermost layers.
        error: why the model cannot be trained; all else is empty then.
        alone: why the model cannot be trained in a stack, but one by one; empty if it can.
    """

    build: str
    folders: tuple[str, ...] = ()
    precision: str = ""
    blocks: tuple[Block, ...] = ()
    named: bool = False
    facts: TargetFacts = field(default_factory=TargetFacts)
    values: tuple[tuple[str, Value], ...] = ()
    defaults: tuple[tuple[str, Value], ...] = ()
    program: str = ""
    weights: str = ""
    numbers: tuple[float, ...] = ()
    training: tuple[tuple[str, Any], ...] = ()
    compiled: bool = False
    optimizer: str = ""
    update: str = ""
    scheduled: bool = False
    loss: str = ""
    target: str = ""
    metrics: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    parameters: int = 0
    units: int = 0
    layers: tuple[str, ...] = ()
    error: str = ""
    alone: str = ""

    def request(self) -> Request:
        """Return the request for this very model."""
        return Request(
            build=self.build,
            values=self.values,
            given=(),
            training=(("loss", self.target),),
            precision=self.precision,
            blocks=self.blocks,
            named=self.named,
            target=self.facts,
        )
