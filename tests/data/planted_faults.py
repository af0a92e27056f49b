"""A clean data set made by hand, and faults to plant in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import SweepConfig, parse_config
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
        if name in ("imputation", "scaling", "encoding", "unknown_categories", "target_scaling"):
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


def _set(column: str, rows: Any, values: Any) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        planting[column][rows] = values

    return plant


def _scaled(column: str, factor: float, offset: float = 0.0) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        planting[column][:] = planting[column] * factor + offset

    return plant


def _text(column: str, rows: Any, values: Any) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        for row, value in zip(rows, values, strict=True):
            planting.texts[column][row] = value

    return plant


def _target(values: Any, rows: Any = slice(None)) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        kept = np.array(planting.target, object if isinstance(values, str) else None)
        kept[rows] = values
        planting.target = np.array(kept.tolist())

    return plant


def _column(name: str, values: Callable[[Planting], Any]) -> Callable[[Planting], None]:
    return lambda planting: planting.add(name, values(planting))


def _category(name: str, texts: list[str | None]) -> Callable[[Planting], None]:
    return lambda planting: planting.texts.update({name: texts})


def _repeat(planting: Planting) -> None:
    for row in range(5):
        planting.features[TRAIN + row] = planting.features[row]
        planting.target[TRAIN + row] = planting.target[row]
        for texts in planting.texts.values():
            texts[TRAIN + row] = texts[row]


def _keep(train: int, held_out: int) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        rows = [*range(train), *range(TRAIN, TRAIN + held_out)]
        planting.features, planting.target = planting.features[rows], planting.target[rows]
        for name, texts in planting.texts.items():
            planting.texts[name] = [texts[row] for row in rows]
        planting.split = Split(np.arange(train), np.arange(train, train + held_out))

    return plant


def _without_target(planting: Planting) -> None:
    planting.without_target = 2


def _marked_dates(planting: Planting) -> None:
    planting.add("day", 19_000 + np.round(planting["u0"] * 300))
    planting.dtypes["day"] = "timestamp[ns]"


_UNSCALED_HALF = {"scaling": ["none", "standard"], "precision": ["float32", "float16"]}
_NUMBERS = [str(number % 60) for number in range(ROWS)]

FAULTS: dict[str, Fault] = {
    "no target": Fault(
        _without_target, "missing_target", "y", 2,
        ("2 of 402 rows are without a target, and left out",), severity="note",
    ),
    "missing": Fault(
        _set("n1", [3, 5, 330], np.nan), "missing_values", "n1", 3,
        ("3 of 400 values are missing, 1 of them in validation rows",),
        {"imputation": ["none", "mean"]}, "critical", {"imputation": "median"},
    ),
    "missing only in validation": Fault(
        _set("u2", [330, 331], np.nan), "missing_values", "u2", 2,
        ("only in validation rows", "predictions become NaN"),
        {}, "critical", {"imputation": ["mean", "knn"]},
    ),
    "missing category": Fault(
        _text("colour", [7, 9], [None, None]), "missing_values", "colour", 2,
        ("2 of 400 values are missing",),
        {}, "critical", {"imputation": "most_frequent"},
    ),
    "infinite": Fault(
        _set("n2", [1, 2, 350], [np.inf, -np.inf, np.inf]), "infinite_values", "n2", 3,
        ("2 +Inf, 1 -Inf", "1 of them in validation rows"),
        {"imputation": "median"}, "critical",
    ),
    "empty": Fault(
        _set("u1", slice(None), np.nan), "empty_column", "u1", 400, ("no row has a value",),
        {}, "critical", {"imputation": "mean"},
    ),
    "empty in training": Fault(
        _set("u1", TRAINED, np.nan), "empty_column", "u1", 320, ("no training row",),
        {"imputation": "mean"}, "warning",
    ),
    "constant": Fault(
        _set("n0", slice(None), 3.5), "constant_column", "n0", 320, ("no variance", "3.5"),
        {}, "note",
    ),
    "constant in training": Fault(
        _set("n0", TRAINED, 3.5), "constant_column", "n0", 320, ("in all rows",), {}, "warning",
    ),
    "constant category": Fault(
        _text("shape", range(ROWS), ["disc"] * ROWS), "constant_column", "shape", 320,
        ("'disc'",), {}, "note",
    ),
    "unequal scales": Fault(
        _scaled("u3", 2e-4), "unequal_scales", "u3", 1, ("times that",),
        {"scaling": ["none", "minmax"]}, "warning", {"scaling": "minmax"},
    ),
    "beyond float16": Fault(
        _set("n3", [4, 321], [7e4, -8e4]), "beyond_float16", "n3", 2,
        ("beyond float16's 65,504", "up to 80,000", "Inf in float16 with scaling none"),
        _UNSCALED_HALF, "critical", {"scaling": "standard", "precision": "float16"},
        others=("outliers", "unequal_scales"),
    ),
    "beyond float16 after robust scaling": Fault(
        _set("n3", [4], [7e5]), "beyond_float16", "n3", 1, ("with scaling robust",),
        {"scaling": "robust", "precision": "mixed_float16"}, "critical", {"scaling": "minmax"},
        others=("outliers", "unequal_scales"),
    ),
    "beyond float16 once squared": Fault(
        _scaled("n2", 20.0, 250.0), "beyond_float16_squared", "n2", -1, ("sums of products",),
        _UNSCALED_HALF, "warning", {"scaling": "standard", "precision": "float16"},
    ),
    "beyond float32": Fault(
        _set("n3", [4], [1e39]), "beyond_float32", "n3", 1, ("3.4e38",),
        {"scaling": "none"}, "critical", {"scaling": "none", "precision": "float64"},
        others=("outliers", "unequal_scales"),
    ),
    "large offset": Fault(
        _scaled("n1", 0.1, 200.0), "large_offset", "n1", 1, ("a mean of 200", "float16"),
        _UNSCALED_HALF, "warning", {"scaling": "standard"},
    ),
    "large offset for float32": Fault(
        _scaled("n1", 1e-6, 200.0), "large_offset", "n1", 1, ("float32 rounds",),
        {"scaling": "maxabs"}, "warning", {"scaling": "robust"},
        others=("unequal_scales",),
    ),
    "outlier": Fault(
        _set("n1", [17, 390], [45.0, -50.0]), "outliers", "n1", 2, ("the farthest -50",),
        {}, "warning", {"scaling": "log1p"}, others=("log1p_domain",),
    ),
    "sentinel": Fault(
        _set("u0", [5, 6, 7, 340], -999.0), "sentinel_values", "u0", 4, ("-999 in 4 rows",),
        {}, "warning", others=("beyond_float16_squared",),
    ),
    "two sentinels": Fault(
        _set("u0", range(8), [-99.0, 999.0] * 4), "sentinel_values", "u0", 8,
        ("999 in 4 rows", "-99 in 4 rows"), {}, "warning", others=("beyond_float16_squared",),
    ),
    "identifier": Fault(
        _column("id", lambda planting: np.random.default_rng(1).permutation(ROWS) + 1),
        "identifier", "id", 400, ("from 1 to 400",), {}, "warning",
        others=("beyond_float16_squared",),
    ),
    "date": Fault(
        _marked_dates, "date_column", "day", 320, ("timestamp[ns]", "days since 1970"),
        {"scaling": ["none", "standard"]}, "warning", {"scaling": "standard"},
        others=("beyond_float16_squared",),
    ),
    "log1p": Fault(
        _set("n0", [0], -3.5), "log1p_domain", "n0", -1, ("NaN or -Inf",),
        {"scaling": ["log1p", "none"]}, "critical", others=("log1p_domain",),
    ),
    "duplicate column": Fault(
        _column("copy", lambda planting: planting["n2"]), "duplicate_column", "copy", 400,
        ("as n2",), {}, "note",
    ),
    "target leak": Fault(
        _column("leak", lambda planting: planting.target), "target_leak", "leak", 400,
        ("the target y",), {}, "warning", classes=True,
    ),
    "duplicate rows": Fault(
        _repeat, "duplicate_rows", "", 5, ("5 of 80 validation rows are trained on",),
        {}, "warning",
    ),
    "unseen categories": Fault(
        _text("colour", [330, 331, 332], ["mauve", "mauve", "teal"]), "unseen_categories",
        "colour", 3, ("2 categories", "'mauve', 'teal'"),
        {"unknown_categories": "missing"}, "critical", {"unknown_categories": "encode"},
    ),
    "many categories": Fault(
        _category("town", [f"town {row % 130}" for row in range(ROWS)]), "many_categories",
        "town", 130, ("130 columns",), {}, "warning", {"encoding": "ordinal"},
    ),
    "identifying texts": Fault(
        _category("key", [f"key {row}" for row in range(ROWS)]), "identifier", "key", 400,
        ("400 different texts",), {}, "warning",
        others=("unseen_categories", "fewer_rows_than_inputs"),
    ),
    "numbers as text": Fault(
        _category("age", ["?", "-", *_NUMBERS[2:]]), "numbers_as_text", "age", 2,
        ("'-', '?' in 2 rows",), {}, "warning",
    ),
    "decimal comma": Fault(
        _category("size", [f"{number},5" for number in _NUMBERS]), "numbers_as_text", "size", 400,
        ("a decimal comma",), {}, "warning",
    ),
    "mark among categories": Fault(
        _text("shape", [1, 2], ["?", "?"]), "missing_marks", "shape", 2, ("'?' in 2",), {}, "note",
    ),
    "text for a regression": Fault(
        _target("much"), "invalid_target", "y", 400, ("mse needs a target of numbers",), {},
        "critical",
    ),
    "NaN in the target": Fault(
        _target(np.nan, [3, 4]), "invalid_target", "y", 2, ("2 such rows",), {}, "critical",
    ),
    "negative counts": Fault(
        _target(-2.0, [0]), "invalid_target", "y", -1, ("poisson",), {"loss": "poisson"},
        "critical",
    ),
    "labels from 1": Fault(
        lambda planting: _target(planting.target + 1)(planting), "renumbered_labels", "y", 400,
        ("labels 1, 2",), {"loss": "sparse_categorical_crossentropy"}, "note", classes=True,
    ),
    "labels of -1 and 1": Fault(
        lambda planting: _target(2 * planting.target - 1)(planting), "renumbered_labels", "y", 400,
        ("labels -1, 1", "binary_crossentropy"), {"loss": "binary_crossentropy"}, "note",
        classes=True,
    ),
    "constant target": Fault(
        _target(4.0), "constant_target", "y", 320, ("nothing to learn",), {}, "warning",
    ),
    "large target": Fault(
        lambda planting: _target(planting.target * 1e4)(planting), "large_target", "y", 357,
        ("unscaled",), {"target_scaling": ["none", "standard"]}, "warning",
    ),
    "target outlier": Fault(
        _target(60.0, [3]), "target_outliers", "y", 1, ("the farthest 60",), {}, "warning",
        {"loss": ["mae", "huber"]},
    ),
    "target beyond log1p": Fault(
        _target(-5.0, [3]), "target_log1p_domain", "y", -1, ("target_scaling log1p",),
        {"target_scaling": "log1p"}, "critical",
    ),
    "class imbalance": Fault(
        _target([0] * 391 + [1] * 9, range(ROWS)), "class_imbalance", "y", 9, ("43.44 to 1",),
        {"loss": "binary_crossentropy"}, "warning", classes=True, others=("unseen_class",),
    ),
    "unseen class": Fault(
        _target(2, range(330, 350)), "unseen_class", "y", 20, ("no training row has: 2",),
        {"loss": "sparse_categorical_crossentropy"}, "warning", classes=True,
        others=("class_imbalance",),
    ),
    "tiny last batch": Fault(
        _keep(289, 80), "tiny_last_batch", "", 1, ("289 rows", "batch of 1"),
        {"batch_norm": True}, "warning", {"batch_norm": False},
    ),
    "batch larger than the data": Fault(
        lambda planting: None, "empty_batch", "", 512, ("drop_remainder",),
        {"batch_size": [32, 512, "full"]}, "note",
    ),
    "few validation rows": Fault(
        _keep(320, 4), "few_validation_rows", "", 4, ("only 4 of 324",), {}, "warning",
    ),
    "fewer rows than inputs": Fault(
        _keep(12, 10), "fewer_rows_than_inputs", "", 12, ("12 training rows for 15 inputs",),
        {"batch_size": 4}, "warning",
    ),
}  # fmt: skip
