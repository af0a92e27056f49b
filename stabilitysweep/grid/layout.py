"""From axes to trials: every combination once, in a stable order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import DatasetSettings, SweepConfig
from stabilitysweep.grid.cells import Cell, Cells
from stabilitysweep.grid.combinations import Combinations
from stabilitysweep.grid.identity import digest, text_around_seed
from stabilitysweep.grid.texts import cell_texts
from stabilitysweep.grid.trial import Trial


class Grid(Sequence[Trial]):
    """Every trial of a sweep, made when it is asked for, and not kept.

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
        self._combinations = Combinations(config, rows)
        self._maker = Cells(config)
        self._blueprints = None if config.model.build is None else blueprints
        # What the combinations met so far came to, in their order; None for one that is merged.
        self._met: list[Blueprint | None] = []
        self._meanings: dict[bytes, dict[str, Any]] = {}
        self._alike: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._ids: set[str] = set()

    @cached_property
    def cells(self) -> int:
        """Number of cells."""
        return len(self._combinations) if self._blueprints is None else len(self._own)

    @property
    def merged(self) -> int:
        """Number of trials left out since another means the same.

        `len(grid) + merged` is the product of the axes' lengths and the seeds, or of the number
        of combinations that `cells` selects and the seeds.
        """
        return (self._combinations.chosen - self.cells) * len(self._config.seeds)

    @cached_property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values that trials have on each axis, without repetitions.

        They are in the order of the config; data sets by their label.
        """
        names = self._combinations.values
        if self._blueprints is None:
            return {name: self._combinations.axis_values(name) for name in names}
        met: dict[str, dict[Any, None]] = {name: {} for name in names}
        for cell in self._cells():
            for name, value in cell.axes.items():
                met[name].setdefault(value)
        return {
            # Merging may let a later value of an axis be met first.
            name: tuple(values)
            if name in self._combinations.resolving
            else tuple(value for value in names[name] if value in values)
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

    def ids(self) -> Iterator[str]:
        """The ids of the trials, in their order."""
        if self._config.model.build is None:
            texts = cell_texts(self._combinations, self._maker)
        else:
            texts = (text_around_seed(*cell.texts) for cell in self._cells())
        for text in texts:
            for seed in self._config.seeds:
                yield digest(text, seed)

    @overload
    def __getitem__(self, number: int) -> Trial: ...

    @overload
    def __getitem__(self, number: slice) -> tuple[Trial, ...]: ...

    def __getitem__(self, number: int | slice) -> Trial | tuple[Trial, ...]:
        """A trial by its place in this order, from 0."""
        if isinstance(number, slice):
            return self.trials(range(len(self))[number])
        return self.trials([range(len(self))[number]])[0]

    def trials(self, numbers: Iterable[int]) -> tuple[Trial, ...]:
        """Return several trials by their places; of neighbours the cell is made once."""
        found: list[Trial] = []
        seeds, last = self._config.seeds, -1
        for number in numbers:
            place, seed = divmod(int(number), len(seeds))
            if place != last:
                cell, last = self._cell(place), place
                text = text_around_seed(*cell.texts)
            found.append(cell.trial(text, seeds[seed]))
        return tuple(found)

    def kinds(self, classes: Mapping[str, Callable[[Any], Hashable]]) -> NDArray[np.int64]:
        """Sort the cells by what tells them apart, without making them.

        Args:
            classes: for settings whose values do not all have to be told apart, what is.

        Returns:
            int64 [cells]: equal for two cells whose axes are equal in that sense. Of a grid
            with blueprints no two are equal, since only its models tell what they are.
        """
        if self._blueprints is not None:
            return np.arange(self.cells)
        kinds = np.zeros(self.cells, np.int64)
        for name, values in self._combinations.values.items():
            known: dict[Hashable, int] = {}
            told = classes.get(name, lambda value: (type(value), value))
            of_value = np.array([known.setdefault(told(value), len(known)) for value in values])
            if len(known) > 1:
                kinds *= len(known)
                kinds += of_value[self._combinations.places(name)]
        return kinds

    def numbers(self, setting: str) -> NDArray[np.float64]:
        """Return a setting of training that is a number, for every cell: float64 [cells].

        Without making the cells, but where only their models tell it.
        """
        if self._blueprints is not None:
            return np.array([getattr(cell.training, setting) for cell in self._cells()], float)
        values = np.array(self._config.values(setting), float)
        if setting not in self._combinations.values:
            return np.broadcast_to(values, self.cells)
        return values[self._combinations.places(setting)]

    @cached_property
    def _own(self) -> NDArray[np.int64]:
        """Of a grid with blueprints, all built: which of the laid out cells are its cells."""
        for _ in self._cells():
            pass
        return np.flatnonzero([blueprint is not None for blueprint in self._met])

    def _cell(self, place: int) -> Cell:
        if self._blueprints is None:
            return self._maker.cell(*self._combinations[place])
        laid_out = int(self._own[place])
        blueprint = self._met[laid_out]
        assert blueprint is not None
        return self._maker.drawn(self._maker.cell(*self._combinations[laid_out]), blueprint)

    def _cells(self) -> Iterator[Cell]:
        cells = self._maker
        for place, (chosen, resolution) in enumerate(self._combinations):
            cell = cells.cell(chosen, resolution)
            if self._blueprints is None:
                yield cell
                continue
            if place == len(self._met):
                self._met.append(self._built(cell, cells, self._blueprints))
            blueprint = self._met[place]
            if blueprint is not None:
                yield cells.drawn(cell, blueprint)

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
