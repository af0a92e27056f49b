"""What want of memory costs on Ray, node by node: seen on actors without a process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from stabilitysweep.engines.base import Stack
from stabilitysweep.executors import Job, RayExecutor, Training, ray_executor
from stabilitysweep.executors.ray_supervisor import Ended, Started
from stabilitysweep.executors.schedule import Death, GivenUp, Schedule, Task
from stabilitysweep.executors.worker import Answer
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import Program
from stabilitysweep.provenance import versions
from stabilitysweep.types import Outcome, TrialResult

TRIALS = 60
SHORT = Death("by SIGKILL", memory=True, by_signal=True)
BROKEN = Death("by SIGSEGV", by_signal=True)


@dataclass(eq=False)
class Call:
    """What an actor was asked, and the reply to come."""

    actor: Actor
    reply: Any

    def future(self) -> Call:
        return self

    def result(self) -> Any:
        self.actor.calls.remove(self)
        self.actor.heard = self.actor.cluster.round
        death, self.actor.death = self.actor.death, None
        return self.reply if death is None else Ended(death, ready=True)


@dataclass(eq=False)
class Actor:
    """One worker; whatever it is asked next when its process ends, is answered by that."""

    cluster: Cluster
    node: str
    heard: int = 0
    death: Death | None = None
    calls: list[Call] = field(default_factory=list)

    @property
    def ready(self) -> Any:
        asked = SimpleNamespace(remote=lambda: self._asked(Started(self.node, versions())))
        return SimpleNamespace(options=lambda **_: asked)

    @property
    def train(self) -> Any:
        def asked(number: int, key: str, stack: Stack, data: Any) -> Call:
            names = [str(trial) for trial in stack.trials]
            results = [TrialResult(name, Outcome.STABLE, "none") for name in names]
            return self._asked(Answer(number, results))

        return SimpleNamespace(remote=asked)

    def _asked(self, reply: Any) -> Call:
        self.calls.append(Call(self, reply))
        return self.calls[-1]


@dataclass
class Cluster:
    """Stands for the module `ray`: actors on nodes, each heard of when its turn comes.

    Attributes:
        nodes: of the actors, in the order in which they are hired.
        ends: by a round, which of the actors that are left have their process end in it, and how.
    """

    nodes: Sequence[str]
    ends: dict[int, tuple[list[int], Death]]
    round: int = 0
    hired: list[Actor] = field(default_factory=list)
    left: list[Actor] = field(default_factory=list)
    dismissed: list[tuple[int, str]] = field(default_factory=list)  # in which round, where
    crowded: list[bool] = field(default_factory=list)  # of deaths, in the order they are heard of

    exceptions: ClassVar = SimpleNamespace(RayError=(), RayTaskError=())  # nothing is lost here

    def remote(self, _: type) -> Any:
        made = SimpleNamespace(remote=self._hire)
        return SimpleNamespace(options=lambda **_: made)

    def put(self, data: Any) -> Any:
        return data

    def kill(self, actor: Actor) -> None:
        self.left.remove(actor)
        self.dismissed.append((self.round, actor.node))

    def wait(self, asked: Collection[Call], return_when: str) -> tuple[set[Call], set[Call]]:
        if self.round in self.ends:
            places, death = self.ends[self.round]
            for place in places:
                self.left[place].death = death
        self.round += 1
        speakers = [actor for actor in self.left if actor.calls and actor.calls[0] in asked]
        dead = [actor for actor in speakers if actor.death is not None]
        speaker = dead[0] if dead else min(speakers, key=lambda actor: actor.heard)
        return {speaker.calls[0]}, set()

    def _hire(self, *_: Any) -> Actor:
        self.hired.append(Actor(self, self.nodes[len(self.hired) % len(self.nodes)]))
        self.left.append(self.hired[-1])
        return self.hired[-1]


def trained(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Train on it; every trial must come once, stable. Returns who was done without."""

    @contextmanager
    def connected(*_: Any) -> Iterator[Cluster]:
        yield cluster

    blame = Schedule.died

    def died(
        schedule: Schedule, worker: int, held: Sequence[Task], death: Death, *, crowded: bool
    ) -> list[GivenUp]:
        cluster.crowded.append(crowded)
        return blame(schedule, worker, held, death, crowded=crowded)

    monkeypatch.setattr(ray_executor, "connected", connected)
    monkeypatch.setattr(ray_executor, "wait", cluster.wait)
    monkeypatch.setattr(Schedule, "died", died)
    stacks = [
        Stack(cast("Program", None), cast("tuple[Trial, ...]", (f"{number}",)), 8)
        for number in range(TRIALS)
    ]
    job = Job(tuple(Training("data", stack) for stack in stacks), 1.0)
    data = cast("Any", {"data": None})
    done = list(RayExecutor(len(cluster.nodes), "none").train([job], data))
    results = [found for each in done for found in each.results]
    assert sorted(found.trial_id for found in results) == sorted(map(str, range(TRIALS)))
    assert {found.outcome for found in results} == {Outcome.STABLE}
    assert cluster.left == []
    return [(number, node) for number, node in cluster.dismissed if number < cluster.round]


@pytest.mark.parametrize(
    "ended", [[0], [3], [0, 1], [2, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3]], ids=str
)
def test_one_shortage_costs_a_node_one_worker_however_many_it_ends(
    ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster("aaaa", {9: (ended, SHORT)})
    assert trained(cluster, monkeypatch) == [(10, "a")]
    assert cluster.crowded == [True] * len(ended)


def test_of_two_workers_the_second_that_it_ends_is_not_to_blame_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster("aa", {9: ([0, 1], SHORT)})
    assert trained(cluster, monkeypatch) == [(10, "a")]
    assert cluster.crowded == [True, True]


def test_another_shortage_costs_another_and_the_last_worker_is_a_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster("aaa", {9: ([0, 1], SHORT), 19: ([0, 1], SHORT), 29: ([0], SHORT)})
    assert trained(cluster, monkeypatch) == [(10, "a"), (20, "a")]
    assert cluster.crowded == [True] * 4 + [False]


def test_a_node_that_runs_short_says_nothing_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("abab", {9: ([0, 2], SHORT), 12: ([0, 2], SHORT)})
    # Done without is the first of node a; the left are then b, a, b.
    assert trained(cluster, monkeypatch) == [(10, "a"), (13, "b")]
    assert cluster.crowded == [True] * 4


def test_a_stack_that_breaks_its_process_costs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("aaaa", {9: ([0, 2], BROKEN)})
    assert trained(cluster, monkeypatch) == []
    assert cluster.crowded == [False, False]
