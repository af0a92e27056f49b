"""How programs are compiled: measured before any of their trials is stored, and then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from inline_executor import InlineExecutor, run_inline

from stabilitysweep import execution, pace, rehearsal
from stabilitysweep.cli.plan_view import to_train
from stabilitysweep.config import parse_config
from stabilitysweep.costs import Costs
from stabilitysweep.errors import StabilitySweepError
from stabilitysweep.execution import Options, Plan, plan
from stabilitysweep.types import Compiled

STEPS = 10_000
"""Long enough for a program to be tried under XLA by two workers, too short for three."""

FASTER, SLOWER = (3e-4, 2e-4, 2.0, 3.0, True), (3e-4, 2.9e-4, 2.0, 3.0, True)
NEARLY = (3e-4, 2.5e-4, 2.0, 3.0, True)
DIFFERS = (3e-4, 1e-4, 2.0, 3.0, False)
ENDLESS = (3e-4, 2e-4, 1e6, 1e6, True)


class Rehearsal:
    """Stands in for the processes that try stacks out.

    Attributes:
        ways: what each says of the two ways of compiling.
        beside: what the first to be asked of that says instead.
        timing: what each says of how long a stack takes; None where it raised.
        timings_beside: what the first to be asked of that say instead.
        asked: which of the two was asked, and of how many stacks, by process.
    """

    def __init__(self) -> None:
        self.ways: tuple[Any, ...] | None = FASTER
        self.beside: list[tuple[Any, ...]] = []
        self.timing: tuple[float, float] | None = (2.0, 30.0)
        self.timings_beside: list[tuple[float, float] | None] = []
        self.asked: list[tuple[str, int]] = []

    def __call__(
        self, function: Callable[..., Any], stacks: Sequence[Any], data: Mapping[str, Any], _: float
    ) -> list[Any]:
        assert {training.data for training, _ in stacks} == set(data)
        ways = function is rehearsal._compare_ways
        self.asked.append(("ways" if ways else "time", len(stacks)))
        for training, xla in stacks:
            assert training.stack.program.compiled is Compiled.GRAPH
            if ways:
                assert xla.program.compiled is Compiled.XLA
                assert (xla.trials, xla.places) == (training.stack.trials, training.stack.places)
        beside = self.beside if ways else self.timings_beside
        said = beside.pop() if beside else self.ways if ways else self.timing
        return [said] * len(stacks)

    @property
    def tried(self) -> int:
        """How many programs the first process was to compare the ways of."""
        return next((count for what, count in self.asked if what == "ways"), 0)


@pytest.fixture(autouse=True)
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(execution, "_executor", lambda options: InlineExecutor())
    monkeypatch.setattr(execution, "available_cores", lambda: [0, 1])
    found = Rehearsal()
    monkeypatch.setattr(rehearsal, "call_apart", found)
    return found


def content(steps: int = STEPS, **sections: Any) -> dict[str, Any]:
    return {
        "name": "rehearsal",
        "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
        "model": {"width": 256, **sections.pop("model", {})},
        "training": {"steps": steps, "batch_size": 16, **sections.pop("training", {})},
        "grid": {"learning_rate": {"from": 1e-3, "to": 10, "num": 30, "scale": "log"}, **sections},
        "seeds": 2,
    }


def planned(
    folder: Path,
    config: dict[str, Any],
    announce: Callable[[int, float], None] | None = None,
    **options: Any,
) -> Plan:
    return plan(parse_config(config), folder, Options(**{"workers": 2, **options}), announce)


def compiled(work: Plan) -> set[Compiled]:
    return {stack.program.compiled for job in work.work.jobs for stack in job.stacks}


def test_short_programs_stay_in_the_graph_unasked(tmp_path: Path, rehearsed: Rehearsal) -> None:
    assert compiled(planned(tmp_path / "out", content(steps=100))) == {Compiled.GRAPH}
    assert rehearsed.asked == []


@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        (FASTER, Compiled.XLA),
        (SLOWER, Compiled.GRAPH),
        (DIFFERS, Compiled.GRAPH),
        (ENDLESS, Compiled.GRAPH),
        (None, Compiled.GRAPH),
    ],
    ids=["faster", "slower", "differs", "endless to compile", "cannot be tried"],
)
def test_a_long_program_is_compiled_as_is_faster(
    tmp_path: Path, rehearsed: Rehearsal, ways: tuple[Any, ...] | None, expected: Compiled
) -> None:
    rehearsed.ways = ways
    found = planned(tmp_path / "out", content())
    assert compiled(found) == {expected}
    assert rehearsed.tried == 1
    assert found.work.trials == sum(len(s.trials) for j in found.work.jobs for s in j.stacks) == 60
    assert not (tmp_path / "out").exists()


def test_each_program_has_its_own_choice(tmp_path: Path, rehearsed: Rehearsal) -> None:
    found = planned(tmp_path / "out", content(depth=[0, 4]))
    assert "in 2 programs (1 under XLA)" in to_train(found)
    assert rehearsed.tried == 1
    chosen = {
        j.stacks[0].program.model.depth: j.stacks[0].program.compiled for j in found.work.jobs
    }
    assert chosen == {0: Compiled.GRAPH, 4: Compiled.XLA}


def test_a_program_is_tried_that_occupies_all_workers_for_a_minute(
    tmp_path: Path, rehearsed: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "available_cores", lambda: list(range(8)))
    for workers, steps, tried in ((2, STEPS, 1), (3, STEPS, 0), (3, 2 * STEPS, 1), (7, STEPS, 0)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"{workers} {steps}"))
        rehearsed.asked = []
        found = planned(tmp_path / "out", content(steps), workers=workers)
        assert compiled(found) == {Compiled.XLA if tried else Compiled.GRAPH}
        assert rehearsed.asked == [("ways", 1)] * workers * tried


def test_the_costliest_are_tried_first_for_a_share_of_the_run_and_the_others_another_time(
    tmp_path: Path, rehearsed: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed.timing = None
    wanted = content(depth=[2, 4, 3])
    whole = planned(tmp_path / "out", wanted, compiled=Compiled.GRAPH).seconds
    # Its start and a program take about 12 seconds, two some 6 more.
    monkeypatch.setattr(rehearsal, "_XLA_SHARE", 15.0 / whole)
    for count in range(4):
        rehearsed.asked = []
        found = planned(tmp_path / f"{count}", wanted)
        assert rehearsed.tried == (1 if count < 3 else 0)
        under_xla = {
            job.stacks[0].program.model.depth
            for job in found.work.jobs
            if job.stacks[0].program.compiled is Compiled.XLA
        }
        assert under_xla == set((4, 3, 2)[: count + 1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    rehearsed.asked = []
    monkeypatch.setattr(rehearsal, "_XLA_SHARE", 10.0 / whole)
    assert compiled(planned(tmp_path / "out", wanted)) == {Compiled.GRAPH}
    assert rehearsed.tried == 0


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"dropout": 0.5}},
        {"training": {"precision": "float16"}},
        {"training": {"precision": "mixed_float16"}},
        {"training": {"precision": "mixed_bfloat16"}},
    ],
    ids=str,
)
def test_what_xla_computes_otherwise_stays_in_the_graph(
    tmp_path: Path, rehearsed: Rehearsal, sections: dict[str, Any]
) -> None:
    assert compiled(planned(tmp_path / "out", content(**sections))) == {Compiled.GRAPH}
    assert rehearsed.tried == 0


@pytest.mark.parametrize("how", list(Compiled))
def test_who_says_how_is_not_asked(tmp_path: Path, rehearsed: Rehearsal, how: Compiled) -> None:
    assert compiled(planned(tmp_path / "out", content(), compiled=how)) == {how}
    assert rehearsed.tried == 0
    assert compiled(planned(tmp_path / "out", content(), engine="fit")) == {Compiled.GRAPH}
    assert rehearsed.tried == 0


def test_what_was_measured_once_decides_in_every_folder(
    tmp_path: Path, rehearsed: Rehearsal
) -> None:
    planned(tmp_path / "one", content())
    rehearsed.ways = SLOWER
    assert compiled(planned(tmp_path / "two", content())) == {Compiled.XLA}
    assert rehearsed.asked.count(("ways", 1)) == 2  # once in each of two processes


def chosen_in_turn(
    folder: Path, rehearsed: Rehearsal, *measured: tuple[Any, ...] | None
) -> list[tuple[Compiled, bool]]:
    """How a program is compiled in one folder after another, and whether it was tried for it."""
    found = []
    for number, ways in enumerate(measured):
        rehearsed.ways, rehearsed.asked = ways, []
        (how,) = compiled(planned(folder / f"{number}", content()))
        found.append((how, rehearsed.tried == 1))
    return found


def test_what_is_not_clear_is_measured_a_few_times_and_the_median_decides(
    tmp_path: Path, rehearsed: Rehearsal
) -> None:
    graph, xla = Compiled.GRAPH, Compiled.XLA
    found = chosen_in_turn(tmp_path, rehearsed, NEARLY, SLOWER, FASTER, SLOWER)
    assert found == [(xla, True), (graph, True), (xla, True), (xla, False)]


def test_processes_that_disagree_are_asked_again(tmp_path: Path, rehearsed: Rehearsal) -> None:
    rehearsed.beside = [SLOWER]
    found = chosen_in_turn(tmp_path, rehearsed, FASTER, FASTER, FASTER, SLOWER)
    assert found == [(Compiled.XLA, tried) for tried in (True, True, True, False)]


def test_what_cannot_be_tried_is_tried_a_few_times(tmp_path: Path, rehearsed: Rehearsal) -> None:
    found = chosen_in_turn(tmp_path, rehearsed, None, None, None, FASTER)
    assert found == [(Compiled.GRAPH, tried) for tried in (True, True, True, False)]


def test_what_xla_computes_otherwise_is_never_outvoted(
    tmp_path: Path, rehearsed: Rehearsal
) -> None:
    found = chosen_in_turn(tmp_path, rehearsed, NEARLY, NEARLY, DIFFERS, FASTER)
    assert [how for how, _ in found] == [Compiled.XLA, Compiled.XLA, Compiled.GRAPH, Compiled.GRAPH]


def test_after_some_weeks_it_is_measured_anew_but_a_folder_keeps_its_choice(
    tmp_path: Path, rehearsed: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution.carry_out(planned(tmp_path / "old", content()))
    later = date.today() + timedelta(pace.DAYS + 1)
    monkeypatch.setattr(pace, "_today", lambda: later)
    assert chosen_in_turn(tmp_path, rehearsed, SLOWER) == [(Compiled.GRAPH, True)]
    assert compiled(planned(tmp_path / "old", content() | {"seeds": 3})) == {Compiled.XLA}


def test_a_cache_that_cannot_be_written_does_not_waste_what_was_measured(
    tmp_path: Path, rehearsed: Rehearsal
) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert compiled(planned(tmp_path / "out", content())) == {Compiled.XLA}


def test_what_is_tried_out_is_announced_before(tmp_path: Path, rehearsed: Rehearsal) -> None:
    said: list[tuple[int, float, int]] = []

    def announce(programs: int, seconds: float) -> None:
        said.append((programs, seconds, len(rehearsed.asked)))

    rehearsed.ways = SLOWER
    planned(tmp_path / "one", content(steps=100), announce)
    assert said == []
    planned(tmp_path / "one", content(60_000, depth=[2, 3]), announce)
    # The ways of both, in two processes; then how long the costlier takes.
    assert rehearsed.asked == [("ways", 2)] * 2 + [("time", 1)] * 2
    assert [(programs, before) for programs, _, before in said] == [(2, 0), (1, 2)]
    assert 30 > said[0][1] > said[1][1] > Costs().start
    planned(tmp_path / "two", content(60_000, depth=[2, 3]), announce)  # all of it is known now
    assert len(said) == 2


def test_what_died_is_asked_again(
    tmp_path: Path, rehearsed: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any) -> Any:
        raise StabilitySweepError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(rehearsal, "call_apart", dies)
        assert compiled(planned(tmp_path / "out", content())) == {Compiled.GRAPH}
    assert compiled(planned(tmp_path / "out", content())) == {Compiled.XLA}


@pytest.mark.parametrize(("first", "later"), [(FASTER, SLOWER), (SLOWER, FASTER)])
def test_a_folder_keeps_its_choice_and_so_do_those_that_follow_it(
    tmp_path: Path,
    rehearsed: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    first: tuple[Any, ...],
    later: tuple[Any, ...],
) -> None:
    rehearsed.ways, rehearsed.timing = first, None
    folder = tmp_path / "out"
    found = planned(folder, content())
    expected = compiled(found)
    execution.carry_out(found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    rehearsed.ways, rehearsed.asked = later, []
    more = content() | {"seeds": 3}
    assert compiled(planned(folder, more)) == expected
    assert compiled(planned(folder / "refined", more)) == expected
    assert compiled(planned(folder / "confirmed" / "9_steps", content(90_000))) == expected
    assert rehearsed.tried == 0
    assert compiled(planned(tmp_path / "beside", more)) != expected


def test_the_choice_is_kept_before_any_trial_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stops(InlineExecutor):
        def train(self, jobs: Any, data: Any) -> Any:
            raise KeyboardInterrupt
            yield

    monkeypatch.setattr(execution, "_executor", lambda options: Stops())
    with pytest.raises(KeyboardInterrupt):
        execution.carry_out(planned(tmp_path / "out", content()))
    chosen, others = rehearsal.stored_choices(tmp_path / "out")
    assert (set(chosen.values()), others) == ({Compiled.XLA}, None)


def test_trials_that_were_told_how_are_joined_by_such(tmp_path: Path, rehearsed: Rehearsal) -> None:
    folder = tmp_path / "out"
    run_inline(folder, content())  # its flags say graph
    assert compiled(planned(folder, content() | {"seeds": 3})) == {Compiled.GRAPH}
    assert compiled(planned(folder, content(depth=[2, 3]), fresh=True)) == {Compiled.XLA}
    assert rehearsed.tried == 1 + 1


def test_a_long_run_of_an_unknown_model_is_timed_once(
    tmp_path: Path, rehearsed: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsed.ways = SLOWER
    found = planned(tmp_path / "out", content(60_000))
    assert ("time", 1) in rehearsed.asked
    ran = 0.9 * 30.0 * found.work.trials / len(found.work.jobs[0].stacks[0].trials)
    assert found.seconds == pytest.approx(6.0 + (ran + 2 * 2.0) / found.workers, rel=1e-3)
    rehearsed.asked = []
    again = planned(tmp_path / "out", content(60_000), fresh=True)
    assert (again.seconds, rehearsed.asked) == (found.seconds, [])
    # The formula is of models of ours: they are timed only where a run is very long.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    rehearsed.ways = DIFFERS
    planned(tmp_path / "other", content(2 * STEPS, model={"width": 200}))
    assert rehearsed.asked == [("ways", 1)] * 2


@pytest.mark.parametrize(
    ("beside", "as_if"),
    [
        ([(2.0, -1.0)], (2.0, -1.0)),  # one by one: a mark, which is no number of seconds
        ([(9.0, 3000.0)], (2.0, 30.0)),  # disturbed
        ([None], (2.0, 30.0)),
    ],
    ids=["one by one in one process", "one of three disturbed", "one of three raised"],
)
def test_processes_that_time_a_stack_differently(
    tmp_path: Path,
    rehearsed: Rehearsal,
    monkeypatch: pytest.MonkeyPatch,
    beside: list[tuple[float, float] | None],
    as_if: tuple[float, float],
) -> None:
    monkeypatch.setattr(execution, "available_cores", lambda: [0, 1, 2])
    rehearsed.ways = SLOWER

    def expected(place: str) -> float:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
        return planned(tmp_path / "out", content(90_000), workers=3).seconds

    rehearsed.timings_beside = list(beside)
    found = expected("one")
    assert rehearsed.timings_beside == []
    rehearsed.timing = as_if
    assert found == expected("another")


def test_short_runs_are_not_timed(tmp_path: Path, rehearsed: Rehearsal) -> None:
    planned(tmp_path / "out", content(steps=200, depth=[1, 2, 3]))
    assert rehearsed.asked == []
    assert pace.known() == {}
