"""A tiny sweep, a way to call the command line as a user does, and what is the same result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from stabilitysweep import open_result

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-m", "stabilitysweep"]

Inside = Callable[..., subprocess.CompletedProcess[str]]
"""`call` in this process; with `trained=False` the results of `run` are made up."""

# Four programs, so that trials are stored a few at a time; 1e30 fails at once.
TINY: dict[str, Any] = {
    "name": "tiny",
    "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
    "model": {"width": 4},
    "training": {"steps": 10, "batch_size": 8, "metrics": ["mae"]},
    "grid": {
        "activation": ["relu", "tanh"],
        "depth": [1, 2],
        "learning_rate": [0.001, 0.01, 0.1, 1e30],
    },
    "seeds": 2,
}


def environment() -> dict[str, str]:
    """The environment of a user: none of what pytest or a terminal adds."""
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def call(
    *words: str | Path, cwd: Path, code: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call the command line in a process of its own, in a folder outside of the repository."""
    done = subprocess.run(
        [*PYTHON, *map(str, words)],
        cwd=cwd,
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def write_config(folder: Path, content: Mapping[str, Any], name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path


def same_table(one: Path, other: Path) -> None:
    """Both results hold the same trials, to the bit, traces included."""
    left, right = open_result(one), open_result(other)
    pd.testing.assert_frame_equal(left.trials, right.trials, check_exact=True)
    for trial_id in left.trials["trial_id"]:
        mine, yours = left.trial(trial_id).result.trace, right.trial(trial_id).result.trace
        assert mine is not None
        assert yours is not None
        for name in ("steps", "loss", "grad_norm", "weight_norm", "max_activation", "loss_scale"):
            assert getattr(mine, name).tobytes() == getattr(yours, name).tobytes()
