"""Every config of the repository, as `check` sees it: data loaded, grid laid out."""

from __future__ import annotations

from pathlib import Path

import pytest
from trained_configs import CONFIGS

from stabilitysweep.cli import main


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_checks_from_any_folder(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert path.stem in printed.out
    assert "to train" in printed.out
    assert list(tmp_path.iterdir()) == []
