"""Runs and workers that are killed, a disk that is full: the result is the uninterrupted one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from test_cli_interrupt import start, stored, until
from tiny_sweep import TINY, call, same_table, write_config

from stabilitysweep.config import load_config
from stabilitysweep.execution import Options, plan

pytestmark = pytest.mark.slow  # test_cli_interrupt.py has a kill that is quicker

COMMAND = ("run", "tiny.yaml", "--workers", "1")
SEED = 20_240


def workers_of(run: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(run.pid).children()
    return [child for child in children if "--multiprocessing-fork" in child.cmdline()]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def kill(run: subprocess.Popen[str]) -> None:
    """Kill the driver alone, and see its workers end by themselves."""
    family = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate(timeout=30)
    assert all_gone(family)


def test_a_run_killed_when_it_starts_and_when_it_writes_files_comes_to_the_same(
    tmp_path: Path, result: Path
) -> None:
    write_config(tmp_path, TINY)
    folder = tmp_path / "results" / "tiny"

    run = start(tmp_path)
    until((folder / "sweep.db").exists)
    kill(run)  # before its first transaction, or in it

    run = start(tmp_path)
    until(lambda: stored(tmp_path) > 0)
    os.kill(run.pid, signal.SIGSTOP)  # so that it is at it however long the other takes
    other = call(*COMMAND, cwd=tmp_path, code=2)
    assert "another run is writing to this result" in other.stderr
    kill(run)
    before = stored(tmp_path)
    rest = plan(load_config(tmp_path / "tiny.yaml"), folder, Options())
    assert (rest.stored, rest.work.trials) == (before, 32 - before)

    run = start(tmp_path)  # the lock has gone with its owner
    until((folder / "figures").exists)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=30)
    assert stored(tmp_path) == 32 > before

    done = call(*COMMAND, cwd=tmp_path)
    assert "32 of 32" in done.stdout
    same_table(folder, result)
    assert (folder / "trials.csv").read_bytes() == (result / "trials.csv").read_bytes()
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {path.name for path in (result / "figures").iterdir()}
    assert not [path for path in folder.rglob("*") if path.suffix == ".tmp"]


def test_workers_that_are_killed_at_any_moment_cost_nothing(tmp_path: Path, result: Path) -> None:
    write_config(tmp_path, TINY)
    chance = random.Random(SEED)
    run = start(tmp_path)
    killed: set[int] = set()
    while run.poll() is None and len(killed) < 2:
        until(lambda: run.poll() is not None or bool(workers_of(run)))
        time.sleep(chance.uniform(0.0, 6.0))
        for worker in workers_of(run) if run.poll() is None else []:
            worker.kill()
            killed.add(worker.pid)
            until(lambda gone=worker: not gone.is_running())  # type: ignore[misc]
    _, err = run.communicate(timeout=300)
    assert (run.returncode, err) == (0, "")
    assert killed
    same_table(tmp_path / "results" / "tiny", result)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB; `grow` makes it larger."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_a_run_which_goes_on_when_there_is_space(
    small_disk: Path, tmp_path: Path, result: Path
) -> None:
    write_config(tmp_path, TINY)
    (small_disk / "other").write_bytes(bytes(20_000))
    words = (*COMMAND, "--out", "disk/result", "--quiet")
    stopped = call(*words, cwd=tmp_path, code=2)
    assert stopped.stdout == ""
    (line,) = stopped.stderr.splitlines()
    assert line.startswith("error: disk/result/sweep.db: the disk is full. Free some space and run")

    shown = call("show", "disk/result", "--json", cwd=tmp_path)
    assert '"trials"' in shown.stdout
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert call(*words, cwd=tmp_path).stderr == ""
    same_table(small_disk / "result", result)
