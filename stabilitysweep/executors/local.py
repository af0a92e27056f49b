"""Worker processes on this machine: one a core, started by `spawn`.

TensorFlow does not survive a fork. Each worker runs on one core with one thread: two
processes with a core each train more stacks than one process with two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import wait

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.errors import StabilitySweepError, UserError
from stabilitysweep.executors import memory
from stabilitysweep.executors.base import Job, StackDone
from stabilitysweep.executors.process import GUARD, WorkerProcess, most_starts
from stabilitysweep.executors.processor import available_cores
from stabilitysweep.executors.schedule import GivenUp, Schedule
from stabilitysweep.executors.shortage import Shortages
from stabilitysweep.executors.worker import Answer, WorkerSettings, crashed, start_engine

_AHEAD = 2
"""Tasks a worker holds at once, so that it never waits for the driver."""


class LocalExecutor:
    """Trains jobs in worker processes; see `Executor`."""

    def __init__(
        self,
        workers: int | None = None,
        engine: str = "stacked",
        start: Callable[[str], Engine] = start_engine,
    ) -> None:
        """Choose the number of processes.

        Args:
            workers: at least 1; None is one a core that this process may use, as far as there
                is memory for them.
            engine: `stacked` or `fit`.
            start: makes the engine, in the worker.
        """
        self._count = workers or default_workers()
        self._engine = engine
        self._start = start

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        """Yield every stack's results as it finishes.

        Raises:
            StabilitySweepError: no worker can be started.
            UserError: there is no room for their logs.
        """
        schedule = Schedule(jobs)
        settings = [self._settings(place) for place in range(min(self._count, len(schedule)))]
        yield from _Run(schedule, data, settings).stacks()

    def _settings(self, place: int) -> WorkerSettings:
        cores = available_cores()
        return WorkerSettings(
            engine=self._engine,
            start=self._start,
            # Fewer workers than cores are left to the system: two sweeps may share a machine.
            core=cores[place] if self._count == len(cores) else None,
        )


def default_workers() -> int:
    """Return how many workers there are unless the user says it: one a core, if they fit."""
    cores = len(available_cores())
    return min(cores, memory.fitting_workers() or cores)


class _Run:
    """One call of `train`: its workers by their place, and what is left to do."""

    def __init__(
        self,
        schedule: Schedule,
        data: Mapping[str, PreparedData],
        settings: Sequence[WorkerSettings],
    ) -> None:
        self._schedule = schedule
        self._data = data
        self._settings = settings
        self._workers: dict[int, WorkerProcess] = {}
        self._failed_starts = dict.fromkeys(range(len(settings)), 0)
        self._vacant: list[int] = []
        self._shortages = Shortages()

    def stacks(self) -> Iterator[StackDone]:
        try:
            for place in range(len(self._settings)):
                self._start(place)
            while len(self._schedule) or any(worker.held for worker in self._workers.values()):
                yield from self._round()
        finally:
            for worker in self._workers.values():
                worker.stop()
            for worker in self._workers.values():
                worker.end()

    def _round(self) -> Iterator[StackDone]:
        """Feed the workers, and wait until at least one has something to say."""
        for place, worker in list(self._workers.items()):
            between_jobs = self._schedule.between_jobs(place)
            if len(self._schedule) and worker.is_spent(between_jobs=between_jobs):
                if worker.held:
                    continue
                worker.stop()
                worker.end()
                worker = self._start(place)
            # What is held cannot go to another: towards the end none takes more than it needs.
            ahead = _AHEAD if len(self._schedule) > len(self._workers) else 1
            while len(worker.held) < ahead:
                task = self._schedule.take(place, idle=not worker.held)
                if task is None:
                    break
                worker.give(task, self._data)
        heard = wait([handle for worker in self._workers.values() for handle in worker.handles])
        for place, worker in list(self._workers.items()):
            if self._workers.get(place) is not worker:  # done without since another died
                continue
            if not any(handle in heard for handle in worker.handles):
                continue
            message = worker.receive()
            if message is None:
                yield from self._replace(place, worker)
            elif isinstance(message, Answer):
                task = worker.answered(message)
                self._schedule.finished(task)
                yield StackDone(task.stack, message.results, message.verdicts, message.took)
            else:
                self._failed_starts[place] = 0

    def _start(self, place: int) -> WorkerProcess:
        try:
            worker = WorkerProcess(self._settings[place])
        except OSError as error:
            raise UserError(
                f"expected to start {len(self._settings)} worker processes, got: "
                f"{error.strerror or error}. Give fewer with --workers, or end other programs."
            ) from error
        self._workers[place] = worker
        return worker

    def _replace(self, place: int, dead: WorkerProcess) -> Iterator[StackDone]:
        """Start another worker for one that died, and leave to it what the other held.

        One that was ended for want of memory is not replaced, and half of all are done without:
        there are too many. If a trial turns out to be the reason, they are started again.
        """
        death = dead.bury()
        held = list(dead.held)
        dead.held.clear()
        crowded, fewer = self._shortages.judge(place, held, death, beside=len(self._workers) > 1)
        given_up: list[GivenUp] = []
        if dead.ready:
            given_up = self._schedule.died(place, held, death, crowded=crowded)
        else:
            self._failed_starts[place] += 1
            self._schedule.give_back(place, held)
        if fewer:
            self._halve()
        elif self._failed_starts[place] < most_starts(death):
            self._start(place)
        else:
            del self._workers[place]
            self._schedule.retire(place)
            if not self._workers:
                raise StabilitySweepError(_no_worker(death.words))
        if given_up:
            while self._vacant:
                self._start(self._vacant.pop())
        for task, reason in given_up:
            yield StackDone(task.stack, crashed(task.stack, dead.settings.engine, reason))

    def _halve(self) -> None:
        """Do with half of the workers, those that have ended being the first to go."""
        kept = len(self._workers) // 2
        alive = [place for place, worker in self._workers.items() if worker.alive]
        for place in list(self._workers):
            if place not in alive[:kept]:
                self._vacate(place)
        while len(self._workers) < kept:
            self._start(self._vacant.pop())
        self._shortages.met({place: worker.held for place, worker in self._workers.items()})

    def _vacate(self, place: int) -> None:
        """Do without the worker of a place, and leave what is meant for it to the others."""
        worker = self._workers.pop(place)
        worker.stop()
        worker.end()
        self._schedule.give_back(place, worker.held)
        self._schedule.retire(place)
        self._shortages.forget(place)
        self._vacant.append(place)


def _no_worker(death: str) -> str:
    return (
        f"expected worker processes to start, but they end before they are ready, {death}. {GUARD}"
    )
