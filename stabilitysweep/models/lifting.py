"""The numbers of a model's regularizers, lifted out of its graph: an input for each.

Models that differ only in these numbers share a graph. Where Keras looks at a number before
it computes (`L1L2` leaves out a term of zero), zero and not zero remain two graphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

_NUMBERS: dict[type, tuple[str, ...]] = {
    keras.regularizers.L1: ("l1",),
    keras.regularizers.L2: ("l2",),
    keras.regularizers.L1L2: ("l1", "l2"),
    keras.regularizers.OrthogonalRegularizer: ("factor",),
}
"""What can be lifted, by the exact class: a subclass may do anything with its numbers."""

_PLACES = ("regularizer", "activity_regularizer")


@dataclass(frozen=True, slots=True)
class Lifted:
    """A number of a regularizer.

    Attributes:
        owner: the variable or layer that has the regularizer.
        place: the attribute of the owner that holds it.
        name: the attribute of the regularizer that is the number.
        value: in this model.
    """

    owner: Any
    place: str
    name: str
    value: float


def lifted_numbers(model: keras.Model) -> list[Lifted]:
    """Return the numbers of a built model that can be lifted, in a fixed order."""
    found: list[Lifted] = []
    for owner in (*model.variables, *all_layers(model)):
        for place in _PLACES:
            regularizer = getattr(owner, place, None)
            for name in _NUMBERS.get(type(regularizer), ()):
                value = float(getattr(regularizer, name))
                if value or not isinstance(regularizer, keras.regularizers.L1L2):
                    found.append(Lifted(owner, place, name, value))
    return found


def all_layers(layer: Any) -> list[Any]:
    """Return a model and every layer in it once, whatever holds them, in a fixed order."""
    seen: dict[int, Any] = {}

    def visit(own: Any) -> None:
        if id(own) not in seen:
            seen[id(own)] = own
            for child in getattr(own, "_layers", ()):
                visit(child)

    visit(layer)
    return list(seen.values())


class _Terms(keras.regularizers.Regularizer):
    """Keras' L1L2 with numbers that may be tensors, its terms as Keras adds them up."""

    def __init__(self, l1: Any, l2: Any) -> None:
        self._l1, self._l2 = l1, l2

    def __call__(self, x: Any) -> Any:
        total = keras.ops.convert_to_tensor(0.0, dtype=x.dtype)
        if self._l1 is not None:
            total += keras.ops.cast(self._l1, x.dtype) * keras.ops.sum(keras.ops.absolute(x))
        if self._l2 is not None:
            total += keras.ops.cast(self._l2, x.dtype) * keras.ops.sum(keras.ops.square(x))
        return total


@contextmanager
def numbers_replaced(lifted: Sequence[Lifted], values: Sequence[Any]) -> Iterator[None]:
    """Put scalars (tensors, in floatx) in the place of a model's numbers, inside."""
    kept: list[tuple[Any, str, Any]] = []
    replaced: dict[tuple[int, str], dict[str, Any]] = {}
    for number, value in zip(lifted, values, strict=True):
        key = (id(number.owner), number.place)
        if key not in replaced:
            replaced[key] = {}
            kept.append((number.owner, number.place, getattr(number.owner, number.place)))
        replaced[key][number.name] = value
    try:
        for owner, place, regularizer in kept:
            set_attribute(owner, place, _with(regularizer, replaced[id(owner), place]))
        yield
    finally:
        for owner, place, regularizer in kept:
            set_attribute(owner, place, regularizer)


def _with(regularizer: Any, values: dict[str, Any]) -> Any:
    if isinstance(regularizer, keras.regularizers.L1L2):
        return _Terms(values.get("l1"), values.get("l2"))
    copied = object.__new__(type(regularizer))
    vars(copied).update(vars(regularizer) | values)
    return copied


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """Set an attribute of a variable or a layer, past Keras' own bookkeeping of attributes."""
    if isinstance(owner, keras.layers.Layer):
        object.__setattr__(owner, name, value)
    else:
        setattr(owner, name, value)
