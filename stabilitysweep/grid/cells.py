"""The cells of a grid: all of their trials but the seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import (
    AXIS_SETTINGS,
    DATASET,
    SECTIONS,
    DatasetSettings,
    ModelSettings,
    PreprocessingSettings,
    SweepConfig,
    TrainingSettings,
    default_target_scaling,
)
from stabilitysweep.grid.combinations import Resolution
from stabilitysweep.grid.identity import (
    dataset_text,
    digest,
    settings_text,
    uncounted,
    with_whole_numbers,
)
from stabilitysweep.grid.trial import Trial

_SCALED_TARGETS = frozenset({"mse", "mae", "huber"})
"""Forms of a target that is standardised unless the config says otherwise."""

_MOST_MADE = 10_000
"""Sections kept at once: a grid of learning rates and momenta may have a million of them."""


class Cell(NamedTuple):
    """All of a trial but its seed.

    Attributes:
        texts: of its id, see `text_around_seed`.
        open_scaling: whether its `target_scaling` is null in the config of a build.
    """

    axes: dict[str, Any]
    dataset: DatasetSettings
    preprocessing: PreprocessingSettings
    model: ModelSettings
    training: TrainingSettings
    texts: tuple[str, str, str, str]
    open_scaling: bool = False
    blueprint: Blueprint | None = None

    def trial(self, text: tuple[str, str], seed: int) -> Trial:
        """The trial of a seed; `text` is what is around the seed."""
        return Trial(
            trial_id=digest(text, seed),
            axes=dict(self.axes),
            seed=seed,
            dataset=self.dataset,
            preprocessing=self.preprocessing,
            model=self.model,
            training=self.training,
            blueprint=self.blueprint,
        )

    def meaning(self) -> bytes:
        """What a cell with a blueprint comes to: equal for cells that train the same."""
        dataset, _, model, training = self.texts
        drawn = self.blueprint
        preprocessing = settings_text(self.preprocessing)
        content: list[Any] = [dataset, preprocessing, model, training]
        if drawn is not None:
            content += [drawn.program, drawn.weights, drawn.numbers, drawn.training]
        text = json.dumps(with_whole_numbers(content), default=repr)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Cells:
    """Makes cells; a section that several of them have alike is made once, while it is kept."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._datasets = [(dataset, dataset_text(dataset)) for dataset in config.datasets]
        self._made: dict[tuple[Any, ...], tuple[Any, Any]] = {}
        self._hp = config.hp_axes
        self._axes: dict[str, list[str]] = {
            section: [
                name for name in config.grid if name in model.model_fields and name not in self._hp
            ]
            for section, model in SECTIONS.items()
        }
        self._uncounted = uncounted(config.model, config.given)

    def cell(self, chosen: Mapping[str, Any], resolution: Resolution) -> Cell:
        """The cell of a combination of axis values, `DATASET` by its place."""
        dataset, dataset_text = self._datasets[resolution.dataset]
        preprocessing, preprocessing_text = self._preprocessing(chosen, resolution)
        model, model_text = self._model(chosen)
        training, training_text = self._section(
            "training",
            chosen,
            partial(settings_text, uncounted=self._uncounted),
            batch_size=resolution.batch_size,
            steps=resolution.steps,
            epochs=self._config.training.epochs if resolution.steps is None else None,
            weight_decay=resolution.weight_decay,
        )
        sections = {"preprocessing": preprocessing, "training": training, "model": model}

        def shown(name: str) -> Any:
            if name == DATASET:
                return dataset.label
            if name in self._hp:
                return chosen[name]
            if name == "target_scaling":
                return resolution.target_scaling
            return getattr(sections[AXIS_SETTINGS[name].section], name)

        return Cell(
            {name: shown(name) for name in chosen},
            dataset,
            preprocessing,
            model,
            training,
            (dataset_text, preprocessing_text, model_text, training_text),
            open_scaling=resolution.target_scaling is None,
        )

    def drawn(self, cell: Cell, blueprint: Blueprint) -> Cell:
        """A cell with its model built: as it is where that failed, else as the model says."""
        if blueprint.error:
            return cell._replace(blueprint=blueprint)
        model, model_text = self._built(blueprint.values)
        cell = cell._replace(
            blueprint=blueprint, model=model, texts=(*cell.texts[:2], model_text, cell.texts[3])
        )
        if blueprint.compiled:
            cell = cell._replace(training=self._updated(cell.training, dict(blueprint.training)))
            if cell.open_scaling:
                scaling = "standard" if blueprint.target in _SCALED_TARGETS else "none"
                update = {"target_scaling": scaling}
                cell = cell._replace(preprocessing=self._updated(cell.preprocessing, update))
        if "target_scaling" in cell.axes:
            axes = cell.axes | {"target_scaling": cell.preprocessing.target_scaling}
            cell = cell._replace(axes=axes)
        return cell

    def _preprocessing(self, chosen: Mapping[str, Any], resolution: Resolution) -> tuple[Any, str]:
        loss, scaling = resolution.loss, resolution.target_scaling
        settings, text = self._section(
            "preprocessing",
            chosen,
            settings_text,
            target_scaling=default_target_scaling(loss) if scaling is None else scaling,
            fill_value=resolution.fill_value,
            neighbors=resolution.neighbors,
        )
        if scaling is None:
            text = settings_text(self._updated(settings, {"target_scaling": None}))
        return settings, text

    def _model(self, chosen: Mapping[str, Any]) -> tuple[Any, str]:
        if self._config.model.build is None:
            return self._section("model", chosen, settings_text)
        hp = dict(self._config.model.hp) | {name: chosen[name] for name in self._hp}
        return self._built(tuple(sorted(hp.items())))

    def _built(self, hp: tuple[tuple[str, Any], ...]) -> tuple[Any, str]:
        key = ("hp", repr(hp))  # of True and 1, which are equal, one is not the other
        if key in self._made:
            return self._made[key]
        settings = ModelSettings(build=self._config.model.build, hp=hp)
        return self._keep(key, (settings, settings_text(settings)))

    def _updated(self, settings: Any, update: Mapping[str, Any]) -> Any:
        # Settings are told apart by their place in memory: as long as it is a key, it is theirs.
        key = (id(settings), repr(update))
        if key in self._made:
            return self._made[key][0]
        return self._keep(key, (settings.model_copy(update=update), settings))[0]

    def _section(
        self,
        section: str,
        chosen: Mapping[str, Any],
        text_of: Callable[[Any], str],
        **resolved: Any,
    ) -> tuple[Any, str]:
        update = {name: chosen[name] for name in self._axes[section]} | resolved
        key = (section, *update.values())
        if key in self._made:
            return self._made[key]
        settings = getattr(self._config, section).model_copy(update=update)
        return self._keep(key, (settings, text_of(settings)))

    def _keep(self, key: tuple[Any, ...], made: tuple[Any, Any]) -> tuple[Any, Any]:
        if len(self._made) >= _MOST_MADE:
            self._made.clear()
        self._made[key] = made
        return made
