"""What every test shares: a short heap for the collector of garbage."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def _short_heap() -> None:
    """Let the collector of garbage pass over whatever is there before a module.

    KerasTuner and `FitEngine` collect before every trial: each time through a million objects of
    TensorFlow, Keras and pandas that stay to the end.
    """
    gc.collect()
    gc.freeze()
