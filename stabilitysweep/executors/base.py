"""What an executor is: it trains stacks somewhere and hands back results as they finish."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.types import TrialResult


@dataclass(frozen=True, slots=True)
class Job:
    """The stacks of one program on one prepared data set.

    One worker takes a whole job, so that its program is compiled once.

    Attributes:
        data: key of the prepared data.
        stacks: at least one.
        cost: expected work of the whole job, in any unit that all jobs share.
    """

    data: str
    stacks: tuple[Stack, ...]
    cost: float


@dataclass(frozen=True, slots=True)
class StackDone:
    """The results of one stack, in the order of its trials."""

    stack: Stack
    results: Sequence[TrialResult]


class Executor(Protocol):
    """Trains jobs, in any order.

    Every trial of every job comes back exactly once: trained, or `crashed` with the
    reason. Nothing is lost when a worker dies.
    """

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        """Yield every stack's results as it finishes.

        Closing the generator early stops the work that is under way.
        """
