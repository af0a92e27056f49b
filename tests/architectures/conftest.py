"""TensorFlow with one thread, warnings as errors, and one engine of each kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read when TensorFlow is imported

import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.verified import VerifiedEngine

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make a warning in any test of this folder an error."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("error"))


@pytest.fixture
def stacked() -> VerifiedEngine:
    """An engine that has compared nothing yet."""
    return VerifiedEngine()


@pytest.fixture(scope="session")
def fit() -> FitEngine:
    """The yardstick."""
    return FitEngine()
