"""A tiny sweep, run for real once, and a way to call the command line as a user does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-m", "stabilitysweep"]

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

Call = Callable[..., "subprocess.CompletedProcess[str]"]


def environment() -> dict[str, str]:
    """The environment of a user: none of what pytest or a terminal adds."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "PYTEST_")}
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


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with tiny.yaml and its result in results/tiny, and what the run printed."""
    folder = tmp_path_factory.mktemp("base")
    write_config(folder, TINY)
    return folder, call("run", "tiny.yaml", "--workers", "1", cwd=folder)


@pytest.fixture(scope="session")
def result(base: tuple[Path, object]) -> Path:
    """The finished result; not to be written to."""
    return base[0] / "results" / "tiny"


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    """A folder of its own with tiny.yaml and a copy of the finished result."""
    shutil.copytree(result, tmp_path / "results" / "tiny")
    write_config(tmp_path, TINY)
    return tmp_path
