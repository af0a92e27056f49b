"""Training on two nodes of a real Ray: one is killed in the middle, or the driver is."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from fake_engines import SUSPECT, result, start
from ray_on_loopback import add_node, ray_nodes, start_bane, start_held

import stabilitysweep
from stabilitysweep import api
from stabilitysweep.config import parse_config
from stabilitysweep.execution import Options
from stabilitysweep.executors import Job, RayExecutor
from stabilitysweep.executors.ray_cluster import connected
from stabilitysweep.planning import Work
from stabilitysweep.runner import Progress, Sweep, load_sweep, missing_work
from stabilitysweep.types import Compiled, Outcome, TrialResult

pytestmark = pytest.mark.slow

# Four programs, so that the work does not end with the first stack.
CONTENT = {
    "name": "nodes",
    "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
    "model": {"width": 4},
    "training": {"steps": 5, "batch_size": 8},
    "grid": {"depth": [1, 2, 3, 4], "learning_rate": [0.01, 0.1, 10.0]},
}
TRIALS = 12
SECONDS = 120.0

QUICK = {
    **CONTENT,
    "training": {"steps": 2, "batch_size": 4},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.02, 0.03, 0.04, 0.05, SUSPECT]},
    "seeds": 2,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and one more node, with a CPU each."""
    with ray_nodes(1, 1) as nodes:
        yield nodes


@pytest.fixture
def second(cluster: Any) -> Any:
    """The node that is not the head; another one if a test has killed it."""
    (node,) = cluster.worker_nodes or {add_node(cluster, 1)}
    return node


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return load_sweep(parse_config(QUICK))


@pytest.fixture(scope="module")
def work(sweep: Sweep) -> Work:
    """24 trials, one a stack."""
    return missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="fit", workers=2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table as one worker process on this machine makes it."""
    folder = tmp_path_factory.mktemp("local")
    return by_id(stabilitysweep.run(CONTENT, folder / "result", workers=1).trials)


def by_id(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.sort_values("trial_id").reset_index(drop=True)


def test_a_node_killed_in_the_middle_changes_no_row(
    cluster: Any, second: Any, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    options = Options(executor="ray", ray_address=cluster.address)
    seen: list[int] = []

    def observe(progress: Progress) -> None:
        if not seen:
            cluster.remove_node(second, allow_graceful=False)
        seen.append(progress.done)

    with connected(cluster.address):
        plan = api.plan(CONTENT, tmp_path / "result", options)
        assert plan.workers == 2
        made = api.execute(plan, observe)
    assert 0 < seen[0] < TRIALS
    pd.testing.assert_frame_equal(by_id(made.trials), undisturbed, check_exact=True)
    assert made.provenance["flags"]["executor"] == "ray"


def test_what_a_lost_node_held_is_trained_by_the_others_once(
    cluster: Any, second: Any, work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    results: dict[str, TrialResult] = {}
    with connected(cluster.address):
        finished = RayExecutor(2, f"held:{tmp_path}", None, start_held).train(work.jobs, sweep.data)
        for done in finished:
            assert not {each.trial_id for each in done.results} & set(results)
            results |= {each.trial_id: each for each in done.results}
            if len(results) == 8:
                hold.touch()
                wait_until(lambda: len(list(tmp_path.glob("held-*"))) == 2)
                cluster.remove_node(second, allow_graceful=False)
                hold.unlink()
    started = (tmp_path / "begun").read_text().split()
    assert len(started) > len(set(started)) == work.trials  # one was under way
    assert results == {
        trial.trial_id: result(trial.trial_id, sweep.data[key], "held")
        for job in work.jobs
        for key, stack in job.trainings
        for trial in stack.trials
    }


def test_a_stack_with_which_actors_are_lost_again_and_again_is_given_up_alone(
    cluster: Any, work: Work, sweep: Sweep
) -> None:
    trainings = list(work.jobs[0].trainings)
    few = Job(tuple(trainings[:2] + trainings[-1:]), 1.0)
    with connected(cluster.address):
        done = list(RayExecutor(1, "bane", None, start_bane).train((few,), sweep.data))
    found = {each.trial_id: each for one in done for each in one.results}
    assert len(found) == 3
    bad = trainings[-1].stack.trials[0]
    assert bad.training.learning_rate == SUSPECT
    crashed = found.pop(bad.trial_id)
    assert crashed.outcome is Outcome.CRASHED
    assert "with its Ray actor" in (crashed.message or "")
    assert {each.outcome for each in found.values()} == {Outcome.STABLE}


def test_a_driver_that_is_killed_leaves_nothing_running_and_can_be_run_again(
    cluster: Any, second: Any, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    config = tmp_path / "nodes.yaml"
    config.write_text(yaml.safe_dump(CONTENT))
    words = ["run", "nodes.yaml", "--executor", "ray", "--ray-address", cluster.address, "-q"]
    driver = subprocess.Popen([sys.executable, "-m", "stabilitysweep", *words], cwd=tmp_path)
    record = tmp_path / "results" / "nodes" / "sweep.db"
    wait_until(lambda: stored(record) > 0)
    assert actors()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = stored(record)
    assert kept < TRIALS
    wait_until(lambda: not actors() and not workers())

    options = Options(executor="ray", ray_address=cluster.address)
    with connected(cluster.address):
        plan = api.plan(config, record.parent, options)
        assert plan.work.trials == TRIALS - kept
        made = api.execute(plan)
    pd.testing.assert_frame_equal(by_id(made.trials), undisturbed, check_exact=True)


def test_a_run_that_is_stopped_says_how_to_go_on(cluster: Any, second: Any, tmp_path: Path) -> None:
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump(CONTENT))
    words = ["run", "nodes.yaml", "--executor", "ray", "--ray-address", cluster.address, "-q"]
    driver = subprocess.Popen(
        [sys.executable, "-m", "stabilitysweep", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: stored(tmp_path / "results" / "nodes" / "sweep.db") > 0)
    driver.send_signal(signal.SIGTERM)
    out, err = driver.communicate(timeout=SECONDS)
    assert driver.returncode == 128 + signal.SIGTERM
    assert out == ""
    again = f"run nodes.yaml --executor ray --ray-address {cluster.address} --quiet"
    assert err.splitlines()[-1].endswith(again)
    assert len(err.splitlines()) == 2
    wait_until(lambda: not actors() and not workers())


def test_more_workers_than_cpus_wait_for_nodes(
    cluster: Any, second: Any, work: Work, sweep: Sweep
) -> None:
    with connected(cluster.address):
        done = list(RayExecutor(5, "echo", None, start).train(work.jobs, sweep.data))
    assert sum(len(each.results) for each in done) == work.trials


def stored(record: Path) -> int:
    """How many trials a record holds that another process writes."""
    if not record.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{record}?mode=ro", uri=True)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    return int(count)


def actors() -> list[int]:
    return [each.pid for each in ours() if "ray::Supervisor" in " ".join(each.info["cmdline"])]


def workers() -> list[int]:
    """Worker processes whose Ray actor is gone, or not; none of those of other tests."""
    found = []
    for each in ours():
        if "--multiprocessing-fork" in each.info["cmdline"]:
            with suppress(psutil.NoSuchProcess):  # it has ended since
                found += [each.pid] * ("RAY_JOB_ID" in each.environ())
    return found


def ours() -> list[psutil.Process]:
    """Processes of this user that have a command line: zombies have none."""
    found = psutil.process_iter(["cmdline", "uids"])
    return [p for p in found if p.info["cmdline"] and p.info["uids"].real == os.getuid()]


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.05)
