"""Which worker trains which stack next, and what becomes of one at which workers die.

No processes, no clocks, and nothing of a stack before somebody is to train it: a sweep of a
million trials is held as ranges of stacks, which are made when they are taken.

Jobs are handed out whole, the most expensive first, so that each program is compiled in as
few workers as possible. A worker that has run out of jobs takes half of what another has
not begun.

A stack at which a worker died is tried again, for the death may have had nothing to do with
it. If another dies, it is split, and its halves are tried, until the trial that ends them is
alone: it alone is given up. A part is split at the first death already, a trial alone is given
up at the second: a trial in a stack of P costs at most log2(P) + 3 workers, rounded up. Where
three trials one after another end their workers, the last of the stack does so as well, and none
has come through, it is the stack that does it, as one too large for the memory: what is left of
it is given up unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.base import Job, Training

_DEATHS = 2
"""How many workers may die at a stack, or at a trial that is alone."""

_DEATHS_OF_A_PART = 1
"""How many may die at a part of a stack at which others died before."""

_LOST = 3
"""After how many trials that were given up alone, and none that came through, a stack's last
trial is tried: those at one end may have in common what kills them."""


@dataclass(slots=True, eq=False)
class _Origin:
    """A stack as it was planned, for its parts: how many trials were lost, if all were."""

    lost: int = 0
    came_through: bool = False


@dataclass(slots=True, eq=False)
class Task:
    """One stack on its way through the workers.

    Attributes:
        number: its own.
        data: key of the prepared data.
        stack: the trials.
        deaths: how many workers died at it.
        part: whether it is a part of a stack that was split.
        origin: the stack that was planned.
    """

    number: int
    data: str
    stack: Stack
    deaths: int = 0
    part: bool = False
    origin: _Origin = field(default_factory=_Origin)


class Death(NamedTuple):
    """How a worker ended that was not told to.

    Attributes:
        words: what it died of; completes "the worker process was ended ...".
        memory: whether the system says that it ended it for want of memory.
        by_signal: whether a signal ended it, from within or from outside.
    """

    words: str
    memory: bool = False
    by_signal: bool = False


class GivenUp(NamedTuple):
    """A task that is not tried again.

    Attributes:
        task: of one trial, or of several that are given up with others of their stack.
        reason: why, for their rows.
    """

    task: Task
    reason: str


@dataclass(slots=True)
class _Span:
    """Stacks of a job that nobody has been given, from `start` up to and without `stop`."""

    trainings: Sequence[Training]
    start: int
    stop: int


_Queue = deque[Task | _Span]


class Schedule:
    """The stacks that no worker has been given yet, sorted by who is to train them."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Queue all stacks of `jobs`, without asking for one."""
        self._jobs: deque[_Queue] = deque()
        self._own: dict[int, _Queue] = {}
        self._made = 0
        self._left = 0
        for job in sorted(jobs, key=lambda job: -job.cost):
            stacks = len(job.trainings)
            if stacks:
                self._jobs.append(deque([_Span(job.trainings, 0, stacks)]))
            self._left += stacks

    def __len__(self) -> int:
        """Number of stacks that nobody has been given."""
        return self._left

    def take(self, worker: int, *, idle: bool) -> Task | None:
        """Return the next stack for a worker.

        Args:
            worker: its number.
            idle: whether it has nothing else to do: only then it takes from another, since
                what it takes it may have to compile anew.

        Returns:
            A task, now the worker's; None if there is nothing for it.
        """
        own = self._own.setdefault(worker, deque())
        if not own and self._jobs:
            own.extend(self._jobs.popleft())
        elif not own and idle:
            self._steal(own)
        if not own:
            return None
        self._left -= 1
        first = own[0]
        if isinstance(first, Task):
            own.popleft()
            return first
        data, stack = first.trainings[first.start]
        first.start += 1
        if first.start == first.stop:
            own.popleft()
        return Task(self._number(), data, stack)

    def between_jobs(self, worker: int) -> bool:
        """Return whether a worker has been given all of its jobs: the next is compiled anew."""
        return not self._own.get(worker)

    def give_back(self, worker: int, tasks: Sequence[Task]) -> None:
        """Put tasks first again that a worker had been given and did not finish."""
        self._own.setdefault(worker, deque()).extendleft(reversed(tasks))
        self._left += len(tasks)

    def finished(self, task: Task) -> None:
        """Note that a task was trained: what it is a part of can be."""
        task.origin.came_through = True

    def died(
        self, worker: int, held: Sequence[Task], death: Death, *, crowded: bool = False
    ) -> list[GivenUp]:
        """Take back what a worker held that died at the first of it.

        Args:
            worker: its number; what comes next for it is what it leaves.
            held: the tasks it had not finished, in the order in which it took them; it was at
                the first.
            death: how it ended.
            crowded: whether other workers were at work. A worker that was ended for want of
                memory beside others is no proof against its stack, so it does not count:
                go on with fewer workers, or this goes on for ever.

        Returns:
            What is given up.
        """
        self.give_back(worker, held)
        if not held or (death.memory and crowded):
            return []
        suspect = held[0]
        suspect.deaths += 1
        size = len(suspect.stack.trials)
        if suspect.deaths < (_DEATHS_OF_A_PART if suspect.part and size > 1 else _DEATHS):
            return []
        own = self._own[worker]
        own.popleft()
        if size > 1:
            own.extendleft(reversed(self._halves(suspect)))
            self._left += 1
            return []
        self._left -= 1
        reason = f"the worker process was ended {death.words}, {suspect.deaths} times"
        suspect.origin.lost += 1
        given_up = [GivenUp(suspect, reason)]
        if suspect.origin.came_through or suspect.origin.lost < _LOST:
            return given_up
        rest = self._taken_out(suspect.origin)
        if suspect.origin.lost == _LOST:
            self.give_back(worker, self._last_first(rest))
            return given_up
        untried = (
            f"the worker process was ended {death.words}, at each of {suspect.origin.lost} trials "
            "of the same stack alone; this one was not tried any more"
        )
        return [*given_up, *(GivenUp(task, untried) for task in rest)]

    def retire(self, worker: int) -> None:
        """Leave what was meant for a worker to the others."""
        left = self._own.pop(worker, None)
        if left:
            self._jobs.appendleft(left)

    def _number(self) -> int:
        self._made += 1
        return self._made - 1

    def _halves(self, task: Task) -> list[Task]:
        middle = (len(task.stack.trials) + 1) // 2
        return [self._part(task, slice(middle)), self._part(task, slice(middle, None))]

    def _last_first(self, tasks: list[Task]) -> list[Task]:
        """The tasks, with the last trial of all split off and in front."""
        if not tasks or len(tasks[-1].stack.trials) == 1:
            return tasks[-1:] + tasks[:-1]
        *others, last = tasks
        alone, rest = self._part(last, slice(-1, None)), self._part(last, slice(-1))
        return [alone, *others, rest]

    def _part(self, task: Task, which: slice) -> Task:
        """Some trials of a task: they keep its places, and so every trial its bits."""
        stack = replace(task.stack, trials=task.stack.trials[which])
        return Task(self._number(), task.data, stack, part=True, origin=task.origin)

    def _taken_out(self, origin: _Origin) -> list[Task]:
        """Take out of every queue what is left of a stack."""
        found: list[Task] = []
        for queue in (*self._own.values(), *self._jobs):
            own = [each for each in queue if isinstance(each, Task) and each.origin is origin]
            for task in own:
                queue.remove(task)
            found += own
        self._jobs = deque(queue for queue in self._jobs if queue)
        self._left -= len(found)
        return found

    def _steal(self, thief: _Queue) -> None:
        longest = max(self._own.values(), key=_stacks)
        wanted = (_stacks(longest) + 1) // 2
        while wanted:
            last = longest.pop()
            if isinstance(last, Task):
                thief.appendleft(last)
                wanted -= 1
                continue
            taken = min(wanted, last.stop - last.start)
            thief.appendleft(_Span(last.trainings, last.stop - taken, last.stop))
            last.stop -= taken
            if last.start < last.stop:
                longest.append(last)
            wanted -= taken


def _stacks(queue: _Queue) -> int:
    return sum(1 if isinstance(each, Task) else each.stop - each.start for each in queue)
