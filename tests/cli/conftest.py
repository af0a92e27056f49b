"""The tiny sweep, run for real once, and the command line called in this process."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from inline_executor import InlineExecutor
from tiny_sweep import TINY, Inside, call, write_config

from stabilitysweep import execution
from stabilitysweep.cli import main
from stabilitysweep.result import pictures


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


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Calls the command line in this process: what is tested is what it says and does."""

    def called(
        *words: str | Path, cwd: Path, code: int = 0, trained: bool = True
    ) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.delenv("COLUMNS", raising=False)
            patch.setattr("sys.argv", ["stabilitysweep/__main__.py"])  # else that of the tests
            if not trained:
                patch.setattr(execution, "LocalExecutor", lambda workers, engine: InlineExecutor())
                patch.setattr(pictures, "ALWAYS_DRAWN", ())
            returned = main([*map(str, words)])
        out, err = capsys.readouterr()
        assert returned == code, (returned, out, err)
        return subprocess.CompletedProcess([*map(str, words)], returned, out, err)

    return called
