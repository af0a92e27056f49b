"""The bars of the measurement of false safety: what meets them, and what does not."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.fixture(scope="module")
def measurement() -> Iterator[ModuleType]:
    """The benchmark, which is no module of a package."""
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("false_safety", FOLDER / "false_safety.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))


def record(*costs: float, nonfinite: int = 0, runs: int = 20) -> dict[str, Any]:
    """A combination whose picks cost so much, of each so many runs non-finite."""
    failure = {"outcome": "nonfinite", "onset_step": 9, "cause": None}
    long = {"runs": runs, "stalled": 0, "failures": [failure] * nonfinite}
    named = {"dataset": "a", "architecture": "relu", "optimizer": "sgd", "precision": "float32"}
    picks = [{"rate": 0.1, "cost": cost, "cell": {}, "long": long} for cost in costs]
    return {**named, "picks": {"2.0 loss": picks, "2.0 slices": picks}}


@pytest.mark.parametrize(
    ("records", "met"),
    [
        ([record(0.01, 0.02, 0.06)], (True, True)),
        ([record(0.01, 0.06, 0.07)], (True, False)),
        ([record(0.01, 0.02, 0.03, nonfinite=1)], (False, True)),
        ([record(*[0.01] * 3, nonfinite=1, runs=100)], (True, True)),
        ([record()], (False, False)),  # nothing was picked, and so nothing failed
        ([], (False, False)),
        ([record(*[0.01] * 3), record()], (True, False)),
        ([record(*[0.01] * 3), record(*[0.02] * 3), record()], (True, True)),
        ([record(0.01)], (True, False)),  # two picks are lacking
    ],
)
def test_what_was_not_picked_counts_against_the_bars(
    measurement: ModuleType, records: list[dict[str, Any]], met: tuple[bool, bool]
) -> None:
    sums = measurement._sums(records, measurement.DEFAULT, "loss")
    assert measurement.bars(sums) == met


def test_the_page_says_so(measurement: ModuleType) -> None:
    text, met = measurement.page([record(), record(0.01)])
    assert not met
    assert "become non-finite (met), and the median cost is at most 5%\n(missed)" in text
    assert f"{math.inf:.1%}" not in text  # only costs of picks there are are shown
