"""The combinations of a grid that are cells of it, as the config alone tells them apart.

Notation: C cells. A combination is a number: that of its values' places, the last axis changing
fastest. A million of them are an array, and no objects.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import DATASET, DatasetSettings, SweepConfig
from stabilitysweep.config.rules import NEEDS, UNUSED
from stabilitysweep.config.selection import Selection, cell_key
from stabilitysweep.errors import ConfigError
from stabilitysweep.grid.identity import decided

# The settings by which two different combinations can come to mean the same.
_RESOLVING = (
    DATASET, "batch_size", "optimizer", "weight_decay", "loss", "target_scaling",
    "imputation", "fill_value", "neighbors",
)  # fmt: skip
_MOST_STEPS = 2**31 - 1  # steps are counted in int32

Whole = NDArray[np.int64]


class Resolution(NamedTuple):
    """What the settings that resolve come to, and the steps that follow from them.

    The `target_scaling` of a user's build is as in the config: its model may bring a loss of
    its own.
    """

    dataset: int
    batch_size: Any
    steps: int | None
    optimizer: str
    loss: str
    weight_decay: float | None
    target_scaling: str | None
    imputation: str
    fill_value: float
    neighbors: int


class Combinations:
    """The combinations of a config's grid, or those that its `cells` select, each meaning once.

    Attributes:
        values: of each axis, in the order of the grid; a data set, which is no key of a dict,
            by its place.
        resolving: the axes among these by which two combinations can mean the same.
    """

    def __init__(
        self, config: SweepConfig, rows: Callable[[DatasetSettings], int] | None = None
    ) -> None:
        """Lay out the combinations; see `Grid`.

        Raises:
            ConfigError: epochs that come to no more steps than the warm-up has, or to more
                than 2**31 - 1.
        """
        self._config = config
        self._rows = None if rows is None else [rows(dataset) for dataset in config.datasets]
        self.values: dict[str, tuple[Any, ...]] = {
            name: tuple(range(len(values))) if name == DATASET else values
            for name, values in config.grid.items()
        }
        self.resolving = [name for name in self.values if name in _RESOLVING]
        self._strides = dict(
            zip(
                self.values,
                np.cumprod([1, *map(len, reversed(self.values.values()))])[-2::-1].tolist(),
                strict=True,
            )
        )
        self._resolved: dict[tuple[Any, ...], Resolution] = {}
        if config.cells is None:
            _ = self._codes_resolved  # what only the data rule out is refused at once

    @cached_property
    def chosen(self) -> int:
        """Number of combinations, those that mean the same counted each."""
        if self._selected is not None:
            return len(self._selected)
        return math.prod(map(len, self.values.values()))

    def __len__(self) -> int:
        """C, the number of different ones."""
        if self._selected is not None:
            return len(self._numbers)
        return self.chosen // self._ways * len(set(self._codes_resolved.values()))

    def __getitem__(self, cell: int) -> tuple[dict[str, Any], Resolution]:
        """The values of a cell by axis, and what they come to."""
        number = int(self._numbers[cell])
        chosen = {
            name: own[number // self._strides[name] % len(own)] for name, own in self.values.items()
        }
        return chosen, self._resolution(tuple(chosen[name] for name in self.resolving))

    def __iter__(self) -> Iterator[tuple[dict[str, Any], Resolution]]:
        """Every cell, as by `[]`."""
        return map(self.__getitem__, range(len(self)))

    def places(self, name: str, cells: Whole | slice = slice(None)) -> Whole:
        """Return the place of each cell's value on an axis.

        Args:
            name: the axis.
            cells: which cells; all C of them by default.

        Returns:
            int64, one for each of these.
        """
        return self._place(name, self._numbers[cells])

    def axis_values(self, name: str) -> tuple[Any, ...]:
        """Return the values that cells have on an axis, each once; data sets by their label."""
        if name == DATASET and self._selected is None:
            return tuple(dataset.label for dataset in self._config.datasets)
        if name == DATASET:
            met = (self._config.datasets[own.dataset].label for own in self._met_resolutions())
            return tuple(dict.fromkeys(met))
        if name in self.resolving:
            return tuple(dict.fromkeys(getattr(own, name) for own in self._met_resolutions()))
        if self._selected is None:
            return self.values[name]
        return tuple(self.values[name][place] for place in np.unique(self.places(name)).tolist())

    def _met_resolutions(self) -> list[Resolution]:
        """What cells come to, in the order in which they do."""
        codes = self._codes_resolved
        if self._selected is None:
            return list(dict.fromkeys(codes.values()))
        own, first = np.unique(self._codes(self._numbers), return_index=True)
        return [codes[code] for code in own[np.argsort(first)].tolist()]

    @cached_property
    def _selected(self) -> Whole | None:
        """The numbers that `cells` selects, in their order; None for all."""
        cells = self._config.cells
        if cells is None:
            return None
        places = {
            name: {cell_key(value): place for place, value in enumerate(self._config.grid[name])}
            for name in self.values
        }

        def numbers(cell: Selection) -> Whole:
            found = np.zeros(1, np.int64)
            for name, own in places.items():
                at = [own[cell_key(value)] for value in cell.get(name, self._config.grid[name])]
                found = np.add.outer(found, np.array(at, np.int64) * self._strides[name]).ravel()
            return found

        return np.unique(np.concatenate([numbers(cell) for cell in cells]))

    @cached_property
    def _codes_resolved(self) -> dict[int, Resolution]:
        """What the resolving axes come to, by the code of their places, where a cell has them."""
        ways = enumerate(itertools.product(*(self.values[name] for name in self.resolving)))
        if self._selected is None:
            return {code: self._resolution(values) for code, values in ways}
        wanted = set(np.unique(self._codes(self._selected)).tolist())
        return {code: self._resolution(values) for code, values in ways if code in wanted}

    @cached_property
    def _numbers(self) -> Whole:
        """int64 [C]: the cells; of those that mean the same, the first."""
        numbers = np.arange(self.chosen) if self._selected is None else self._selected
        codes = self._codes_resolved
        meanings: dict[Resolution, int] = {}
        for own in codes.values():
            meanings.setdefault(own, len(meanings))
        if len(meanings) == len(codes):
            return numbers
        meaning = np.zeros(self._ways, np.int64)
        for code, own in codes.items():
            meaning[code] = meanings[own]
        key = meaning[self._codes(numbers)]
        for name, own_values in self.values.items():
            if name not in self.resolving:
                key *= len(own_values)
                key += self._place(name, numbers)
        _, first = np.unique(key, return_index=True)
        return numbers[np.sort(first)]

    @property
    def _ways(self) -> int:
        """Number of combinations of the resolving axes."""
        return math.prod(len(self.values[name]) for name in self.resolving)

    def _place(self, name: str, numbers: Whole) -> Whole:
        """The place of the value that combinations have on an axis."""
        places: Whole = numbers // self._strides[name] % len(self.values[name])
        return places

    def _codes(self, numbers: Whole) -> Whole:
        """The number that a combination has among those of the resolving axes."""
        codes = np.zeros(len(numbers), np.int64)
        for name in self.resolving:
            codes *= len(self.values[name])
            codes += self._place(name, numbers)
        return codes

    def _resolution(self, values: tuple[Any, ...]) -> Resolution:
        """What values of the resolving axes come to."""
        if values not in self._resolved:
            chosen = dict(zip(self.resolving, values, strict=True))
            self._resolved[values] = self._resolve(chosen)
        return self._resolved[values]

    def _resolve(self, chosen: Mapping[str, Any]) -> Resolution:
        def value(setting: str) -> Any:
            return chosen[setting] if setting in chosen else self._config.values(setting)[0]

        def with_effect(setting: str) -> Any:
            by, needed = NEEDS[setting]
            return value(setting) if value(by) == needed else UNUSED[setting]

        place = chosen.get(DATASET, 0)
        batch_size, steps = value("batch_size"), value("steps")
        if self._rows is not None:
            rows = self._rows[place]
            batch_size = rows if batch_size == "full" else min(batch_size, rows)
            if steps is None:
                steps = value("epochs") * math.ceil(rows / batch_size)
                self._check_steps(steps, place)
        scaling = value("target_scaling")
        if self._config.model.build is None:
            scaling = decided("target_scaling", scaling, value("loss"))
        return Resolution(
            dataset=place,
            batch_size=batch_size,
            steps=steps,
            optimizer=value("optimizer"),
            loss=value("loss"),
            weight_decay=decided("weight_decay", value("weight_decay"), value("optimizer")),
            target_scaling=scaling,
            imputation=value("imputation"),
            fill_value=with_effect("fill_value"),
            neighbors=with_effect("neighbors"),
        )

    def _check_steps(self, steps: int, place: int) -> None:
        label, epochs = self._config.datasets[place].label, self._config.training.epochs
        warmup = max(self._config.values("warmup_steps"))
        if warmup >= steps:
            raise ConfigError(
                f"training.warmup_steps: expected fewer than the {steps} steps that {epochs} "
                f"epochs of {label!r} come to, got {warmup}"
            )
        if steps > _MOST_STEPS:
            raise ConfigError(
                f"training.epochs: expected at most {_MOST_STEPS:,} steps, got {epochs} epochs "
                f"of {label!r}, which come to {steps:,}"
            )
