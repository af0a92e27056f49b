"""The tiny sweep, run for real once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tiny_sweep import TINY, call, write_config


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
