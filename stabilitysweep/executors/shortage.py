"""Which workers that the system ended for want of memory belong to the same shortage.

One shortage may end several workers, and each is heard of at a time of its own: the first to be
heard of speaks for all. Only for it are workers done without, and none of these deaths is held
against a stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from stabilitysweep.executors.schedule import Death, Task


class Finding(NamedTuple):
    """What a death says of the number of workers.

    Attributes:
        crowded: whether it comes of other workers being at work; see `Schedule.died`.
        fewer: whether workers are to be done without for it.
    """

    crowded: bool
    fewer: bool


class Shortages:
    """What workers were at when others were done without, by their place."""

    def __init__(self) -> None:
        """Begin with none."""
        self._under_way: dict[int, set[int]] = {}

    def judge(self, place: int, held: Sequence[Task], death: Death, *, beside: bool) -> Finding:
        """Say whether a death comes of too many workers, and whether it is the first to say so.

        Args:
            place: of the worker that ended.
            held: the tasks it had not finished, in its order; it was at the first.
            death: how it ended.
            beside: whether other workers share its memory.
        """
        under_way = self._under_way.pop(place, set())
        late = death.memory and any(task.number in under_way for task in held[:1])
        crowded = death.memory and (late or beside)
        return Finding(crowded, crowded and not late)

    def met(self, held: Mapping[int, Iterable[Task]]) -> None:
        """Note that workers were done without.

        Args:
            held: of those that shared the memory and are left, the tasks by place. If one of them
                is heard to have ended at one of these, that was the same shortage.
        """
        for place, tasks in held.items():
            self._under_way[place] = {task.number for task in tasks}

    def forget(self, place: int) -> None:
        """Note that what a worker was at has gone to others: who comes there begins anew."""
        self._under_way.pop(place, None)
