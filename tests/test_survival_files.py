"""Files are whole or not there: figures and texts on a full disk, what a killed run leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from stabilitysweep import api, execution
from stabilitysweep.cli import main
from stabilitysweep.errors import ResultError, UserError
from stabilitysweep.execution import Options
from stabilitysweep.executors import local, memory
from stabilitysweep.figures import save
from stabilitysweep.folder import DATABASE, in_words, is_begun, locked, write_text
from stabilitysweep.store import SQLiteStore


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


def test_more_workers_than_memory_allows_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "many.yaml"
    config.write_text(
        "dataset: {name: make_regression, options: {n_samples: 40, n_features: 3}}\n"
        "training: {steps: 5}\n"
        "grid: {depth: [1, 2, 3, 4], learning_rate: [0.1]}\n"
    )
    room = memory.SHARED_BYTES + 2 * memory.WORKER_BYTES
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    out = tmp_path / "out"
    assert main(["run", str(config), "--workers", "4", "--out", str(out)]) == 2
    assert capsys.readouterr() == (
        "",
        "error: workers: expected as many as fit into memory, got 4: each takes at least 300 MB, "
        "and 1,000 MB are available. Give --workers 2 or less, or leave it away.\n",
    )
    assert not out.exists()
    assert main(["check", str(config)]) == 0  # as many as fit, since nobody says how many


def test_no_more_workers_train_than_their_stacks_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "name": "large",
        "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
        "model": {"width": 1024},
        "training": {"steps": 5},
        "grid": {"depth": [3, 4], "learning_rate": {"from": 0.01, "to": 1, "num": 40}},
    }
    asked: list[int] = []

    def decided(
        work: object, chosen: object, *others: object, workers: int, **named: object
    ) -> Any:
        asked.append(workers)
        return chosen

    for module in (local, execution):
        monkeypatch.setattr(module, "available_cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(execution.rehearsal, "decided", decided)
    need = memory.WORKER_BYTES + 1.25 * api.plan(content, tmp_path / "out").work.stack_bytes
    for fitting in (1, 2):
        room = memory.SHARED_BYTES + int(fitting * need)
        monkeypatch.setattr(memory, "available_bytes", lambda room=room: room)
        asked.clear()
        assert api.plan(content, tmp_path / "out").workers == fitting
        assert asked == [fitting]  # what is tried out needs as much
    asked.clear()
    with pytest.raises(UserError, match=r"expected as many as fit into memory, got 3"):
        api.plan(content, tmp_path / "out", Options(workers=3))
    assert asked == []


def test_what_a_killed_run_stored_is_found_in_the_log_beside_its_record(tmp_path: Path) -> None:
    """Before SQLite takes over its log for the first time, the record itself has but one page."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    with SQLiteStore(whole / DATABASE) as store:
        store.record_config({"name": "x"}, {})
        assert (whole / DATABASE).stat().st_size == 4096
        for name in (DATABASE, f"{DATABASE}-wal"):  # as a kill leaves them
            shutil.copy(whole / name, cut / name)
    assert is_begun(cut)
    (cut / f"{DATABASE}-wal").unlink()
    assert not is_begun(cut)
    (cut / f"{DATABASE}-wal").write_bytes(b"cut off in its first page")
    assert not is_begun(cut)
