"""A whole config, checked: what every other part of the package is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, PrivateAttr, StrictStr

from stabilitysweep.config.axes import DATASET, SECTIONS, is_hp, section_of
from stabilitysweep.config.dataset import DatasetSettings
from stabilitysweep.config.fields import Expected
from stabilitysweep.config.names import COMPILED_SETTINGS
from stabilitysweep.config.recorded import RecordedSettings
from stabilitysweep.config.rules import NEEDS
from stabilitysweep.config.selection import Selection, plain_cells, plain_seeds
from stabilitysweep.config.settings import (
    ModelSettings,
    PreprocessingSettings,
    TrainingSettings,
)
from stabilitysweep.errors import ResultError


class Head(BaseModel):
    """What a config says of itself, beside its sections.

    Attributes:
        name: letters, digits and `-_.`; the name of the result folder.
        seeds: 1 to 100,000 seeds, one after another, the first at least 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A name that begins with a dot is a hidden folder; with a dash, it looks like an option.
    name: Annotated[
        StrictStr,
        Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"),
        Expected(
            "a name of at most 100 letters, digits, '-', '_' and '.', that does not begin "
            "with '-' or '.'"
        ),
    ]
    seeds: InstanceOf[range] = range(1)


class SweepConfig(Head):
    """A sweep as its config describes it; made by `load_config` and `parse_config`.

    These two check it; the constructor takes values that are right already. Two configs are
    equal if they say the same, wherever they lie.

    Attributes:
        dataset: the data set; None if it is an axis.
        preprocessing: its settings; those that are an axis have no meaning here.
        model: its settings; those that are an axis have no meaning here.
        training: its settings; those that are an axis have no meaning here.
        grid: the values of each axis, in the config's order, `dataset` first if it was given
            as a list in its own section. Values have the type of their setting; those of
            `dataset` are `DatasetSettings`. With a `model.build`, names that are no setting
            of `dataset`, preprocessing or training are its `hp`.
        cells: the parts of the grid that are trained, all of it if None. What several parts
            have in common is trained once.
        given: the settings of training that the config gives, as axes or in its section.
            Of others a user's compiled model may have its own.
        recorded: the search that the trials were recorded from; None of a sweep, which alone
            can be run.
    """

    dataset: DatasetSettings | None = None
    preprocessing: PreprocessingSettings = Field(default_factory=PreprocessingSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    grid: dict[str, tuple[Any, ...]]
    cells: tuple[Selection, ...] | None = None
    given: frozenset[str] = frozenset()
    recorded: RecordedSettings | None = None
    _base_folder: Path = PrivateAttr(default=Path())

    @property
    def base_folder(self) -> Path:
        """The folder of the config, which a data set's relative path is relative to.

        It is no part of what `resolved` saves: the folder a config was loaded from.
        """
        return self._base_folder

    def based_in(self, folder: str | Path) -> Self:
        """The same config with `folder` as its base folder."""
        config = self.model_copy()
        config._base_folder = Path(folder)
        return config

    @property
    def datasets(self) -> tuple[DatasetSettings, ...]:
        """All data sets of the sweep, at least one."""
        return self.values(DATASET)

    @property
    def hp_axes(self) -> tuple[str, ...]:
        """The axes that are `hp` of the user's build, in the order of the grid."""
        return () if self.model.build is None else tuple(filter(is_hp, self.grid))

    def values(self, setting: str) -> tuple[Any, ...]:
        """All values a setting has in the sweep.

        Args:
            setting: `dataset`, or a setting of one of the sections, by its own name; with a
                build also an `hp`.

        Returns:
            Those of its axis, or the one of its section; none for an `hp` that the config
            does not give, as is a setting of the built-in model beside a build.

        Raises:
            KeyError: there is no such setting, nor a build that may have such an `hp`.
        """
        if setting in self.grid:
            return self.grid[setting]
        if setting == DATASET:
            return (self.dataset,)
        section = section_of(setting)
        if self.model.build is not None and setting != "build" and section in (None, "model"):
            return tuple(value for name, value in self.model.hp if name == setting)
        if section is None:
            raise KeyError(setting)
        return (getattr(getattr(self, section), setting),)

    def require_sweep(self, where: object) -> None:
        """Refuse to train what was recorded from a search.

        Args:
            where: the folder or config that was to be trained.

        Raises:
            ResultError: it was recorded.
        """
        if self.recorded is not None:
            raise ResultError(self.recorded.refusal(where))

    def resolved(self) -> dict[str, Any]:
        """Everything, defaults and axis values included, as plain values.

        Returns:
            A dict for YAML or JSON. A setting that is an axis is only in `grid`. Read by
            `parse_config`, it gives a config equal to this one. With a build, settings of
            training that are not given are left out: they would be given then.
        """
        ungiven = self._ungiven()
        content: dict[str, Any] = {"name": self.name}
        if self.recorded is not None:
            content["recorded"] = self.recorded.model_dump(mode="json")
        if self.dataset is not None:
            content[DATASET] = _plain(self.dataset)
        if self.recorded is not None and self.dataset is not None:
            # How they were split and prepared is not known, and no default of ours.
            content[DATASET] = {"function": self.dataset.function, "label": self.dataset.label}
        for section in SECTIONS:
            if section == "preprocessing" and self.recorded is not None:
                continue
            settings = getattr(self, section).model_dump(mode="json")
            content[section] = {
                key: value
                for key, value in settings.items()
                if key not in self.grid and (section != "training" or key not in ungiven)
            }
        content["grid"] = {
            axis: [_plain(value) if axis == DATASET else value for value in values]
            for axis, values in self.grid.items()
        }
        if self.cells is not None:
            content["cells"] = plain_cells(self.cells)
        content["seeds"] = plain_seeds(self.seeds)
        return content

    def fixed(self) -> dict[str, Any]:
        """The settings that all trials share, but those that are off or have no effect."""
        shared: dict[str, Any] = {}
        if DATASET not in self.grid:
            shared[DATASET] = self.datasets[0].label
        for section in SECTIONS:
            settings = getattr(self, section)
            if settings is not self.model and self.recorded is not None:
                continue  # of a search only what its trials are is known
            if settings is self.model and self.model.build is not None:
                shared |= settings.model_dump()  # what is off is known to the build alone
                continue
            silent = settings.unsaid() | {"name", "metrics", *self.grid}
            if section == "training":
                silent |= self._ungiven() & {*COMPILED_SETTINGS}
            for name, value in settings.model_dump(mode="json").items():
                by, needed = NEEDS.get(name, (name, value))
                idle = needed not in self.values(by)
                if not (name in silent or idle or value in (None, 0, False, "none")):
                    shared[name] = value
        return shared

    def _ungiven(self) -> set[str]:
        """With a build, the settings of training that the config does not give."""
        if self.model.build is None:
            return set()
        return TrainingSettings.model_fields.keys() - self.given

    def __eq__(self, other: object) -> bool:
        """Whether both say the same: all settings, axes in the same order, cells and seeds."""
        if not isinstance(other, SweepConfig):
            return NotImplemented
        mine, others = self.resolved(), other.resolved()
        return mine == others and list(mine["grid"]) == list(others["grid"])


def _plain(dataset: DatasetSettings) -> dict[str, Any]:
    return dataset.model_dump(mode="json", exclude_none=True, exclude=dataset.unsaid())
