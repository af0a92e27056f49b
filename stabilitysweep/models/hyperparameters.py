"""The `hp` that a user's `build(hp)` is given: values of the config, and a note of what it asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds

from stabilitysweep.blueprint import Value


class GivenHyperParameters(keras_tuner.HyperParameters):
    """KerasTuner's hyperparameters, with values from outside and a note of what was asked.

    A value may lie outside of what the function declares (a map goes beyond what a search
    would try), but it has the declared kind: `Int` takes whole numbers, `Boolean` truth values.

    Attributes:
        asked: the active hyperparameters that were asked for, and the values they had.
    """

    def __init__(self, given: Mapping[str, Value]) -> None:
        """Take the values; those not among them are the function's own defaults."""
        super().__init__()
        self._given = dict(given)
        self.asked: dict[str, Value] = {}

    @property
    def defaults(self) -> dict[str, Value]:
        """What was asked for and not given."""
        return {name: value for name, value in self.asked.items() if name not in self._given}

    def get(self, name: str) -> Any:
        """Return a value that was declared before, or one that was given."""
        full = self._get_name(name)
        if full not in self.values and full in self._given and full not in self._hps:
            self.asked[full] = self.values[full] = self._given[full]
        value = super().get(name)
        self.asked[full] = value
        return value

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        if name in self._given and name not in self.values:
            self.values[name] = _of_kind(hyperparameter, self._given[name])
        value = super()._register(hyperparameter, overwrite)
        if self.is_active(hyperparameter):
            self.asked[name] = value
        elif name not in self.asked:
            # Only active values may be there: conditions and `in` go by them.
            self.values.pop(name, None)
        return value


def _of_kind(hyperparameter: Any, value: Value) -> Value:
    """Return a value as its declaration takes it.

    Raises:
        ValueError: it has another kind.
    """
    name = hyperparameter.name
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match hyperparameter:
        case kinds.Int():
            if number and math.isfinite(float(value)) and value == int(value):
                return int(value)
            expected = "a whole number"
        case kinds.Float():
            if number:
                return float(value)
            expected = "a number"
        case kinds.Boolean():
            if isinstance(value, bool):
                return value
            expected = "true or false"
        case kinds.Choice():
            # 32 and 32.0 are one; the choices say which of the two is meant.
            same = [c for c in hyperparameter.values if c == value and type(c) is not bool]
            return same[0] if same and not isinstance(value, bool) else value
        case _:
            return value
    raise ValueError(f"hp {name!r}: expected {expected}, got {value!r}")
