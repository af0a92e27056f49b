"""Which worker trains which stack next: no processes, no clocks.

Jobs are handed out whole, the most expensive first, so that each program is compiled in as
few workers as possible. A worker that has run out of jobs takes half of what another has
not begun.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.base import Job


@dataclass(slots=True, eq=False)
class Task:
    """One stack on its way through the workers.

    Attributes:
        number: its own.
        data: key of the prepared data.
        stack: the trials.
        deaths: how many workers died at it.
    """

    number: int
    data: str
    stack: Stack
    deaths: int = 0


class Schedule:
    """The stacks that no worker has been given yet, sorted by who is to train them."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Queue all stacks of `jobs`."""
        self._jobs: deque[deque[Task]] = deque()
        self._own: dict[int, deque[Task]] = {}
        number = 0
        for job in sorted(jobs, key=lambda job: -job.cost):
            self._jobs.append(deque())
            for data, stack in job.trainings:
                self._jobs[-1].append(Task(number, data, stack))
                number += 1

    def __len__(self) -> int:
        """Number of stacks that nobody has been given."""
        return sum(map(len, (*self._jobs, *self._own.values())))

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
        return own.popleft() if own else None

    def give_back(self, worker: int, tasks: Sequence[Task]) -> None:
        """Put tasks first again that a worker had been given and did not finish."""
        self._own.setdefault(worker, deque()).extendleft(reversed(tasks))

    def retire(self, worker: int) -> None:
        """Leave what was meant for a worker to the others."""
        left = self._own.pop(worker, None)
        if left:
            self._jobs.appendleft(left)

    def _steal(self, thief: deque[Task]) -> None:
        longest = max(self._own.values(), key=len)
        for _ in range((len(longest) + 1) // 2):
            thief.appendleft(longest.pop())
