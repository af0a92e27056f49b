"""Refined for real: the bracket of linear regression holds the exact limit."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from stabilitysweep import execution, open_result
from stabilitysweep.api import plan
from stabilitysweep.data import PreparedData
from stabilitysweep.execution import Options, carry_out
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.executors.worker import start_engine

LIMIT = 0.248496  # N / lambda of scikit-learn's diabetes data, standardised
CONFIG: dict[str, Any] = {
    "name": "linear",
    "dataset": {"name": "diabetes", "validation_fraction": 0},
    "model": {"depth": 0},
    "training": {"steps": 400, "batch_size": "full"},
    "grid": {"momentum": [0, 0.5], "learning_rate": [0.05, 0.15, 0.45]},
}


one_engine = functools.cache(start_engine)
"""For all rounds, so that they share what it compiled."""


class InProcess:
    """Trains in this process."""

    def __init__(self, workers: int | None, engine: str) -> None:
        self._engine = one_engine(engine)

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        for job in jobs:
            for key, stack in job.trainings:
                yield StackDone(stack, self._engine.run(stack, data[key]))


def test_the_exact_limit_lies_in_the_bracket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LocalExecutor", InProcess)
    carry_out(plan(CONFIG, tmp_path / "linear", Options()))
    table = open_result(tmp_path / "linear").refine(0.02).boundaries
    assert table["momentum"].tolist() == [0, 0.5]
    for row in table.itertuples():
        limit = LIMIT * (1 + row.momentum)
        assert row.safe <= limit <= row.failing <= row.safe * 1.0201
    assert table["steps"].tolist() == [400, 400]
