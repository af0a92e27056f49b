"""Ray: stacks are trained wherever in a cluster there is a CPU.

Each stack is a call of an actor, which is a task of Ray's with a place. An actor asks for one CPU
and keeps one worker process; plain tasks would go to whichever process is free, and each of those
would compile the program again. The schedule is the one of `LocalExecutor`: a job, and so a
program, goes to one worker as long as others have work, and what a stack does to its worker is
dealt with in the same way.

Two kinds of deaths are told apart. A worker process that ends is seen by its actor, which says how:
the stack is a suspect. An actor that ends was lost with its node, or killed by Ray: the stack is
not to blame. Ray starts such an actor again where there is room (`max_restarts`), for as often as
it takes. Its stacks are not left waiting for that, which may take for ever (`max_task_retries` is 0
for them): they go to the workers that there are. A stack that was lost with several actors, one
after another, becomes a suspect after all: it may be what fills the memory of their nodes.

A worker holds two stacks at most, and results are taken as they come: what is in flight is bounded
by the number of workers, and a driver that is slow to store holds them back. Prepared data is put
into Ray's object store once, and a node fetches it from there once.

Actors belong to the driver's connection. When it ends, in whatever way, Ray ends them, and a worker
process ends with its actor.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.executors.base import Job, StackDone
from stabilitysweep.executors.local import default_workers
from stabilitysweep.executors.process import most_starts
from stabilitysweep.executors.ray_cluster import cluster_cores, connected
from stabilitysweep.executors.ray_supervisor import Ended, Started, Supervisor, Surroundings
from stabilitysweep.executors.schedule import Death, GivenUp, Schedule, Task
from stabilitysweep.executors.shortage import Shortages
from stabilitysweep.executors.worker import Answer, crashed, start_engine
from stabilitysweep.provenance import versions

_AHEAD = 2
"""Stacks an actor holds at once, so that it never waits for the driver."""

_LOST = 3
"""How many actors may be lost at a stack before it is a suspect."""


class RayExecutor:
    """Trains jobs on a Ray cluster; see `Executor`."""

    def __init__(
        self,
        workers: int | None = None,
        engine: str = "stacked",
        address: str | None = None,
        start: Callable[[str], Engine] = start_engine,
    ) -> None:
        """Choose the cluster and the number of workers.

        Args:
            workers: at least 1; None is one a CPU of the cluster.
            engine: `stacked` or `fit`.
            address: `auto`, or HOST:PORT; None takes the Ray that this process is connected to, and
                otherwise starts one on this machine, with a CPU for each worker, and ends it
                afterwards.
            start: makes the engine, in the worker.
        """
        self._count = workers
        self._engine = engine
        self._address = address
        self._start = start

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        """Yield every stack's results as it finishes.

        Raises:
            UserError: Ray is not installed, cannot be reached, or has no CPU.
            StabilitySweepError: no worker can be started, or one has other versions.
        """
        schedule = Schedule(jobs)
        if not len(schedule):
            return
        with connected(self._address, self._count or default_workers()) as ray:
            count = self._count or cluster_cores()
            crew = _Crew(ray, self._engine, self._start)
            yield from _Run(schedule, data, crew, min(count, len(schedule))).stacks()


class _Crew:
    """How an actor is made, and what it is asked."""

    def __init__(self, ray: Any, engine: str, start: Callable[[str], Engine]) -> None:
        self.ray = ray
        self.engine = engine
        self._arguments = (Surroundings.own(), engine, pickle.dumps(start))
        self._class = ray.remote(Supervisor).options(
            num_cpus=1, max_restarts=-1, max_task_retries=0, scheduling_strategy="SPREAD"
        )

    def hire(self) -> Any:
        return self._class.remote(*self._arguments)

    def ask_ready(self, actor: Any) -> Any:
        # It waits as long as the actor waits for a CPU, and goes with it where it is restarted.
        return actor.ready.options(max_task_retries=-1).remote()


class _Run:
    """One call of `train`: its actors by their place, what they were asked, and what is left."""

    def __init__(
        self, schedule: Schedule, data: Mapping[str, PreparedData], crew: _Crew, count: int
    ) -> None:
        self._schedule = schedule
        self._data = data
        self._crew = crew
        self._count = count
        self._actors: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}  # of those that are ready
        self._held: dict[int, deque[Task]] = {}
        self._asked: dict[Future[Any], tuple[int, Task | None]] = {}  # by the reply to come
        self._stored: dict[str, Any] = {}  # key of data -> its reference
        self._failed_starts: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()  # by a task's number
        self._vacant: list[int] = []
        self._shortages = Shortages()

    def stacks(self) -> Iterator[StackDone]:
        try:
            for place in range(self._count):
                self._start(place)
            while len(self._schedule) or any(self._held.values()):
                self._feed()
                yield from self._listen()
        finally:
            for actor in self._actors.values():
                self._crew.ray.kill(actor)

    def _start(self, place: int) -> None:
        self._actors[place] = self._crew.hire()
        self._held[place] = deque()
        self._ask_ready(place)

    def _ask_ready(self, place: int) -> None:
        self._asked[self._crew.ask_ready(self._actors[place]).future()] = place, None

    def _feed(self) -> None:
        for place in self._nodes:
            held = self._held[place]
            # What is held cannot go to another: towards the end none takes more than it needs.
            ahead = _AHEAD if len(self._schedule) > len(self._nodes) else 1
            while len(held) < ahead:
                task = self._schedule.take(place, idle=not held)
                if task is None:
                    break
                if task.data not in self._stored:
                    self._stored[task.data] = self._crew.ray.put(self._data[task.data])
                call = self._actors[place].train.remote(
                    task.number, task.data, task.stack, self._stored[task.data]
                )
                held.append(task)
                self._asked[call.future()] = place, task

    def _listen(self) -> Iterator[StackDone]:
        """Wait until at least one has something to say, and hear all that do."""
        # Not by `ray.wait`: it makes a KeyboardInterrupt of whatever a signal's handler raises.
        spoken, _ = wait(self._asked, return_when=FIRST_COMPLETED)
        for call in [call for call in self._asked if call in spoken]:
            if call not in self._asked:  # of an actor that was lost meanwhile
                continue
            place, task = self._asked.pop(call)
            try:
                reply = call.result()
            except self._crew.ray.exceptions.RayError as error:
                yield from self._given_up(self._lose(place, error))
                continue
            if task is not None:
                self._held[place].remove(task)
            if isinstance(reply, Answer) and task is not None:
                self._schedule.finished(task)
                yield StackDone(task.stack, reply.results, reply.verdicts, reply.took)
            elif isinstance(reply, Started):
                _require_versions(reply)
                self._nodes[place] = reply.node
                self._failed_starts[place] = 0
            else:
                yield from self._given_up(self._ended(place, task, reply))

    def _ended(self, place: int, task: Task | None, ended: Ended) -> list[GivenUp]:
        """Deal with the end of a worker process, whose actor lives on."""
        tasks = [] if task is None else [task]
        if not ended.ready:
            self._schedule.give_back(place, tasks)
            self._start_failed(place, ended.death)
            return []
        node = self._nodes.get(place)
        beside = [other for other, its in self._nodes.items() if its == node and other != place]
        crowded, fewer = self._shortages.judge(place, tasks, ended.death, beside=bool(beside))
        given_up = self._schedule.died(place, tasks, ended.death, crowded=crowded)
        if fewer:
            self._dismiss(place)
            self._vacant.append(place)
            self._shortages.met({other: self._held[other] for other in beside})
        if given_up:
            while self._vacant:  # a trial was the reason
                self._start(self._vacant.pop())
        return given_up

    def _lose(self, place: int, error: Exception) -> list[GivenUp]:
        """Leave to the others what a lost actor held, and let Ray start it again."""
        held = self._let_go(place)
        given_up: list[GivenUp] = []
        ray = self._crew.ray
        if isinstance(error, ray.exceptions.RayTaskError) or not held:
            self._schedule.give_back(place, held)
            self._start_failed(place, Death(_last_line(error)))
        else:
            self._lost[held[0].number] += 1
            if self._lost[held[0].number] < _LOST:
                self._schedule.give_back(place, held)
            else:
                words = f"with its Ray actor, {_LOST} times or more: {_last_line(error)}"
                given_up = self._schedule.died(place, held, Death(words))
            self._ask_ready(place)
        self._schedule.retire(place)
        return given_up

    def _start_failed(self, place: int, death: Death) -> None:
        self._failed_starts[place] += 1
        if self._failed_starts[place] < most_starts(death):
            if place in self._actors:
                self._nodes.pop(place, None)
                self._ask_ready(place)
            return
        self._dismiss(place)
        if not self._actors:
            raise StabilitySweepError(
                f"expected workers to start on Ray, but they end before they are ready: "
                f"{death.words}. "
                "Check that stabilitysweep is installed on every node, with the Python that Ray "
                "uses there, that 'import tensorflow' works, and that there is memory for it."
            )

    def _dismiss(self, place: int) -> None:
        """Do without an actor."""
        self._schedule.give_back(place, self._let_go(place))
        self._schedule.retire(place)
        self._crew.ray.kill(self._actors.pop(place))

    def _let_go(self, place: int) -> list[Task]:
        """Forget what an actor was asked; return what it held, in the order of its turns."""
        self._nodes.pop(place, None)
        self._shortages.forget(place)
        for call in [call for call, (at, _) in self._asked.items() if at == place]:
            del self._asked[call]
        held = list(self._held[place])
        self._held[place].clear()
        return held

    def _given_up(self, tasks: Sequence[GivenUp]) -> Iterator[StackDone]:
        for task, reason in tasks:
            yield StackDone(task.stack, crashed(task.stack, self._crew.engine, reason))


def _require_versions(started: Started) -> None:
    own = versions()
    other = {
        name: found for name, found in started.versions.items() if own.get(name, found) != found
    }
    if other:
        wanted = ", ".join(f"{name} {own[name]}" for name in other)
        found = ", ".join(f"{name} {version}" for name, version in other.items())
        raise StabilitySweepError(
            f"expected the versions of this machine on every node, {wanted}, got {found} on the "
            f"node {started.node}: trials would not be comparable. Install the same on all."
        )


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
