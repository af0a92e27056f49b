"""Runs that are stopped: nothing is lost, nobody is left behind, and it goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tiny_sweep import PYTHON, TINY, call, environment, same_table, write_config

COMMAND = ("run", "tiny.yaml", "--workers", "1")


def start(cwd: Path) -> subprocess.Popen[str]:
    """Start a run in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [*PYTHON, *COMMAND],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stored(cwd: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{cwd}/results/tiny/sweep.db?mode=ro", uri=True)
        try:
            (number,) = connection.execute("SELECT count(*) FROM trials").fetchone()
            return int(number)
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stop_with(number: signal.Signals, cwd: Path, more_than: int) -> tuple[int, str, str]:
    """Start a run, stop it once it has stored something more, and see that all are gone."""
    run = start(cwd)
    try:
        until(lambda: stored(cwd) > more_than or run.poll() is not None)
        assert run.poll() is None, run.communicate()
        workers = psutil.Process(run.pid).children(recursive=True)
        assert len([p for p in workers if "--multiprocessing-fork" in p.cmdline()]) == 1
        if number is signal.SIGINT:
            os.killpg(run.pid, number)  # Ctrl-C reaches the whole group
        else:
            os.kill(run.pid, number)
        out, err = run.communicate(timeout=30)
        _, alive = psutil.wait_procs(workers, timeout=3)
        assert alive == []
        return run.returncode, out, err
    finally:
        if run.poll() is None:
            run.kill()


def test_a_run_that_is_stopped_and_killed_comes_to_the_same_bits(
    tmp_path: Path, result: Path
) -> None:
    write_config(tmp_path, TINY)
    code, _, err = stop_with(signal.SIGINT, tmp_path, 0)
    first = stored(tmp_path)
    assert 0 < first < 32
    assert code == 130
    assert err.splitlines() == [
        f"interrupted: {first} of 32 trials are stored in results/tiny. To go on with the rest:",
        "  python -m stabilitysweep run tiny.yaml --workers 1",
    ]

    code, _, err = stop_with(signal.SIGKILL, tmp_path, first)
    second = stored(tmp_path)
    assert first < second < 32
    assert (code, err) == (-signal.SIGKILL, "")

    done = call(*COMMAND, cwd=tmp_path)
    assert f"{second} of 32" in done.stdout
    assert done.stderr == ""
    same_table(tmp_path / "results" / "tiny", result)


@pytest.mark.parametrize(
    ("number", "code"),
    [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow), (signal.SIGINT, 130)],
)
def test_a_run_that_is_stopped_while_its_workers_start_is_quiet_about_it(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    write_config(tmp_path, TINY)
    run = start(tmp_path)
    driver = psutil.Process(run.pid)
    until(lambda: len(driver.children()) >= 2)  # a worker, and Python's own tracker
    workers = driver.children()
    os.killpg(run.pid, number) if number is signal.SIGINT else os.kill(run.pid, number)
    _, err = run.communicate(timeout=30)
    assert run.returncode == code
    assert err.startswith("interrupted: 0 of 32 trials are stored in results/tiny.")
    assert len(err.splitlines()) == 2
    assert psutil.wait_procs(workers, timeout=3)[1] == []
