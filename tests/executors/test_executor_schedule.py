"""The order in which stacks are handed out: laws, whatever the workers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, overload

from hypothesis import given
from hypothesis import strategies as st

from stabilitysweep.engines.base import Stack
from stabilitysweep.executors import Job, Training
from stabilitysweep.executors.schedule import Schedule, Task


def job(name: str, stacks: int, cost: float) -> Job:
    own = (Training("data", cast("Stack", f"{name}{place}")) for place in range(stacks))
    return Job(tuple(own), cost)


def names(tasks: list[Task]) -> list[str]:
    return [cast("str", task.stack) for task in tasks]


def take_all(schedule: Schedule, worker: int) -> list[Task]:
    taken = []
    while (task := schedule.take(worker, idle=True)) is not None:
        taken.append(task)
    return taken


def test_the_most_expensive_job_comes_first_and_whole() -> None:
    schedule = Schedule([job("a", 2, 1.0), job("b", 3, 5.0)])
    assert len(schedule) == 5
    assert names(take_all(schedule, 0)) == ["b0", "b1", "b2", "a0", "a1"]
    assert len(schedule) == 0


def test_each_worker_keeps_to_its_job() -> None:
    schedule = Schedule([job("a", 3, 2.0), job("b", 3, 1.0)])
    taken = [schedule.take(worker, idle=False) for worker in (0, 1, 0, 1, 0, 1)]
    assert names([task for task in taken if task]) == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_only_an_idle_worker_takes_from_another_and_only_half() -> None:
    schedule = Schedule([job("a", 6, 1.0)])
    assert schedule.take(0, idle=True)
    assert schedule.take(1, idle=False) is None
    stolen = schedule.take(1, idle=True)
    assert stolen is not None
    assert names([stolen]) == ["a3"]
    assert len(schedule) == 4
    assert names(
        [t for t in (schedule.take(0, idle=False), schedule.take(1, idle=False)) if t]
    ) == [
        "a1",
        "a4",
    ]


def test_what_was_given_back_comes_first_in_its_order() -> None:
    schedule = Schedule([job("a", 4, 1.0)])
    first, second = schedule.take(0, idle=True), schedule.take(0, idle=True)
    assert first is not None
    assert second is not None
    schedule.give_back(0, [first, second])
    assert names(take_all(schedule, 0)) == ["a0", "a1", "a2", "a3"]


def test_the_stacks_of_a_retired_worker_go_to_another() -> None:
    schedule = Schedule([job("a", 3, 1.0)])
    first = schedule.take(0, idle=True)
    assert first is not None
    schedule.give_back(0, [first])
    schedule.retire(0)
    schedule.retire(7)  # one that never had anything
    assert names(take_all(schedule, 1)) == ["a0", "a1", "a2"]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 6), st.floats(0, 10)), max_size=6),
    calls=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["take", "idle", "lose", "retire"])),
        max_size=60,
    ),
)
def test_every_stack_is_handed_out_exactly_once(
    sizes: list[tuple[int, float]], calls: list[tuple[int, str]]
) -> None:
    jobs = [job(f"{number}:", size, cost) for number, (size, cost) in enumerate(sizes)]
    schedule = Schedule(jobs)
    held: dict[int, list[Task]] = {worker: [] for worker in range(5)}
    for worker, action in calls:
        if action in ("take", "idle"):
            task = schedule.take(worker, idle=action == "idle")
            held[worker] += [task] if task else []
        else:
            lost, held[worker] = held[worker][-2:], held[worker][:-2]
            schedule.give_back(worker, lost)
            if action == "retire":
                schedule.retire(worker)
    for worker in range(4):
        schedule.retire(worker)
    held[4] += take_all(schedule, 4)
    everything = names([task for tasks in held.values() for task in tasks])
    assert sorted(everything) == sorted(str(stack) for one in jobs for stack in one.stacks)


class Lazy(Sequence[Training]):
    """A million stacks, each made when it is asked for."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __len__(self) -> int:
        return 1_000_000

    @overload
    def __getitem__(self, place: int) -> Training: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Training]: ...
    def __getitem__(self, place: int | slice) -> Training | Sequence[Training]:
        assert isinstance(place, int)
        self.made.append(place)
        return Training("data", cast("Stack", f"{place}"))


def test_no_stack_is_made_before_it_is_taken() -> None:
    trainings = Lazy()
    schedule = Schedule([Job(cast("tuple[Training, ...]", trainings), 1.0)])
    assert len(schedule) == 1_000_000
    assert trainings.made == []
    assert names([t for t in (schedule.take(0, idle=True), schedule.take(1, idle=True)) if t]) == [
        "0",
        "500000",
    ]
    assert len(schedule) == 999_998
    assert trainings.made == [0, 500_000]


def test_a_worker_is_between_jobs_when_it_has_been_given_all_of_one() -> None:
    schedule = Schedule([job("a", 2, 2.0), job("b", 1, 1.0)])
    assert schedule.between_jobs(0)
    first = schedule.take(0, idle=True)
    assert first is not None
    assert not schedule.between_jobs(0)
    assert schedule.take(0, idle=True)
    assert schedule.between_jobs(0)
    schedule.give_back(0, [first])
    assert not schedule.between_jobs(0)
