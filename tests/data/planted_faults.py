"""Faults to plant in a clean data set, and what is to be found of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fault_planting import HELD_OUT, ROWS, TRAIN, TRAINED, Fault, Planting

from stabilitysweep.data import Split


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


def _all(*plants: Callable[[Planting], None]) -> Callable[[Planting], None]:
    def plant(planting: Planting) -> None:
        for one in plants:
            one(planting)

    return plant


def _repeat(planting: Planting) -> None:
    for row in range(5):
        planting.features[TRAIN + row] = planting.features[row]
        planting.target[TRAIN + row] = planting.target[row]
        for texts in planting.texts.values():
            texts[TRAIN + row] = texts[row]


def keep(train: int, held_out: int) -> Callable[[Planting], None]:
    """Leave so many rows of each side."""

    def plant(planting: Planting) -> None:
        rows = [*range(train), *range(TRAIN, TRAIN + held_out)]
        planting.features, planting.target = planting.features[rows], planting.target[rows]
        for name, texts in planting.texts.items():
            planting.texts[name] = [texts[row] for row in rows]
        planting.split = Split(np.arange(train), np.arange(train, train + held_out))

    return plant


def _without_target(planting: Planting) -> None:
    planting.without_target = 2


def _fractions(planting: Planting) -> None:
    planting.target = np.where(np.arange(ROWS) < 10, 0.5, planting.target)


def _marked_dates(planting: Planting) -> None:
    planting.add("day", 19_000 + np.round(planting["u0"] * 300))
    planting.dtypes["day"] = "timestamp[ns]"


_UNSCALED_HALF = {"scaling": ["none", "standard"], "precision": ["float32", "float16"]}
_TOWNS: list[str | None] = [None] * TRAIN + ["x", "z"] * (len(HELD_OUT) // 2)
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
    "empty category in training": Fault(
        _category("town", _TOWNS), "empty_column", "town", 320, ("no training row",), {},
        "warning", others=("missing_values",),
    ),
    "empty category in training as a code": Fault(
        _category("town", _TOWNS), "empty_column", "town", 320, (),
        {"encoding": ["one_hot", "ordinal"]}, "critical",
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
    "constant category in training": Fault(
        _category("town", ["x"] * TRAIN + ["x"] * 70 + ["z"] * 10), "constant_column", "town", 320,
        ("'x'", "10 of 80 validation rows have another"), {}, "warning",
        others=("unseen_categories",),
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
        _scaled("n2", 20.0, 250.0), "beyond_float16_squared", "n2", 145, ("sums of products",),
        _UNSCALED_HALF, "warning", {"scaling": "standard", "precision": "float16"},
    ),
    "beyond float32": Fault(
        _set("n3", [4], [1e39]), "beyond_float32", "n3", 1, ("3.4e38",),
        {"scaling": "none"}, "critical", {"scaling": "none", "precision": "float64"},
        others=("outliers", "unequal_scales"),
    ),
    "beyond what a variance can be": Fault(
        _scaled("n0", 1e199, 1e200), "beyond_float32", "n0", 400,
        ("NaN or Inf in float32 with scaling standard",), {}, "critical", {"scaling": "robust"},
    ),
    "beyond half of float64": Fault(
        _scaled("u0", 1.7e308), "beyond_float32", "u0", 400,
        ("NaN or Inf in float64 with scaling standard",),
        {"scaling": ["standard", "robust"], "precision": "float64"}, "critical",
        {"scaling": "maxabs", "precision": "float64"},
    ),
    "small values that robust scaling makes large": Fault(
        _all(_scaled("n1", 1e-4), _set("n1", [4], 100.0)), "beyond_float16", "n1", 1,
        ("once scaled (robust), 1 of 400 values is beyond float16's 65,504", "Inf in float16"),
        {"scaling": "robust", "precision": "float16"}, "critical",
        others=("outliers", "unequal_scales"),
    ),
    "a validation row that scaling makes large": Fault(
        _all(_scaled("n1", 1e-4), _set("n1", [330], -200.0)), "beyond_float16", "n1", 1,
        ("once scaled (standard)",), {"precision": ["float32", "float16"]}, "critical",
        others=("outliers", "unequal_scales"),
    ),
    "a value that scaling makes large once squared": Fault(
        _all(_scaled("n1", 1e-3), _set("n1", [330], 2.0)), "beyond_float16_squared", "n1", 1,
        ("once scaled (standard), 1 of 400 values has a square",), {"precision": "float16"},
        others=("outliers", "unequal_scales"),
    ),
    "a fill value beyond float16": Fault(
        _set("u0", [1, 2, 340], np.nan), "beyond_float16", "u0", 3,
        ("once filled with -999,999, 3 of 400 values are beyond", "Inf in float16"),
        {"imputation": "constant", "fill_value": -999999, "scaling": "none",
         "precision": "float16"},
        "critical", others=("missing_values",),
    ),
    "a fill value beyond float16 in an empty column": Fault(
        _set("u0", slice(None), np.nan), "beyond_float16", "u0", 400, ("filled with 100,000",),
        {"imputation": "constant", "fill_value": 1e5, "scaling": "none", "precision": "float16"},
        "critical", others=("empty_column",),
    ),
    "quartiles that are what fills the gaps": Fault(
        _all(
            _scaled("n3", 1e5), _set("n3", [row for row in range(ROWS) if row % 7], np.nan),
        ),
        "beyond_float16", "n3", 30, ("Inf in float16 with scaling robust",),
        {"imputation": "median", "scaling": "robust", "precision": "float16"}, "critical",
        {"imputation": "median", "scaling": "standard", "precision": "float16"},
        others=("missing_values", "unequal_scales"),
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
        _set("n0", [0], -3.5), "log1p_domain", "n0", 63, ("NaN or -Inf",),
        {"scaling": ["log1p", "none"]}, "critical", others=("log1p_domain",),
    ),
    "log1p of a fill value": Fault(
        _set("u0", [1, 2, 340], np.nan), "log1p_domain", "u0", 3,
        ("3 of 400 values are -1 or less, down to -999, filled with -999: scaling log1p",),
        {"imputation": "constant", "fill_value": [0.0, -999.0], "scaling": "log1p"}, "critical",
        others=("missing_values", "log1p_domain"),
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
        _target(-2.0, [0]), "invalid_target", "y", 204, ("poisson",), {"loss": "poisson"},
        "critical",
    ),
    "fractions among classes": Fault(
        _fractions, "invalid_target", "y", 10, ("needs classes", "got 0.5"),
        {"loss": "sparse_categorical_crossentropy"}, "critical", classes=True,
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
    "large target in half precision": Fault(
        lambda planting: _target(planting.target * 1e2)(planting), "large_target", "y", 1,
        ("gradients with mixed_float16",),
        {"target_scaling": "none", "precision": ["float32", "mixed_float16"]}, "warning",
    ),
    "target beyond float16": Fault(
        _target(7e4, [3]), "large_target", "y", 1, ("1 of 400 targets is Inf in float16",),
        {"target_scaling": ["standard", "none"], "precision": ["float16", "float32"]}, "critical",
        others=("target_outliers",),
    ),
    "target beyond what a variance can be": Fault(
        _target([1e200, -1e200], [3, 4]), "large_target", "y", 400,
        ("with target_scaling standard, 400 of 400 targets are NaN or Inf in float32",), {},
        "critical", others=("target_outliers",),
    ),
    "count beyond float32": Fault(
        lambda planting: _all(_target(np.abs(planting.target)), _target(1e39, [3]))(planting),
        "large_target", "y", 1, ("1 of 400 targets is Inf in float32",), {"loss": "poisson"},
        "critical", others=("target_outliers",),
    ),
    "mark among targets": Fault(
        _target(-999.0, range(8)), "sentinel_values", "y", 8, ("-999 in 8 rows",), {}, "warning",
    ),
    "huge mark among targets": Fault(
        _target(1e30, range(8)), "sentinel_values", "y", 8, ("1e30 in 8 rows",), {}, "warning",
    ),
    "target outlier": Fault(
        _target(60.0, [3]), "target_outliers", "y", 1, ("the farthest 60",), {}, "warning",
        {"loss": ["mae", "huber"]},
    ),
    "target beyond log1p": Fault(
        _target(-5.0, [3]), "target_log1p_domain", "y", 61, ("target_scaling log1p",),
        {"target_scaling": "log1p"}, "critical",
    ),
    "constant target beyond log1p": Fault(
        _target(-2.0), "target_log1p_domain", "y", 400, ("down to -2",),
        {"target_scaling": "log1p"}, "critical", others=("constant_target",),
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
        keep(289, 80), "tiny_last_batch", "", 1, ("289 rows", "batch of 1"),
        {"batch_norm": True}, "warning", {"batch_norm": False},
    ),
    "batch larger than the data": Fault(
        lambda planting: None, "empty_batch", "", 512, ("drop_remainder",),
        {"batch_size": [32, 512, "full"]}, "note",
    ),
    "few validation rows": Fault(
        keep(320, 4), "few_validation_rows", "", 4, ("only 4 of 324",), {}, "warning",
    ),
    "fewer rows than inputs": Fault(
        keep(12, 10), "fewer_rows_than_inputs", "", 12, ("12 training rows for 15 inputs",),
        {"batch_size": 4}, "warning",
    ),
}  # fmt: skip
