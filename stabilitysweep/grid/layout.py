"""From axes to trials: every combination once, in a stable order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import DATASET, DatasetSettings, SweepConfig
from stabilitysweep.config.rules import NEEDS, UNUSED
from stabilitysweep.config.selection import Selection, cell_key
from stabilitysweep.errors import ConfigError
from stabilitysweep.grid.cells import Cell, Cells, Resolution
from stabilitysweep.grid.identity import decided, digest, text_around_seed
from stabilitysweep.grid.trial import Trial

# The settings by which two different combinations can come to mean the same.
_RESOLVING = (
    DATASET, "batch_size", "optimizer", "weight_decay", "loss", "target_scaling",
    "imputation", "fill_value", "neighbors",
)  # fmt: skip
_MOST_STEPS = 2**31 - 1  # steps are counted in int32


class Grid:
    """Every trial of a sweep, made while iterating.

    They are those of every combination of the axes' values, or of the `cells` that the config
    limits itself to. The last axis changes fastest, and within a cell the seed. Combinations
    that mean the same once resolved (batch sizes of 512 and `full` on 353 rows) are one cell,
    met where the first of them stands.

    A grid of a user's build becomes one of models with `blueprints`: each combination is
    built once, when it is met, and combinations whose models train the same (they differ in
    an `hp` that the build does not ask for there) are one cell as well. Its number of cells
    is known when all are built, and to ask for it builds them.
    """

    def __init__(
        self,
        config: SweepConfig,
        rows: Callable[[DatasetSettings], int] | None = None,
        blueprints: Callable[[Trial], Blueprint] | None = None,
    ) -> None:
        """Lay out the grid of a config.

        Args:
            config: a checked config.
            rows: gives the number of training rows, at least 1, of a data set; asked once
                for each. None: batch sizes and epochs stay as the config has them, and a
                trial that depends on the rows does not have the id of a run.
            blueprints: gives what building a user's model tells, for a trial that has the
                `hp` of the config; asked once for each cell, of the trial with seed 0. None:
                the trials have no blueprints, and `hp` of the config: these are the trials
                that it is asked for. Without a build it is not asked.

        Raises:
            ConfigError: epochs that come to no more steps than the warm-up has, or to more
                than 2**31 - 1.
        """
        self._config = config
        self._rows = None if rows is None else [rows(dataset) for dataset in config.datasets]
        self._values: dict[str, tuple[Any, ...]] = {
            # A data set is no key of a dict: its place stands for it.
            name: tuple(range(len(values))) if name == DATASET else values
            for name, values in config.grid.items()
        }
        self._resolving = [name for name in self._values if name in _RESOLVING]
        self._resolved: dict[tuple[Any, ...], Resolution] = {}
        self._kept = self._find_kept() if config.cells is None else {}
        self._blueprints = None if config.model.build is None else blueprints
        # What the combinations met so far came to, in their order; None for one that is merged.
        self._met: list[Blueprint | None] = []
        self._meanings: dict[bytes, dict[str, Any]] = {}
        self._alike: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._ids: set[str] = set()

    @cached_property
    def cells(self) -> int:
        """Number of cells."""
        if self._blueprints is not None:
            return sum(1 for _ in self._cells())
        if self._selected is not None:
            return len(self._selected)
        alike = math.prod(len(self._values[name]) for name in self._resolving)
        return self._combinations // alike * len(self._kept)

    @property
    def merged(self) -> int:
        """Number of trials left out since another means the same.

        `len(grid) + merged` is the product of the axes' lengths and the seeds, or of the number
        of combinations that `cells` selects and the seeds.
        """
        return (self._combinations - self.cells) * len(self._config.seeds)

    @cached_property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values that trials have on each axis, without repetitions.

        They are in the order of the config; data sets by their label.
        """
        if self._blueprints is None and self._selected is None:
            return {name: self._axis_values(name) for name in self._values}
        met: dict[str, dict[Any, None]] = {name: {} for name in self._values}
        for cell in self._cells():
            for name, value in cell.axes.items():
                met[name].setdefault(value)
        return {
            # Merging may let a later value of an axis be met first.
            name: tuple(values)
            if name in self._resolving
            else tuple(value for value in self._values[name] if value in values)
            for name, values in met.items()
        }

    @property
    def alike(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The combinations merged since their models train the same, each with its cell's axes.

        Of a grid with blueprints, once all of it is built; those that already come to the same
        by the config are not among them.
        """
        return list(self._alike) if self.cells else []

    def __len__(self) -> int:
        """Number of trials, each counted once."""
        return self.cells * len(self._config.seeds)

    def __iter__(self) -> Iterator[Trial]:
        """The trials, in the same order every time."""
        for cell in self._cells():
            text = text_around_seed(*cell.texts)
            for seed in self._config.seeds:
                yield cell.trial(text, seed)

    @property
    def _combinations(self) -> int:
        if self._places is not None:
            return len(self._places)
        return math.prod(map(len, self._values.values()))

    @cached_property
    def _places(self) -> list[tuple[int, ...]] | None:
        """The combinations that `cells` selects, each value by its place; None for all."""
        cells = self._config.cells
        if cells is None:
            return None
        places = {
            name: {cell_key(value): place for place, value in enumerate(self._config.grid[name])}
            for name in self._values
        }

        def of(cell: Selection, name: str) -> Iterable[int]:
            if name not in cell:
                return range(len(places[name]))
            return [places[name][cell_key(value)] for value in cell[name]]

        chosen = (itertools.product(*(of(cell, name) for name in self._values)) for cell in cells)
        return sorted(set(itertools.chain.from_iterable(chosen)))

    @cached_property
    def _selected(self) -> list[tuple[tuple[Any, ...], Resolution]] | None:
        """The combinations that `cells` selects and what they come to; of equals the first."""
        if self._places is None:
            return None
        first: dict[tuple[Any, ...], tuple[tuple[Any, ...], Resolution]] = {}
        columns = list(self._values.values())
        resolving = [list(self._values).index(name) for name in self._resolving]
        for places in self._places:
            values = tuple(column[place] for column, place in zip(columns, places, strict=True))
            resolution = self._resolution(tuple(values[place] for place in resolving))
            others = (at for column, at in enumerate(places) if column not in resolving)
            first.setdefault((resolution, *others), (values, resolution))
        return list(first.values())

    def _cells(self) -> Iterator[Cell]:
        cells = Cells(self._config)
        if self._blueprints is None:
            yield from self._laid_out(cells)
            return
        for place, cell in enumerate(self._laid_out(cells)):
            if place == len(self._met):
                self._met.append(self._built(cell, cells, self._blueprints))
            blueprint = self._met[place]
            if blueprint is not None:
                yield cells.drawn(cell, blueprint)

    def _laid_out(self, cells: Cells) -> Iterator[Cell]:
        """The cells as the config alone tells them apart."""
        names = list(self._values)
        if self._selected is not None:
            for values, resolution in self._selected:
                yield cells.cell(dict(zip(names, values, strict=True)), resolution)
            return
        places = [names.index(name) for name in self._resolving]
        for combination in itertools.product(*self._values.values()):
            kept = self._kept.get(tuple(combination[place] for place in places))
            if kept is not None:
                yield cells.cell(dict(zip(names, combination, strict=True)), kept)

    def _built(
        self, cell: Cell, cells: Cells, blueprints: Callable[[Trial], Blueprint]
    ) -> Blueprint | None:
        """The blueprint of a cell; None if one met before trains the same."""
        blueprint = blueprints(cell.trial(text_around_seed(*cell.texts), 0))
        if blueprint.error:
            return blueprint
        drawn = cells.drawn(cell, blueprint)
        meaning = drawn.meaning()
        if meaning in self._meanings:
            self._alike.append((drawn.axes, self._meanings[meaning]))
            return None
        identity = digest(text_around_seed(*drawn.texts), 0)
        if identity in self._ids:
            # Two trials of one id: the second would take the result of the first for its own.
            return Blueprint(
                build=blueprint.build,
                error="expected the same model of the same hp values, got another one each "
                "time; let the build ask hp for all that it depends on",
            )
        self._meanings[meaning] = drawn.axes
        self._ids.add(identity)
        return blueprint

    def _find_kept(self) -> dict[tuple[Any, ...], Resolution]:
        """What the resolving axes come to, by their values; of equals only the first."""
        first: dict[Resolution, tuple[Any, ...]] = {}
        for values in itertools.product(*(self._values[name] for name in self._resolving)):
            first.setdefault(self._resolution(values), values)
        return {values: resolution for resolution, values in first.items()}

    def _resolution(self, values: tuple[Any, ...]) -> Resolution:
        """What values of the resolving axes come to."""
        if values not in self._resolved:
            chosen = dict(zip(self._resolving, values, strict=True))
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

    def _axis_values(self, name: str) -> tuple[Any, ...]:
        if name == DATASET:
            return tuple(dataset.label for dataset in self._config.datasets)
        if name in self._resolving:
            return tuple(dict.fromkeys(getattr(kept, name) for kept in self._kept.values()))
        return self._values[name]
