"""Worker processes on this machine: one a core, started by `spawn`.

TensorFlow does not survive a fork. Each worker runs on one core with one thread: two
processes with a core each train more stacks than one process with two threads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from stabilitysweep.data import PreparedData
from stabilitysweep.executors.base import Job, StackDone
from stabilitysweep.executors.worker import Assignment, WorkerSettings, crashed, main

_AHEAD = 2
"""Assignments a worker holds at once, so that it never waits for the driver."""

_TRIES = 2
"""How often a stack whose worker died is tried before its trials count as crashed."""

_JOIN_SECONDS = 5.0


@dataclass(slots=True)
class _Task:
    number: int
    job: Job
    place: int
    tries: int = 0


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    connection: Connection
    settings: WorkerSettings
    queue: deque[_Task] = field(default_factory=deque)
    held: deque[_Task] = field(default_factory=deque)
    known: set[str] = field(default_factory=set)


class LocalExecutor:
    """Trains jobs in `workers` processes; see `Executor`.

    Jobs are handed out whole, the most expensive first. A worker that has run out of jobs
    takes half of the longest queue that is left.
    """

    def __init__(self, workers: int | None = None, engine: str = "stacked") -> None:
        """Choose the number of processes.

        Args:
            workers: at least 1; None is one a core that this process may use.
            engine: `stacked` or `fit`.
        """
        self._cores = available_cores()
        self._count = workers or len(self._cores)
        self._engine = engine
        self._workers: list[_Worker] = []

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Iterator[StackDone]:
        """Yield every stack's results as it finishes."""
        pending = deque(sorted(jobs, key=lambda job: -job.cost))
        stacks = sum(len(job.stacks) for job in jobs)
        with tempfile.TemporaryDirectory(prefix="stabilitysweep-") as logs:
            try:
                count = min(self._count, stacks)
                self._workers = [self._start(index, Path(logs)) for index in range(count)]
                yield from self._serve(pending, data, stacks)
            finally:
                self._stop()

    def _serve(
        self, pending: deque[Job], data: Mapping[str, PreparedData], stacks: int
    ) -> Iterator[StackDone]:
        numbers = iter(range(10**12))
        done = 0
        while done < stacks:
            for worker in self._workers:
                self._feed(worker, pending, data, numbers)
            ready = wait(
                [worker.connection for worker in self._workers]
                + [worker.process.sentinel for worker in self._workers]
            )
            for index, worker in enumerate(self._workers):
                finished: list[StackDone] = []
                if worker.connection in ready:
                    finished = self._receive(worker)
                elif worker.process.sentinel in ready:
                    finished = self._replace(index)
                done += len(finished)
                yield from finished

    def _start(self, index: int, logs: Path) -> _Worker:
        settings = WorkerSettings(
            engine=self._engine,
            core=self._cores[index] if self._count <= len(self._cores) else None,
            log=str(logs / f"worker-{index}.log"),
        )
        return _launch(settings)

    def _feed(
        self,
        worker: _Worker,
        pending: deque[Job],
        data: Mapping[str, PreparedData],
        numbers: Iterator[int],
    ) -> None:
        while len(worker.held) < _AHEAD:
            if not worker.queue:
                if pending:
                    job = pending.popleft()
                    worker.queue.extend(
                        _Task(next(numbers), job, place) for place in range(len(job.stacks))
                    )
                elif not worker.held:
                    self._steal(worker)
            if not worker.queue:
                return
            task = worker.queue.popleft()
            key = task.job.data
            new = None if key in worker.known else data[key]
            worker.held.append(task)
            worker.known.add(key)
            try:
                worker.connection.send(
                    Assignment(task.number, task.job.stacks[task.place], key, new)
                )
            except (BrokenPipeError, ConnectionResetError):
                return  # the worker died; its sentinel says so, and the task is still held

    def _steal(self, thief: _Worker) -> None:
        """Move half of the longest remaining queue to a worker that has none."""
        victim = max(self._workers, key=lambda worker: len(worker.queue))
        for _ in range((len(victim.queue) + 1) // 2):
            thief.queue.appendleft(victim.queue.pop())

    def _receive(self, worker: _Worker) -> list[StackDone]:
        try:
            number, results = worker.connection.recv()
        except (EOFError, ConnectionResetError):  # died; its sentinel is handled next
            return self._replace(self._workers.index(worker))
        task = next(task for task in worker.held if task.number == number)
        worker.held.remove(task)
        return [StackDone(task.job.stacks[task.place], results)]

    def _replace(self, index: int) -> list[StackDone]:
        """Start a new worker for one that died, and give it what the other held.

        The task it was at is the suspect: it is tried again, and given up after `_TRIES`.
        """
        dead = self._workers[index]
        dead.process.join()
        dead.connection.close()
        self._workers[index] = replacement = _launch(dead.settings)
        given_up: list[StackDone] = []
        if dead.held:
            suspect = dead.held.popleft()
            suspect.tries += 1
            if suspect.tries >= _TRIES:
                stack = suspect.job.stacks[suspect.place]
                reason = _death(dead.process.exitcode)
                given_up.append(StackDone(stack, crashed(stack, self._engine, reason)))
            else:
                dead.held.appendleft(suspect)
        replacement.queue = dead.held + dead.queue
        return given_up

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.held:  # stopped early: what is under way is not wanted any more
                worker.process.terminate()
            else:
                try:
                    worker.connection.send(None)
                except (BrokenPipeError, ConnectionResetError, OSError):
                    worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_JOIN_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers = []


def available_cores() -> list[int]:
    """Return the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _launch(settings: WorkerSettings) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(theirs, settings), daemon=True)
    process.start()
    theirs.close()  # so that the death of the worker closes the pipe
    return _Worker(process, ours, settings)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}, {_TRIES} times"
    return f"the worker process ended with exit code {code}, {_TRIES} times"
