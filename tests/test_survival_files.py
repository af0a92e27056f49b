"""Files are whole or not there: figures and texts on a full disk, what a killed run leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from stabilitysweep.errors import ResultError
from stabilitysweep.figures import save
from stabilitysweep.folder import in_words, locked, write_text


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is found to be full when a file is to be brought to it."""

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stabilitysweep.folder.os.fsync", refuse)


@pytest.mark.usefixtures("full")
def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    for name in ("map.png", "map.svg"):
        (tmp_path / name).write_text("old")
    with pytest.raises(OSError, match="No space left"):
        save(Figure(), tmp_path, "map")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "map.png": "old",
        "map.svg": "old",
    }


@pytest.mark.usefixtures("full")
def test_a_text_that_cannot_be_written_leaves_the_old_one_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("old")
    with pytest.raises(ResultError) as caught:
        write_text(path, "new")
    assert str(caught.value) == (
        f"{path}: expected a place that can be written, got: No space left on device. "
        "Free some space and try again; what is stored is kept."
    )
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(path.name, "old")]


def test_only_a_full_disk_asks_for_space() -> None:
    assert in_words(PermissionError(13, "Permission denied")) == "Permission denied"
    assert in_words(OSError("no number")) == "no number"
    assert "Free some space" in in_words(OSError(122, "Disk quota exceeded"))


def test_what_a_killed_run_had_begun_to_write_is_cleared_away(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    gone = int(done.stdout)
    (tmp_path / "figures").mkdir()
    left = [tmp_path / f".trials.csv.{gone}.tmp", tmp_path / "figures" / f".map.png.{gone}.tmp"]
    kept = [
        tmp_path / f".trials.csv.{os.getpid()}.tmp",  # of one that is at work
        tmp_path / "trials.csv",
        tmp_path / f"mine.{gone}.tmp",
        tmp_path / ".mine.tmp",
    ]
    for path in (*left, *kept):
        path.write_text("")
    with locked(tmp_path):
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in kept)
