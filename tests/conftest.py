"""What every test shares: a cache of its own, and a short heap for the collector of garbage."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile

import hypothesis
import pytest

# The same examples each time: a law that fails for one in a million fails where it was changed.
hypothesis.settings.register_profile("seeded", derandomize=True)
hypothesis.settings.load_profile("seeded")

# What earlier runs took is remembered in the user's cache, which is none of the tests' business.
_CACHE = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="stabilitysweep-tests-")


def pytest_configure(config: pytest.Config) -> None:
    """Give modules to the workers in the order of their folders.

    pytest-xdist would begin with those of many tests. Many tests are short ones: the few that
    train, each in a module of its own, would come last, and one worker wait for the other.
    """
    config.option.loadscopereorder = False


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _short_heap() -> None:
    """Let the collector of garbage pass over whatever is there before a module.

    KerasTuner and `FitEngine` collect before every trial: each time through a million objects of
    TensorFlow, Keras and pandas that stay to the end.
    """
    gc.collect()
    gc.freeze()
