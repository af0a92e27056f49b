"""Every config of the repository, as `check` sees it: data loaded, grid laid out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trained_configs import CONFIGS

from stabilitysweep.cli import main
from stabilitysweep.executors import surveying

PATHS = sorted(CONFIGS.glob("*.yaml"))
BUILT = [path for path in PATHS if "build:" in path.read_text(encoding="utf-8")]
WHOLE = "getting_started"
"""The config with a model of its own whose every cell is built, in a process apart."""


def checked(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Check a config from an empty folder, and see that it stays empty."""
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr()
    # Whether programs are worth being tried out depends on how fast the machine is.
    assert re.fullmatch(r"(trying \d+ programs? out, about [^\n]+\n)*", printed.err)
    assert path.stem in printed.out
    assert "to train" in printed.out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path in BUILT else ())
        for path in PATHS
        if path not in BUILT or path.stem == WHOLE
    ],
)
def test_every_config_checks_from_any_folder(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    checked(path, tmp_path, capsys)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem == WHOLE else pytest.mark.slow)
        for path in BUILT
    ],
)
def test_so_does_every_one_with_a_model_of_its_own_over_two_learning_rates(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def here(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(surveying, "each_apart", here)
    text, count = re.subn(r"num: \d+", "num: 2", path.read_text(encoding="utf-8"))
    assert count == 1
    home, empty = tmp_path / "configs", tmp_path / "empty"
    home.mkdir()
    empty.mkdir()
    (home / "data").symlink_to(CONFIGS / "data")
    (home / path.name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(empty)
    checked(home / path.name, empty, capsys)
