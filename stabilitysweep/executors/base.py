"""What an executor is: it trains stacks somewhere and hands back results as they finish."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, overload

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.types import TrialResult, Verdict


class Training(NamedTuple):
    """A stack and what it is trained on.

    Attributes:
        data: key of the prepared data.
        stack: the trials.
    """

    data: str
    stack: Stack


@dataclass(frozen=True, slots=True)
class Job:
    """The stacks of one program, on data of one shape.

    One worker takes a whole job, so that its program is compiled once: other data of the
    same shape is no reason to compile it again.

    Attributes:
        trainings: at least one; those on the same data follow one another. They may be made
            when they are asked for, by their place, each time anew: to keep one costs memory.
        cost: expected work of the whole job, in any unit that all jobs share.
    """

    trainings: Sequence[Training]
    cost: float

    @property
    def stacks(self) -> Sequence[Stack]:
        """The stacks alone, made as the trainings are."""
        return _Stacks(self.trainings)


@dataclass(frozen=True, slots=True)
class _Stacks(Sequence[Stack]):
    trainings: Sequence[Training]

    def __len__(self) -> int:
        return len(self.trainings)

    @overload
    def __getitem__(self, place: int) -> Stack: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Stack]: ...

    def __getitem__(self, place: int | slice) -> Stack | Sequence[Stack]:
        if isinstance(place, slice):
            return tuple(training.stack for training in self.trainings[place])
        return self.trainings[place].stack


class Took(NamedTuple):
    """How long a stack took its worker.

    Attributes:
        seconds: from the first look at it to its results.
        traced: whether its program was traced, compiled and compared within these.
    """

    seconds: float
    traced: bool


@dataclass(frozen=True, slots=True)
class StackDone:
    """The results of one stack, in the order of its trials.

    Attributes:
        stack: the trials.
        results: of each.
        verdicts: on programs of users' models that were compared on the way.
        took: how long it took; None where nobody trained it.
    """

    stack: Stack
    results: Sequence[TrialResult]
    verdicts: Sequence[Verdict] = ()
    took: Took | None = None


class Executor(Protocol):
    """Trains jobs, in any order.

    Every trial of every job comes back exactly once: trained, or `crashed` with the
    reason. Nothing is lost when a worker dies.
    """

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        """Yield every stack's results as it finishes.

        Closing the generator early stops the work that is under way.
        """
