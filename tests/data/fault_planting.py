"""A clean data set made by hand that faults can be planted in, and a sweep to audit it for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import PreprocessingSettings, SweepConfig, parse_config
from stabilitysweep.data import Finding, RawData, Split
from stabilitysweep.data.audit import audit

ROWS, TRAIN = 400, 320
TRAINED = np.arange(TRAIN)
HELD_OUT = np.arange(TRAIN, ROWS)


@dataclass
class Planting:
    """A data set that may be written to; the first 320 of 400 rows are trained on."""

    features: NDArray[np.float64]
    target: NDArray[Any]
    names: list[str]
    texts: dict[str, list[str | None]]
    dtypes: dict[str, str] = field(default_factory=dict)
    split: Split = field(default_factory=lambda: Split(TRAINED, HELD_OUT))
    without_target: int = 0
    own_training_rows: int | None = None

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self.features[:, self.names.index(name)]

    def add(self, name: str, values: Any) -> None:
        self.names.append(name)
        self.features = np.column_stack([self.features, np.asarray(values, np.float64)])

    def raw(self) -> RawData:
        levels = {
            name: sorted({text for text in texts if text is not None})
            for name, texts in self.texts.items()
        }
        codes = [
            [-1 if text is None else levels[name].index(text) for text in texts]
            for name, texts in self.texts.items()
        ]
        return RawData(
            np.array(self.features),
            np.array(self.target),
            tuple(self.names),
            label="planted",
            source="made by hand",
            categories=np.array(codes, np.int32).reshape(len(codes), len(self.target)).T,
            category_names=tuple(self.texts),
            levels=tuple(map(tuple, levels.values())),
            dtypes=dict(self.dtypes),
            target_name="y",
            without_target=self.without_target,
            own_training_rows=self.own_training_rows,
        )


def clean(classes: bool = False) -> Planting:
    """Normal and uniform columns of like scale, and two columns of three or four categories."""
    random = np.random.default_rng(7)
    normal = random.standard_normal((ROWS, 4))
    uniform = random.uniform(-1, 1, (ROWS, 4))
    target = np.arange(ROWS) % 2 if classes else random.standard_normal(ROWS)
    colours = [str(text) for text in random.choice(["red", "green", "blue"], ROWS)]
    shapes = [str(text) for text in random.choice(["disc", "ring", "bar", "dot"], ROWS)]
    names = ["n0", "n1", "n2", "n3", "u0", "u1", "u2", "u3"]
    texts: dict[str, list[str | None]] = {"colour": [*colours], "shape": [*shapes]}
    return Planting(np.hstack([normal, uniform]), target, names, texts)


def sweep(dataset: dict[str, Any] | None = None, **settings: Any) -> SweepConfig:
    """A sweep with values for some settings; a list of them becomes an axis."""
    sections: dict[str, dict[str, Any]] = {"preprocessing": {}, "model": {}, "training": {}}
    grid: dict[str, Any] = {"learning_rate": [0.1, 1.0]}
    for name, value in settings.items():
        section = {"batch_norm": "model"}.get(name, "training")
        if name in PreprocessingSettings.model_fields:
            section = "preprocessing"
        if isinstance(value, list):
            grid[name] = value
        else:
            sections[section][name] = value
    data = {"path": "planted.csv", "target": "y", **(dataset or {})}
    return parse_config({"name": "audited", "dataset": data, **sections, "grid": grid})


def audited(planting: Planting, config: SweepConfig) -> tuple[Finding, ...]:
    return audit(planting.raw(), planting.split, config.datasets[0], config)


class Fault(NamedTuple):
    """What is planted, and what is to be found.

    Attributes:
        plant: does it.
        code: the finding's code.
        column: its column.
        count: its number.
        says: texts it holds.
        repaired: settings of a sweep whose trials all deal with it: then it is a note.
        broken: settings under which it is worse, and `severity` what it is then.
        severity: of the finding under `broken`.
        classes: whether the target is of classes.
        others: codes that the fault brings about besides.
    """

    plant: Callable[[Planting], None]
    code: str
    column: str
    count: int
    says: tuple[str, ...] = ()
    broken: Mapping[str, Any] = MappingProxyType({})
    severity: str = "warning"
    repaired: Mapping[str, Any] | None = None
    classes: bool = False
    others: tuple[str, ...] = ()
