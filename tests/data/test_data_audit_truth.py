"""What is called critical breaks the inputs of some trial, what is called a note of none."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from fault_planting import Planting, clean, sweep
from planted_faults import FAULTS

import stabilitysweep
from stabilitysweep.config import SweepConfig
from stabilitysweep.data import prepare, split_rows
from stabilitysweep.data.audit import audit

OF_INPUTS = {
    "missing_values",
    "infinite_values",
    "empty_column",
    "beyond_float16",
    "beyond_float32",
    "log1p_domain",
    "unseen_categories",
}
_DTYPES = {"float16": np.float16, "mixed_float16": np.float16, "float64": np.float64}


def inputs_break(planting: Planting, config: SweepConfig) -> bool:
    """Whether the inputs of some trial are not finite in its precision."""
    raw, dataset = planting.raw(), config.datasets[0]
    names = ("imputation", "fill_value", "scaling", "encoding", "unknown_categories")
    for *chosen, precision in product(*map(config.values, names), config.values("precision")):
        preprocessing = config.preprocessing.model_copy(
            update=dict(zip(names, chosen, strict=True))
        )
        prepared = prepare(raw, dataset, preprocessing, "mse")
        for side in (prepared.x_train, prepared.x_validation):
            with np.errstate(over="ignore"):
                cast = side.astype(_DTYPES.get(precision, np.float32))
            if not np.isfinite(cast).all():
                return True
    return False


def cases() -> list[Any]:
    return [
        pytest.param(name, settings, id=f"{name}: {kind}")
        for name, fault in FAULTS.items()
        if fault.code in OF_INPUTS and not fault.classes
        for kind, settings in (("broken", fault.broken), ("repaired", fault.repaired))
        if settings is not None
    ]


@pytest.mark.parametrize(("name", "settings"), cases())
def test_critical_is_what_breaks(name: str, settings: Mapping[str, Any]) -> None:
    planting, config = clean(), sweep(**settings)
    FAULTS[name].plant(planting)
    raw, dataset = planting.raw(), config.datasets[0]
    # The rows are split as a sweep splits them, so as to hold prepared data beside them.
    findings = audit(raw, split_rows(raw, dataset), dataset, config)
    critical = {one.code for one in findings if one.severity == "critical"}
    assert bool(critical & OF_INPUTS) == inputs_break(planting, config)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_remedies_mend(tmp_path: Path, ending: str) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.standard_normal((400, 3)), columns=["a", "b", "y"])
    table.loc[:4, "a"] = np.inf
    table.loc[5:9, "b"] = -999.0
    table["kind"] = random.choice(["x", "z", "?"], 400)
    table["id"] = random.permutation(400)
    path = tmp_path / f"faulty.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    config: dict[str, Any] = {
        "name": "mended",
        "dataset": {"path": str(path), "target": "y"},
        "grid": {"learning_rate": [1.0]},
    }
    for _ in range(6):
        found = stabilitysweep.audit(config)
        wrong = found[(found["severity"] != "note") | (found["code"] == "missing_marks")]
        if wrong.empty:
            break
        for section, settings in yaml.safe_load(wrong["remedy"].iloc[0]).items():
            config.setdefault(section, {}).update(settings)
    assert set(found["code"]) == {"missing_values"}
    marks = {str(mark) for mark in config["dataset"]["missing_values"]}
    assert marks == {"inf", "-inf", "-999", "?"}
    assert config["dataset"]["exclude"] == ["id"]
