"""A boundary that moves by a known number of decades: linear regression, its limit N / lambda."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from trained_configs import EngineExecutor

import stabilitysweep
from stabilitysweep import Comparison, execution
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.result import pictures

FACTOR = 10.0
PER_DECADE = 4


def inputs() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(size=(40, 3)) * [3, 2, 1]


def limit(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    a = np.column_stack([x, np.ones(len(x))])
    return len(x) / float(np.linalg.eigvalsh(a.T @ a)[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a data set and the same with its inputs multiplied, trained here for real."""
    folder = tmp_path_factory.mktemp("shift")
    x = inputs()
    y = x @ [1.0, -2.0, 3.0]
    for name, factor in (("plain", 1.0), ("multiplied", FACTOR)):
        rows = np.column_stack([factor * x, y])
        np.savetxt(folder / f"{name}.csv", rows, "%.17g", ",", header="a,b,c,y", comments="")
    config = {
        "name": "shift",
        "dataset": [
            {"path": str(folder / f"{name}.csv"), "target": "y", "label": name}
            | {"validation_fraction": 0}
            for name in ("plain", "multiplied")
        ],
        "preprocessing": {"scaling": "none"},
        "model": {"depth": 0},
        "training": {"steps": 200, "batch_size": "full"},
        "grid": {
            "learning_rate": {"from": 1e-5, "to": 10, "num": 6 * PER_DECADE + 1, "scale": "log"}
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            execution, "LocalExecutor", lambda workers, engine: EngineExecutor(StackedEngine())
        )
        patch.setattr(pictures, "ALWAYS_DRAWN", ())
        return stabilitysweep.run(config, out=folder / "result", workers=1).folder


def test_a_rescaled_data_set_shifts_the_boundary_by_the_known_number_of_decades(
    folder: Path,
) -> None:
    found = stabilitysweep.compare(folder)
    (shift,) = found.shifts
    x = inputs()
    exact = math.log10(limit(FACTOR * x) / limit(x))
    assert exact == pytest.approx(-2 * math.log10(FACTOR), abs=0.05)
    assert shift.decades == pytest.approx(exact, abs=1 / PER_DECADE)
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low <= exact <= shift.high
    first = found.most_fragile
    assert first is not None
    assert first.name == "multiplied"
    assert found.safe_slices()["limited_by"].tolist() == ["multiplied"]


def test_a_result_overlaps_wholly_with_its_copy(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    found = stabilitysweep.compare(folder, tmp_path / "copy")
    assert isinstance(found, Comparison)
    assert [each.overlap for each in found.overlaps] == [1.0]
    assert [(each.decades, each.deviation) for each in found.shifts] == [(0.0, 0.0)]
    assert found.differences == ()
