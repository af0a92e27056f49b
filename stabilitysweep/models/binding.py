"""From the flat table of inputs to what a user's model takes: arrays by shape, dtype and name.

Notation: B rows, D input columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from stabilitysweep.blueprint import Block
from stabilitysweep.data.listing import some
from stabilitysweep.models.lifting import all_layers

_SHOWN = 12


class _Input(NamedTuple):
    """One input of the model: its key, the columns it takes, the shape of a row, its dtype."""

    key: Any
    blocks: tuple[Block, ...]
    shape: tuple[int, ...]
    whole: bool


class Binding:
    """Gives a model its inputs out of the columns of the data.

    - A model with one input gets all columns: in the shape of the source's array where there
      is but one, and otherwise side by side.
    - A model with several inputs gets to each the columns of that name.
    - A model whose inputs are not known before it is called (a subclass of `keras.Model`)
      gets one array, or a dict of them where the data came as one.

    An input of whole numbers (`dtype="int32"`, or one that goes straight to an `Embedding`) is
    int32; all others come in Keras' floatx.

    Attributes:
        columns: D.
        whole: names of the blocks that are taken as whole numbers.
    """

    def __init__(self, blocks: Sequence[Block], named: bool, model: keras.Model) -> None:
        """Match blocks and inputs.

        Args:
            blocks: of the data, in the order of its columns.
            named: whether the data came by name, in a mapping.
            model: built or not.

        Raises:
            ValueError: an input has no columns, or columns no input.
        """
        self.columns = blocks[-1].stop
        taken = _embedded(model)
        tensors = _inputs(model)
        if tensors is None and named:
            self._nested: Any = {block.name: block.name for block in blocks}
            self._inputs = [
                _Input(block.name, (block,), block.shape, block.whole and bool(taken))
                for block in blocks
            ]
        elif tensors is None or not isinstance(tensors, list | tuple | dict):
            # Of a model without symbolic inputs any embedding counts: it may be one of positions.
            unseen = bool(taken) and all(block.whole for block in blocks)
            name, whole = (None, unseen) if tensors is None else _facts(tensors, taken)
            self._nested = name
            self._inputs = [_Input(name, tuple(blocks), _joint_shape(blocks), whole)]
        else:
            if isinstance(tensors, list | tuple):
                # By name, which Keras takes for a list: `tf.data` knows no lists.
                tensors = {tensor.name: tensor for tensor in tf.nest.flatten(tensors)}
            self._nested = tf.nest.map_structure(lambda tensor: tensor.name, tensors)
            self._inputs = list(_matched(tf.nest.flatten(tensors), blocks, taken))
        hidden = tensors is not None and _has_hidden_embedding(model)
        self.whole = tuple(
            block.name
            for item in self._inputs
            for block in item.blocks
            if item.whole or (hidden and block.whole)
        )

    def __call__(self, rows: Any) -> Any:
        """Return the model's inputs for rows [B, D], in a graph or not."""
        flat = {}
        for item in self._inputs:
            parts = [rows[:, block.start : block.stop] for block in item.blocks]
            value = parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)
            value = tf.reshape(value, [-1, *item.shape])
            flat[item.key] = tf.cast(value, tf.int32) if item.whole else value
        return tf.nest.map_structure(lambda key: flat[key], self._nested)


def _inputs(model: keras.Model) -> Any:
    """The symbolic inputs of a model in their structure; None where there are none yet."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0] if model.built and model.inputs else None
    structure = getattr(model, "_inputs_struct", None)
    if isinstance(structure, list | tuple) and len(structure) == 1:
        return structure[0]
    return structure


def _embedded(model: keras.Model) -> set[str]:
    """Names of the inputs that an Embedding takes; {"*"} where inputs have no names yet."""
    if isinstance(model, keras.Sequential) and not model.built:
        first = next(iter(model.layers), None)
        return {"*"} if isinstance(first, keras.layers.Embedding) else set()
    found: set[str] = set()
    embeddings = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.Embedding)]
    if _inputs(model) is None:
        return {"*"} if embeddings else set()
    for layer in embeddings:
        for node in layer._inbound_nodes:
            found |= {tensor.name for tensor in node.input_tensors}
    return found


def _has_hidden_embedding(model: keras.Model) -> bool:
    """Whether some embedding is called within another layer: by what, its wiring does not show.

    Whole numbers are then left as they are: scaled, token ids would be no ids any more.
    """
    return any(
        isinstance(layer, keras.layers.Embedding) and not layer._inbound_nodes
        for layer in all_layers(model)
    )


def _facts(tensor: Any, embedded: set[str]) -> tuple[str, bool]:
    whole = "int" in str(tensor.dtype) or tensor.name in embedded or "*" in embedded
    return tensor.name, whole


def _matched(
    tensors: Iterable[Any], blocks: Sequence[Block], embedded: set[str]
) -> Iterator[_Input]:
    by_name = {block.name: block for block in blocks}
    for tensor in tensors:
        name, whole = _facts(tensor, embedded)
        if name not in by_name:
            raise ValueError(
                f"its input '{name}' has no column or array of that name; the data have "
                f"{some([block.name for block in blocks], _SHOWN)}"
            )
        block = by_name.pop(name)
        shape = block.shape
        width = block.stop - block.start
        if "string" in str(tensor.dtype):
            raise ValueError(
                f"its input '{name}' takes text: expected one of numbers. Columns of text are "
                "encoded before: see preprocessing.encoding"
            )
        if len(tensor.shape) == 2 and tensor.shape[1] not in (None, width) and len(shape) < 2:
            raise ValueError(
                f"its input '{name}' takes {tensor.shape[1]} column(s), and the data have "
                f"{width} of that name. With preprocessing.encoding: ordinal a column of "
                "categories is one"
            )
        if not shape and len(tensor.shape) == 2:
            shape = (1,)
        yield _Input(name, (block,), shape, whole)
    if by_name:
        raise ValueError(
            f"no input of it takes {some(list(by_name), _SHOWN)}; name an input so, or leave the "
            "columns out with dataset.exclude"
        )


def _joint_shape(blocks: Sequence[Block]) -> tuple[int, ...]:
    if len(blocks) == 1 and math.prod(blocks[0].shape) == blocks[0].stop - blocks[0].start:
        return blocks[0].shape or (1,)
    return (blocks[-1].stop,)
