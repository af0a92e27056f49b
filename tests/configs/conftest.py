"""One engine for all tests, so that they share what it compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from trained_configs import RunConfig, run_smaller

from stabilitysweep.executors.worker import start_engine
from stabilitysweep.result import Result

# While tests are collected: TensorFlow takes its number of threads before its first operation only.
ENGINE = start_engine("stacked")


@pytest.fixture(scope="session")
def run_by_fit(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """The same by `model.fit`, one trial after another."""
    engine = start_engine("fit")

    def run(config: Any, seeds: int = 1, **axes: Sequence[Any]) -> Result:
        return run_smaller(engine, tmp_path_factory.mktemp("fit"), config, seeds, **axes)

    return run


@pytest.fixture(scope="session")
def run_config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Runs a config in a folder of its own; see `run_smaller`."""

    def run(config: Any, seeds: int = 1, **axes: Sequence[Any]) -> Result:
        return run_smaller(ENGINE, tmp_path_factory.mktemp("result"), config, seeds, **axes)

    return run
