"""What every executor owes the runner, whatever becomes of its workers.

The same laws for worker processes on this machine and for workers on Ray.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_engines import SUSPECT, result, start
from ray_on_loopback import ray_nodes

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors import (
    Executor,
    Job,
    LocalExecutor,
    RayExecutor,
    StackDone,
    Training,
)
from stabilitysweep.executors.process import WorkerProcess
from stabilitysweep.executors.ray_cluster import connected
from stabilitysweep.planning import Work
from stabilitysweep.runner import Sweep, load_sweep, missing_work
from stabilitysweep.types import Compiled, Outcome, TrialResult

Factory = Callable[[str], Executor]

NAMES = ["one worker", "two workers", "two workers on Ray"]

CONFIG = {
    "name": "executor",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 2, "batch_size": 4},
    "grid": {
        "scaling": ["none", "standard"],
        "depth": [1, 2],
        "learning_rate": [0.01, 0.1, SUSPECT],
    },
    "seeds": 2,
}


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return load_sweep(parse_config(CONFIG))


@pytest.fixture(scope="module")
def work(sweep: Sweep) -> Work:
    """24 trials on two sets of data, one a stack, as the fit engine has them."""
    return missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="fit", workers=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray of two CPUs; this process stays connected to it."""
    with ray_nodes(2) as nodes, connected(nodes.address):
        yield nodes.address


def made(request: pytest.FixtureRequest, kind: str, workers: int) -> Factory:
    if kind == "local":
        return lambda engine: LocalExecutor(workers, engine, start)
    address = request.getfixturevalue("cluster")
    return lambda engine: RayExecutor(workers, engine, address, start)


@pytest.fixture(params=[("local", 1), ("local", 2), ("ray", 2)], ids=NAMES)
def make(request: pytest.FixtureRequest) -> Factory:
    return made(request, *request.param)


@pytest.fixture(params=["local", "ray"])
def make_one(request: pytest.FixtureRequest) -> Factory:
    return made(request, request.param, 1)


def train(executor: Executor, work: Work, sweep: Sweep) -> dict[str, TrialResult]:
    """Every result by its trial's id; each must come once, in its stack's order."""
    return by_trial(list(executor.train(work.jobs, sweep.data)))


def by_trial(finished: Sequence[StackDone]) -> dict[str, TrialResult]:
    results: dict[str, TrialResult] = {}
    for done in finished:
        assert [r.trial_id for r in done.results] == [t.trial_id for t in done.stack.trials]
        for found in done.results:
            assert found.trial_id not in results
            results[found.trial_id] = found
    return results


def expected(work: Work, sweep: Sweep, engine: str) -> dict[str, TrialResult]:
    return {
        trial.trial_id: result(trial.trial_id, sweep.data[key], engine)
        for job in work.jobs
        for key, stack in job.trainings
        for trial in stack.trials
    }


def suspects(work: Work) -> set[str]:
    return {
        trial.trial_id
        for job in work.jobs
        for stack in job.stacks
        for trial in stack.trials
        if trial.training.learning_rate == SUSPECT
    }


def test_every_trial_comes_back_once_from_its_own_data(
    make: Factory, work: Work, sweep: Sweep
) -> None:
    assert train(make("echo"), work, sweep) == expected(work, sweep, "echo")


def test_what_a_worker_prints_is_in_a_file_without_a_name(
    make_one: Factory, work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    """So nothing of it stays behind, however workers and those who keep them end."""
    told = tmp_path / "told"
    results = train(make_one(f"looks at its output:{told}"), work, sweep)
    assert told.read_text().splitlines() == ["0 True"] * len(results)


def test_data_that_a_worker_let_go_of_is_given_again(
    work: Work, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stabilitysweep.executors.process._KEPT_BYTES", 0)
    # One that lacked its data would die of it, and another take its place.
    monkeypatch.setattr(WorkerProcess, "bury", lambda *_: pytest.fail("a worker died"))
    job = work.jobs[0]
    by_key = {training.data: training for training in job.trainings}
    assert len(by_key) > 1
    turns = Job((*by_key.values(), *by_key.values(), *by_key.values()), 1.0)
    done = list(LocalExecutor(1, "echo", start).train((turns,), sweep.data))
    for training, stack in zip(turns.trainings, done, strict=True):
        data = sweep.data[training.data]
        assert stack.results == [
            result(trial.trial_id, data, "echo") for trial in training.stack.trials
        ]


def test_without_jobs_no_worker_is_started(make_one: Factory, sweep: Sweep) -> None:
    began = time.monotonic()
    assert list(make_one("cannot start").train([], sweep.data)) == []
    assert time.monotonic() - began < 0.5


def test_a_stack_that_raises_is_crashed_and_says_why(
    make_one: Factory, work: Work, sweep: Sweep
) -> None:
    results = train(make_one("raises"), work, sweep)
    assert set(results) == set(expected(work, sweep, "raises"))
    bad = {name for name, found in results.items() if found.outcome is Outcome.CRASHED}
    assert bad == suspects(work)
    assert {results[name].message for name in bad} == {"ValueError: no such layer"}


def test_a_worker_that_dies_loses_nothing(
    make: Factory, work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    assert train(make(f"dies once:{marker}"), work, sweep) == expected(work, sweep, "dies once")
    assert marker.exists()


def test_only_the_stack_at_which_workers_die_is_given_up(
    make_one: Factory, work: Work, sweep: Sweep
) -> None:
    few = Work((_part(work, 2),), 1, 2, 0.0)  # one trial that kills, one that does not
    for engine, reason in (
        ("dies", "by SIGKILL (often: out of memory), 2 times"),
        ("says and dies", "with exit code 7; its last words: my last words, 2 times"),
    ):
        results = train(make_one(engine), few, sweep)
        outcomes = {name: found.outcome for name, found in results.items()}
        (bad,) = suspects(few)
        assert outcomes.pop(bad) is Outcome.CRASHED
        assert set(outcomes.values()) == {Outcome.STABLE}
        assert results[bad].message == f"the worker process was ended {reason}"


def test_workers_that_cannot_start_are_reported_not_tried_for_ever(
    make_one: Factory, work: Work, sweep: Sweep
) -> None:
    with pytest.raises(StabilitySweepError, match="no tensorflow here") as caught:
        list(make_one("cannot start").train(work.jobs, sweep.data))
    assert "Check that" in str(caught.value)


def test_closing_early_stops_the_work_under_way(
    make_one: Factory, work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    busy = tmp_path / "pid"
    finished = make_one(f"sleeps:{busy}").train((_part(work, 2),), sweep.data)
    next(finished)  # the harmless trial; the worker goes on to the one that sleeps
    pid = int(_wait_for(busy))
    assert _runs(pid)
    finished.close()
    for _ in range(100):  # a process on another machine ends a moment later
        if not _runs(pid):
            return
        time.sleep(0.05)
    raise AssertionError("it trains on")


@pytest.mark.parametrize("kind", ["local", "ray"])
def test_what_both_sides_say_at_once_may_exceed_the_pipe(
    request: pytest.FixtureRequest, kind: str, work: Work
) -> None:
    """Neither side may wait for the other to listen: 4 MB each way, with data of its own."""
    some = work.jobs[0]
    wide = {str(number): _wide_data(rows=100_000) for number in range(4)}
    jobs = tuple(Job((Training(key, some.stacks[0]),), 1.0) for key in wide)
    executor: Executor = LocalExecutor(1, "answers a lot", _start_talker)
    if kind == "ray":
        executor = RayExecutor(
            1, "answers a lot", request.getfixturevalue("cluster"), _start_talker
        )
    done = list(executor.train(jobs, wide))
    assert len(done) == len(jobs)


def _start_talker(name: str) -> Talker:
    return Talker()


class Talker:
    name = "talker"

    def run(self, stack: object, data: PreparedData) -> list[TrialResult]:
        return [TrialResult("0", Outcome.CRASHED, self.name, message="x" * 4_000_000)]


def _wide_data(rows: int) -> PreparedData:
    return PreparedData(
        x_train=np.ones((rows, 5)),
        y_train=np.ones((rows, 1)),
        x_validation=np.ones((0, 5)),
        y_validation=np.ones((0, 1)),
        outputs=1,
        feature_names=tuple("abcde"),
        label="wide",
    )


def _part(work: Work, stacks: int) -> Job:
    """One job of a few harmless stacks, and then one at the suspect learning rate."""
    job = work.jobs[0]
    harmless, suspect = [], []
    for training in job.trainings:
        rate = training.stack.trials[0].training.learning_rate
        (suspect if rate == SUSPECT else harmless).append(training)
    return Job((*harmless[: stacks - 1], suspect[0]), job.cost)


def _wait_for(path: Path) -> str:
    for _ in range(200):
        with contextlib.suppress(OSError):
            if text := path.read_text():
                return text
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
