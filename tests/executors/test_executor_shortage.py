"""What want of memory costs: workers of one shortage are heard of at times of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors import Job, LocalExecutor, Training, local
from stabilitysweep.executors.schedule import Death, Task
from stabilitysweep.executors.shortage import Finding, Shortages
from stabilitysweep.executors.worker import Answer, Ready, WorkerSettings
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import Program
from stabilitysweep.types import Outcome, TrialResult

WORKERS = 4
TRIALS = 40
PLACES = 8


@dataclass
class Machine:
    """Workers without a process, each heard of when its turn comes, one a round.

    Attributes:
        shortages: by a round, the workers that the system ends in it, by their turn to be heard.
        at_once: whether the processes are gone by then, or only when they are heard of.
    """

    shortages: dict[int, list[int]]
    at_once: bool
    round: int = 0
    started: list[Pretended] = field(default_factory=list)
    most: dict[int, int] = field(default_factory=dict)  # workers, by round
    counted: int = 0  # deaths held against a stack

    def start(self, settings: WorkerSettings) -> Pretended:
        worker = Pretended(self)
        self.started.append(worker)
        return worker

    def wait(self, handles: Sequence[Pretended]) -> list[Pretended]:
        workers = list(dict.fromkeys(handles))
        self.most[self.round] = len(workers)
        for place in self.shortages.get(self.round, ()):
            workers[place].ended = True
            workers[place].alive = not self.at_once
        self.round += 1
        dead = [worker for worker in workers if worker.ended]
        return dead[:1] or [min(workers, key=lambda worker: worker.heard)]


@dataclass(eq=False)
class Pretended:
    """What stands for a `WorkerProcess`: it answers whatever it holds, until it is ended."""

    machine: Machine
    alive: bool = True
    ready: bool = False
    heard: int = 0
    ended: bool = False
    held: deque[Task] = field(default_factory=deque)
    buried: bool = False

    @property
    def handles(self) -> tuple[Pretended, ...]:
        return (self,)

    def give(self, task: Task, data: Mapping[str, PreparedData]) -> None:
        self.held.append(task)

    def receive(self) -> Answer | Ready | None:
        assert not self.buried
        self.heard = self.machine.round
        if self.ended:
            return None
        if not self.ready:
            self.ready = True
            return Ready()
        task = self.held[0]
        self.machine.counted += task.deaths
        names = [str(trial) for trial in task.stack.trials]
        return Answer(task.number, [TrialResult(n, Outcome.STABLE, "none") for n in names])

    def answered(self, answer: Answer) -> Task:
        return self.held.popleft()

    def is_spent(self, *, between_jobs: bool) -> bool:
        return False

    def bury(self) -> Death:
        self.alive = False
        return Death("by SIGKILL", memory=True, by_signal=True)

    def stop(self) -> None:
        self.alive = False

    def end(self) -> None:
        self.buried = True


def trained(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on it; every trial must come once, stable, and no stack be held to have killed."""
    monkeypatch.setattr(local, "WorkerProcess", machine.start)
    monkeypatch.setattr(local, "wait", machine.wait)
    trials = [f"{number}" for number in range(TRIALS)]
    stacks = [
        Stack(cast("Program", None), cast("tuple[Trial, ...]", (trial,)), PLACES)
        for trial in trials
    ]
    job = Job(tuple(Training("data", stack) for stack in stacks), 1.0)
    done = list(LocalExecutor(WORKERS, "none").train([job], {}))
    results = [found for each in done for found in each.results]
    assert sorted(found.trial_id for found in results) == sorted(trials)
    assert {found.outcome for found in results} == {Outcome.STABLE}
    assert machine.counted == 0


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "ended", [[0], [3], [0, 1], [2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3]], ids=str
)
def test_one_shortage_halves_the_workers_however_many_it_ends(
    ended: list[int], at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine({9: ended}, at_once)
    trained(machine, monkeypatch)
    assert machine.most[9] == WORKERS
    later = [count for number, count in machine.most.items() if number > 9]
    assert set(later) <= {WORKERS // 2, WORKERS // 2 - 1}
    assert max(later) == later[len(ended)] == WORKERS // 2


@pytest.mark.parametrize("at_once", [True, False])
def test_another_shortage_halves_them_again_and_the_last_worker_goes_on(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine({9: [0, 1], 16: [0, 1]}, at_once)
    trained(machine, monkeypatch)
    assert [machine.most[number] for number in (9, 15, 20)] == [4, 2, 1]


def test_a_place_whose_work_went_to_others_begins_anew() -> None:
    stack = Stack(cast("Program", None), cast("tuple[Trial, ...]", ("0",)), PLACES)
    held, death = [Task(0, "data", stack)], Death("by SIGKILL", memory=True)
    shortages = Shortages()
    shortages.met({0: held, 1: held})
    shortages.forget(0)
    assert shortages.judge(0, held, death, beside=False) == Finding(crowded=False, fewer=False)
    assert shortages.judge(1, held, death, beside=False) == Finding(crowded=True, fewer=False)
    assert shortages.judge(1, held, death, beside=True) == Finding(crowded=True, fewer=True)
