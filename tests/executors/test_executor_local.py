"""Worker processes: what their deaths cost, when they are renewed, how many there may be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

import pytest
from fake_engines import SUSPECT, files, start

from stabilitysweep.config import parse_config
from stabilitysweep.errors import UserError
from stabilitysweep.executors import Job, LocalExecutor, local, log, memory, process
from stabilitysweep.executors.process import WorkerProcess
from stabilitysweep.executors.schedule import Task
from stabilitysweep.executors.worker import Answer, WorkerSettings
from stabilitysweep.planning import Work
from stabilitysweep.runner import Sweep, load_sweep, missing_work
from stabilitysweep.types import Compiled, Outcome, TrialResult


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    return load_sweep(
        parse_config(
            {
                "name": "local",
                "dataset": {
                    "name": "make_regression",
                    "options": {"n_samples": 20, "n_features": 3},
                },
                "training": {"steps": 2, "batch_size": 4},
                "grid": {"depth": [1, 2, 3, 4], "learning_rate": [0.01, 0.1, 0.2, SUSPECT]},
                "seeds": 2,
            }
        )
    )


@pytest.fixture(scope="module")
def work(sweep: Sweep) -> Work:
    """Four stacks of eight trials, a program each; two trials of each kill, if any does."""
    found = missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="stacked", workers=2)
    assert [len(stack.trials) for job in found.jobs for stack in job.stacks] == [8] * 4
    return found


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """Every worker process that was started."""
    found: list[WorkerProcess] = []
    original = WorkerProcess.__init__

    def noted(self: WorkerProcess, settings: object) -> None:
        original(self, settings)  # type: ignore[arg-type]
        found.append(self)

    monkeypatch.setattr(WorkerProcess, "__init__", noted)
    return found


def train(workers: int, engine: str, work: Work, sweep: Sweep) -> list[TrialResult]:
    done = LocalExecutor(workers, engine, start).train(work.jobs, sweep.data)
    return [result for stack in done for result in stack.results]


def crashed(results: Sequence[TrialResult]) -> dict[str, str | None]:
    bad = (found for found in results if found.outcome is Outcome.CRASHED)
    return {found.trial_id: found.message for found in bad}


def suspects(sweep: Sweep, depths: Sequence[int]) -> set[str]:
    return {
        trial.trial_id
        for trial in sweep.grid
        if trial.training.learning_rate == SUSPECT and trial.model.depth in depths
    }


def test_of_a_stack_just_the_trials_that_kill_are_given_up(
    work: Work, sweep: Sweep, started: list[WorkerProcess]
) -> None:
    one = Work(work.jobs[:1], 1, 8, 0.0)
    depth = one.jobs[0].stacks[0].program.model.depth
    results = train(1, "dies", one, sweep)
    assert len({found.trial_id for found in results}) == len(results) == 8
    lost = crashed(results)
    assert set(lost) == suspects(sweep, [depth])
    assert set(lost.values()) == {
        "the worker process was ended by SIGKILL (often: out of memory), 2 times"
    }
    assert len(started) <= 1 + 2 * (3 + 3)  # log2 of eight, and three, for each of the two


def test_workers_are_renewed_after_so_many_programs_and_none_is_compiled_twice(
    work: Work, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROGRAMS", 2)
    # Each job's stack three times over: what is renewed within a job compiles anew.
    jobs = tuple(Job((*job.trainings,) * 3, job.cost) for job in work.jobs)
    told = tmp_path / "told"
    done = LocalExecutor(1, f"tells:{told}", start).train(jobs, sweep.data)
    assert len(list(done)) == 12
    lines = told.read_text().splitlines()
    compiled = [line for line, _ in itertools.groupby(lines)]
    assert len(compiled) == len(set(compiled)) == 4
    assert len({line.split()[1] for line in compiled}) == 4  # each program in one worker alone
    processes = [process for process, _ in itertools.groupby(line.split()[0] for line in compiled)]
    assert len(processes) == len(set(processes)) == 2


def test_a_worker_compiles_a_program_once_however_many_share_the_work(
    work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    jobs = tuple(Job((*job.trainings,) * 5, job.cost) for job in work.jobs)
    told = tmp_path / "told"
    assert len(list(LocalExecutor(2, f"tells:{told}", start).train(jobs, sweep.data))) == 20
    by_process: dict[str, list[str]] = {}
    for pid, depth in (line.split() for line in told.read_text().splitlines()):
        by_process.setdefault(pid, []).append(depth)
    for depths in by_process.values():
        begun = [depth for depth, _ in itertools.groupby(depths)]
        assert len(begun) == len(set(begun))


def test_a_worker_that_is_killed_while_it_starts_is_started_again(
    work: Work, sweep: Sweep, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    results = train(1, f"killed while it starts:{starts}", work, sweep)
    assert len(results) == 32
    assert crashed(results) == {}
    assert len(starts.read_text()) == 5


def test_the_system_s_word_holds_for_all_that_were_at_work_then(
    work: Work, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 5
    monkeypatch.setattr(memory, "kills", lambda: kills)
    settings = WorkerSettings("echo", start, core=None)
    first, second, third = (WorkerProcess(settings) for _ in range(3))
    kills = 6
    for number in range(2):  # what came before its last two answers is of the past
        data, stack = work.jobs[0].trainings[0]
        third.give(Task(number, data, stack), sweep.data)
        while not isinstance(answer := third.receive(), Answer):
            wait(third.handles)
        third.answered(answer)
    fourth = WorkerProcess(settings)
    workers = (first, second, third, fourth)
    for worker in workers:
        worker.stop()
    assert [worker.bury().memory for worker in workers] == [True, True, False, False]


@pytest.mark.parametrize("system_says_so", [True, False])
def test_want_of_memory_costs_workers_before_it_costs_trials(
    work: Work,
    sweep: Sweep,
    started: list[WorkerProcess],
    monkeypatch: pytest.MonkeyPatch,
    system_says_so: bool,
) -> None:
    """The second worker is done without; a trial that still kills alone is the reason itself."""
    counter = itertools.count()
    monkeypatch.setattr(memory, "kills", lambda: next(counter) if system_says_so else 0)
    # One trial that kills, and as expensive a stack of others.
    kills, others = (job.trainings[0] for job in work.jobs[:2])
    alone = kills.stack.trials[-1:]
    assert alone[0].training.learning_rate == SUSPECT
    kills = kills._replace(stack=replace(kills.stack, trials=alone))
    others = others._replace(stack=replace(others.stack, trials=others.stack.trials[:6]))
    jobs = (Job((kills,), 2.0), Job((others,) * 3, 1.0))
    done = LocalExecutor(2, "dies", start).train(jobs, sweep.data)
    results = [result for stack in done for result in stack.results]
    assert len(results) == 1 + 3 * 6
    words = "SIGKILL: out of memory, says the system" if system_says_so else "SIGKILL (often: out"
    ((trial, message),) = crashed(results).items()
    assert trial == alone[0].trial_id
    assert f"ended by {words}" in str(message)
    assert len({id(worker.settings) for worker in started}) == 2  # never more places
    # Two at first, and one for each of two deaths that were held against the trial. Before them
    # the system's word cost a worker, which came back when the trial was found to be the reason.
    assert len(started) == (5 if system_says_so else 4)


def test_more_workers_than_memory_allows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    room = memory.SHARED_BYTES + 3 * memory.WORKER_BYTES + 1
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    memory.require_memory(3)
    with pytest.raises(UserError, match=r"got 4: each takes at least 300 MB, and 1,300 MB") as got:
        memory.require_memory(4)
    assert "--workers 3 or less" in str(got.value)
    monkeypatch.setattr(local, "available_cores", lambda: list(range(64)))
    assert local.default_workers() == 3
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    memory.require_memory(1)
    assert local.default_workers() == 1
    large = 2**30
    of_large = 1.25 * large + memory.WORKER_BYTES - 65 * 2**20
    monkeypatch.setattr(memory, "available_bytes", lambda: int(room + 2 * of_large))
    assert memory.fitting_workers(large) == 2
    with pytest.raises(UserError, match=r"got 3: each takes at least 1,515 MB"):
        memory.require_memory(3, large)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require_memory(10_000)
    assert local.default_workers() == 64


GIB = 2**30
MEMINFO = f"MemTotal: {9 * 2**20} kB\nMemAvailable: {4 * 2**20} kB\n"


@pytest.mark.parametrize(
    ("files", "available", "killed"),
    [
        ({}, None, 0),
        ({"proc/meminfo": MEMINFO, "proc/vmstat": "pgfault 1\noom_kill 3\n"}, 4 * GIB, 3),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/user/run\n",
                "groups/user/run/memory.max": "max\n",
                "groups/user/run/memory.current": "1\n",
                "groups/user/memory.max": f"{3 * GIB}\n",
                "groups/user/memory.current": f"{2 * GIB}\n",
                "groups/user/memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
                "groups/user/run/memory.events": "oom 2\noom_kill 2\n",
            },
            GIB + GIB // 2,
            2,
        ),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "5:devices:/\n4:cpu,memory:/a\n",
                "groups/memory/a/memory.limit_in_bytes": f"{2 * GIB}\n",
                "groups/memory/a/memory.usage_in_bytes": f"{GIB}\n",
                "groups/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
                "groups/memory/memory.usage_in_bytes": f"{GIB}\n",
                "groups/memory/a/memory.oom_control": "under_oom 0\noom_kill 1\n",
            },
            GIB,
            1,
        ),
    ],
    ids=["not Linux", "no groups", "version 2", "version 1"],
)
def test_what_the_system_says_of_memory(
    files: Mapping[str, str],
    available: int | None,
    killed: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "groups")
    assert memory.available_bytes() == available
    assert memory.kills() == killed


def test_without_a_place_for_temporary_files_there_is_a_message(
    work: Work, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"got: No space left on device. Make room, or name"):
        train(1, "echo", work, sweep)


def test_a_worker_whose_log_cannot_be_written_trains(
    work: Work, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device here that is always full")
    monkeypatch.setattr(log.tempfile, "TemporaryFile", lambda **_: full.open("rb+", buffering=0))
    results = train(1, "raises", work, sweep)  # and prints a traceback
    assert set(crashed(results).values()) == {"ValueError: no such layer"}
    assert len(results) == 32


def test_of_what_autograph_writes_nothing_stays(
    tmp_path: Path, work: Work, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, told = tmp_path / "temporary", tmp_path / "told"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    train(1, f"converts:{told}", work, sweep)
    assert told.read_text().split() == ["2", "0", "0", "0"]  # the code and what it was compiled to
    assert files(folder) == []
