"""What becomes of stacks at which workers die: laws, without a worker."""

from __future__ import annotations

import math
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.engines.base import Stack
from stabilitysweep.executors import Job, Training
from stabilitysweep.executors.schedule import Death, GivenUp, Schedule, Task
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import Program

KILLED = Death("by SIGKILL")
STARVED = Death("by SIGKILL: out of memory", memory=True)
PLACES = 64


def stack(*trials: str) -> Stack:
    return Stack(cast("Program", None), cast("tuple[Trial, ...]", trials), PLACES)


def schedule_of(*stacks: Stack) -> Schedule:
    return Schedule([Job(tuple(Training("data", each) for each in stacks), 1.0)])


def taken(schedule: Schedule, worker: int = 0) -> Task:
    task = schedule.take(worker, idle=True)
    assert task is not None
    return task


def trials(task: Task) -> list[str]:
    return [str(trial) for trial in task.stack.trials]


def train_all(
    schedule: Schedule, killers: set[str], accidents: frozenset[int] = frozenset()
) -> tuple[list[str], list[GivenUp], int]:
    """Train with one worker that dies at `killers`, and at the tasks of these turns as well."""
    trained: list[str] = []
    lost: list[GivenUp] = []
    deaths = turn = 0
    while (task := schedule.take(0, idle=True)) is not None:
        ahead = schedule.take(0, idle=False)  # a worker holds the next one already
        held = [task, ahead] if ahead else [task]
        if killers.intersection(trials(task)) or turn in accidents:
            deaths += 1
            lost += schedule.died(0, held, KILLED)
        else:
            schedule.finished(task)
            trained += trials(task)
            schedule.give_back(0, held[1:])
        turn += 1
    return trained, lost, deaths


def test_one_death_is_no_reason_to_split() -> None:
    schedule = schedule_of(stack("a", "b"), stack("c"))
    first, second = taken(schedule), taken(schedule)
    assert schedule.died(0, [first, second], KILLED) == []
    assert len(schedule) == 2
    assert [trials(taken(schedule)), trials(taken(schedule))] == [["a", "b"], ["c"]]
    assert second.deaths == 0  # only the one it was at is suspected


def test_after_the_second_death_halves_are_tried_that_keep_the_places() -> None:
    schedule = schedule_of(stack("a", "b", "c"), stack("d"))
    schedule.died(0, [taken(schedule)], KILLED)
    schedule.died(0, [taken(schedule)], KILLED)
    assert len(schedule) == 3
    found = [taken(schedule) for _ in range(3)]
    assert [trials(task) for task in found] == [["a", "b"], ["c"], ["d"]]
    assert [task.part for task in found] == [True, True, False]
    assert {task.stack.places for task in found} == {PLACES}
    assert len({task.number for task in found}) == 3


def test_a_trial_alone_is_given_up_at_its_second_death_and_says_of_what() -> None:
    schedule = schedule_of(stack("a"))
    assert schedule.died(0, [taken(schedule)], KILLED) == []
    ((task, reason),) = schedule.died(0, [taken(schedule)], KILLED)
    assert trials(task) == ["a"]
    assert reason == "the worker process was ended by SIGKILL, 2 times"
    assert len(schedule) == 0


def test_a_worker_that_died_at_nothing_blames_nobody() -> None:
    schedule = schedule_of(stack("a"))
    assert schedule.died(0, [], KILLED) == []
    assert taken(schedule).deaths == 0


@settings(derandomize=True, deadline=None)
@given(st.data(), st.lists(st.integers(1, PLACES), min_size=1, max_size=4))
def test_just_the_trials_that_kill_are_given_up_and_they_do_not_cost_many_workers(
    data: st.DataObject, sizes: list[int]
) -> None:
    stacks = [[f"{number}:{place}" for place in range(size)] for number, size in enumerate(sizes)]
    killers = {
        name
        for names in stacks
        for name in data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
    }
    schedule = schedule_of(*(stack(*names) for names in stacks))
    trained, lost, deaths = train_all(schedule, killers)
    assert sorted(trained) == sorted(
        name for names in stacks for name in names if name not in killers
    )
    assert sorted(name for task, _ in lost for name in trials(task)) == sorted(killers)
    assert deaths <= sum(
        math.ceil(math.log2(len(names))) + 3
        for names in stacks
        for _ in killers.intersection(names)
    )


@settings(derandomize=True, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    accidents=st.frozensets(st.integers(0, 40), max_size=12),
)
def test_whatever_happens_to_workers_no_trial_is_lost_and_none_comes_twice(
    sizes: list[int], accidents: frozenset[int]
) -> None:
    stacks = [[f"{number}:{place}" for place in range(size)] for number, size in enumerate(sizes)]
    schedule = schedule_of(*(stack(*names) for names in stacks))
    trained, lost, _ = train_all(schedule, {"0:0"}, accidents)
    given_up = [name for task, _ in lost for name in trials(task)]
    assert sorted(trained + given_up) == sorted(name for names in stacks for name in names)
    assert "0:0" in given_up
    assert len(schedule) == 0


def test_a_stack_all_of_whose_trials_kill_is_given_up_without_trying_each() -> None:
    names = [f"{place}" for place in range(PLACES)]
    trained, lost, deaths = train_all(schedule_of(stack(*names), stack("other")), set(names))
    assert trained == ["other"]
    assert sorted(name for task, _ in lost for name in trials(task)) == sorted(names)
    assert deaths < 20
    reasons = [reason for task, reason in lost for _ in trials(task)]
    assert reasons[:4] == ["the worker process was ended by SIGKILL, 2 times"] * 4
    assert all("at each of 4 trials" in reason for reason in reasons[4:])
    assert [trials(task) for task, _ in lost[:4]] == [["0"], ["1"], ["2"], [names[-1]]]


def test_what_kills_at_one_end_of_a_stack_takes_nothing_else_with_it() -> None:
    names = [f"{place}" for place in range(PLACES)]
    killers = set(names[:20])
    trained, lost, _ = train_all(schedule_of(stack(*names)), killers)
    assert sorted(trained) == sorted(names[20:])
    assert {name for task, _ in lost for name in trials(task)} == killers


def test_want_of_memory_beside_other_workers_is_no_proof() -> None:
    schedule = schedule_of(stack("a"))
    for _ in range(5):
        assert schedule.died(0, [taken(schedule)], STARVED, crowded=True) == []
    assert schedule.died(0, [taken(schedule)], STARVED) == []
    ((task, reason),) = schedule.died(0, [taken(schedule)], STARVED)
    assert (trials(task), reason) == (
        ["a"],
        "the worker process was ended by SIGKILL: out of memory, 2 times",
    )
