"""From axes to trials: every combination once, in a stable order, with an id of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from stabilitysweep.config import (
    AXIS_SETTINGS,
    DATASET,
    SECTIONS,
    DatasetSettings,
    ModelSettings,
    PreprocessingSettings,
    Settings,
    SweepConfig,
    TrainingSettings,
    default_target_scaling,
    default_weight_decay,
)
from stabilitysweep.config.rules import NEEDS, UNUSED
from stabilitysweep.errors import ConfigError

DECIDED_BY: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "weight_decay": ("optimizer", default_weight_decay),
    "target_scaling": ("loss", default_target_scaling),
}
"""Settings whose null means a value that another setting decides on."""

# The settings by which two different combinations can come to mean the same.
_RESOLVING = (
    DATASET, "batch_size", "optimizer", "weight_decay", "loss", "target_scaling",
    "imputation", "fill_value", "neighbors",
)  # fmt: skip
_MOST_STEPS = 2**31 - 1  # steps are counted in int32


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination of axis values with one seed, everything resolved.

    Settings objects are shared between the trials of a grid: they are frozen.

    Attributes:
        trial_id: 16 hexadecimal digits, see `trial_id`.
        axes: the value of each axis, in the grid's order, as resolved: a batch size is a
            number, a data set its label.
        seed: of initial weights, batch order and dropout; at least 0.
        dataset: the data set.
        preprocessing: with a `target_scaling` that is not None; a `fill_value` or number of
            `neighbors` that has no effect is the default.
        model: the network.
        training: with `steps` and without `epochs`; `batch_size` at most the number of
            training rows; `weight_decay` None only if there is none.
    """

    trial_id: str
    axes: dict[str, Any]
    seed: int
    dataset: DatasetSettings
    preprocessing: PreprocessingSettings
    model: ModelSettings
    training: TrainingSettings


class Grid:
    """Every trial of a sweep, made while iterating.

    The last axis changes fastest, and within a cell the seed. Combinations that mean the
    same once resolved (batch sizes of 512 and `full` on 353 rows) are one cell, met where
    the first of them stands.

    Attributes:
        axes: the values that trials have on each axis, without repetitions, in the order
            of the config; data sets by their label.
        cells: number of cells.
        merged: number of trials left out since another means the same:
            `len(grid) + merged` is the product of the axes' lengths and the seeds.
    """

    def __init__(
        self, config: SweepConfig, rows: Callable[[DatasetSettings], int] | None = None
    ) -> None:
        """Lay out the grid of a config.

        Args:
            config: a checked config.
            rows: gives the number of training rows, at least 1, of a data set; asked once
                for each. None: batch sizes and epochs stay as the config has them, and a
                trial that depends on the rows does not have the id of a run.

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
        self._kept = self._find_kept()
        combinations = math.prod(map(len, self._values.values()))
        alike = math.prod(len(self._values[name]) for name in self._resolving)
        self.cells: int = combinations // alike * len(self._kept)
        self.merged: int = (combinations - self.cells) * config.seeds
        self.axes: dict[str, tuple[Any, ...]] = {
            name: self._axis_values(name) for name in self._values
        }

    def __len__(self) -> int:
        """Number of trials, each counted once."""
        return self.cells * self._config.seeds

    def __iter__(self) -> Iterator[Trial]:
        """The trials, in the same order every time."""
        names = list(self._values)
        places = [names.index(name) for name in self._resolving]
        cells = _Cells(self._config)
        for combination in itertools.product(*self._values.values()):
            resolution = self._kept.get(tuple(combination[place] for place in places))
            if resolution is None:
                continue
            cell = cells.cell(dict(zip(names, combination, strict=True)), resolution)
            for seed in range(self._config.seeds):
                yield Trial(
                    trial_id=_digest(cell.text, seed),
                    axes=dict(cell.axes),
                    seed=seed,
                    dataset=cell.dataset,
                    preprocessing=cell.preprocessing,
                    model=cell.model,
                    training=cell.training,
                )

    def _find_kept(self) -> dict[tuple[Any, ...], _Resolution]:
        """What the resolving axes come to, by their values; of equals only the first."""
        first: dict[_Resolution, tuple[Any, ...]] = {}
        for values in itertools.product(*(self._values[name] for name in self._resolving)):
            chosen = dict(zip(self._resolving, values, strict=True))
            first.setdefault(self._resolve(chosen), values)
        return {values: resolution for resolution, values in first.items()}

    def _resolve(self, chosen: Mapping[str, Any]) -> _Resolution:
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
        return _Resolution(
            dataset=place,
            batch_size=batch_size,
            steps=steps,
            optimizer=value("optimizer"),
            loss=value("loss"),
            weight_decay=decided("weight_decay", value("weight_decay"), value("optimizer")),
            target_scaling=decided("target_scaling", value("target_scaling"), value("loss")),
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


class _Resolution(NamedTuple):
    """What the settings in `_RESOLVING` come to, and the steps that follow from them."""

    dataset: int
    batch_size: Any
    steps: int | None
    optimizer: str
    loss: str
    weight_decay: float | None
    target_scaling: str
    imputation: str
    fill_value: float
    neighbors: int


class _Cell(NamedTuple):
    """All of a trial but its seed, and the text of its id around the seed."""

    axes: dict[str, Any]
    dataset: DatasetSettings
    preprocessing: PreprocessingSettings
    model: ModelSettings
    training: TrainingSettings
    text: tuple[str, str]


class _Cells:
    """Makes cells; a section that several of them have alike is made once."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._datasets = [(dataset, dataset_text(dataset)) for dataset in config.datasets]
        self._made: dict[tuple[Any, ...], tuple[Any, str]] = {}
        self._axes: dict[str, list[str]] = {
            section: [name for name in config.grid if name in model.model_fields]
            for section, model in SECTIONS.items()
        }

    def cell(self, chosen: Mapping[str, Any], resolution: _Resolution) -> _Cell:
        dataset, dataset_text = self._datasets[resolution.dataset]
        preprocessing, preprocessing_text = self._section(
            "preprocessing",
            chosen,
            target_scaling=resolution.target_scaling,
            fill_value=resolution.fill_value,
            neighbors=resolution.neighbors,
        )
        model, model_text = self._section("model", chosen)
        training, training_text = self._section(
            "training",
            chosen,
            batch_size=resolution.batch_size,
            steps=resolution.steps,
            epochs=self._config.training.epochs if resolution.steps is None else None,
            weight_decay=resolution.weight_decay,
        )
        sections = {"preprocessing": preprocessing, "model": model, "training": training}
        axes = {
            name: dataset.label
            if name == DATASET
            else getattr(sections[AXIS_SETTINGS[name].section], name)
            for name in chosen
        }
        text = _text_around_seed(dataset_text, preprocessing_text, model_text, training_text)
        return _Cell(axes, dataset, preprocessing, model, training, text)

    def _section(self, section: str, chosen: Mapping[str, Any], **resolved: Any) -> tuple[Any, str]:
        update = {name: chosen[name] for name in self._axes[section]} | resolved
        key = (section, *update.values())
        if key not in self._made:
            settings = getattr(self._config, section).model_copy(update=update)
            self._made[key] = settings, _settings_text(settings)
        return self._made[key]


def trial_id(
    dataset: DatasetSettings,
    preprocessing: PreprocessingSettings,
    model: ModelSettings,
    training: TrainingSettings,
    seed: int,
) -> str:
    """The id of a trial: a hash of what it means, and of nothing else.

    What enters is one JSON object with sorted keys and no spaces:

    - `dataset`: all its settings that are not None, `path` as the user wrote it, and its
      label whether given or not; the content of a file does not enter, nor its folder;
    - `preprocessing`, `model`, `training`: every setting, defaults included, but
      `training.metrics`, which changes no weight, and `training.epochs` where it is None;
    - of all of these, a setting that came later (`Settings.later`) only where it is not its
      default;
    - `seed`.

    Numbers without a fraction are written as whole numbers, so 0 and 0.0 are the same. The
    settings are to be resolved as those of a `Trial` are: then it is all one whether a
    setting is an axis or in its section, given or left to its default, in epochs or in
    steps, and which other values, axes and seeds the grid has.

    Args:
        dataset: the data set.
        preprocessing: resolved.
        model: the network.
        training: resolved.
        seed: at least 0.

    Returns:
        16 hexadecimal digits: 8 bytes of BLAKE2b.
    """
    parts = (_settings_text(settings) for settings in (preprocessing, model, training))
    return _digest(_text_around_seed(dataset_text(dataset), *parts), seed)


def _text_around_seed(
    dataset: str, preprocessing: str, model: str, training: str
) -> tuple[str, str]:
    return (
        f'{{"dataset":{dataset},"model":{model},"preprocessing":{preprocessing},"seed":',
        f',"training":{training}}}',
    )


def _digest(text: tuple[str, str], seed: int) -> str:
    whole = f"{text[0]}{seed}{text[1]}"
    return hashlib.blake2b(whole.encode(), digest_size=8).hexdigest()


def dataset_text(dataset: DatasetSettings) -> str:
    """What a data set is to a trial's id: two that mean the same have the same text."""
    content = dataset.model_dump(exclude={"given_label"} | dataset.unsaid(), exclude_none=True)
    return _canonical({**content, "label": dataset.label})


def _settings_text(settings: Settings) -> str:
    content = settings.model_dump(exclude={"metrics"} | settings.unsaid())
    if content.get("epochs", 0) is None:
        del content["epochs"]
    return _canonical(content)


def _canonical(content: Any) -> str:
    return json.dumps(
        with_whole_numbers(content), sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def with_whole_numbers(content: Any) -> Any:
    """Plain content with every number that has no fraction as a whole one."""
    match content:
        case float() if content.is_integer():
            return int(content)
        case dict():
            return {key: with_whole_numbers(value) for key, value in content.items()}
        case list() | tuple():
            return [with_whole_numbers(value) for value in content]
    return content


def decided(setting: str, value: Any, decider: Any) -> Any:
    """The value meant by one that may be null."""
    return DECIDED_BY[setting][1](decider) if value is None else value
