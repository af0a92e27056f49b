"""Which models share a graph, and what becomes of those that cannot be stacked."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from user_sweeps import lay_out, stacks_of, train

from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.verified import VerifiedEngine
from stabilitysweep.models import survey
from stabilitysweep.runner import Sweep
from stabilitysweep.types import TrialResult

RATES = (0.01, 0.05)


def programs(sweep: Sweep) -> list[str]:
    """The digests of a sweep's programs, a cell each, in the order of the grid."""
    assert not sweep.failed
    return [t.blueprint.program for t in sweep.grid if t.blueprint is not None]


def assert_same(ours: dict[str, TrialResult], own: dict[str, TrialResult]) -> None:
    """Equal to the bit but for who trained: by one engine in the end."""
    assert ours.keys() == own.keys()
    for key, result in ours.items():
        for field in dataclasses.fields(result):
            a, b = getattr(result, field.name), getattr(own[key], field.name)
            if field.name == "trace":
                np.testing.assert_array_equal(a.loss, b.loss)
            elif not (isinstance(a, float) and math.isnan(a) and math.isnan(b)):
                assert a == b, field.name


def test_cells_that_differ_in_a_number_share_a_program_and_each_equals_its_own_fit(
    stacked: VerifiedEngine, fit: FitEngine
) -> None:
    sweep = lay_out("subclassed", "columns", l2=(0.01, 0.5), learning_rate=RATES)
    assert len(set(programs(sweep))) == 1
    ((_, stack),) = stacks_of(sweep)
    assert len(stack.trials) == 4
    ours, own = train(stacked, sweep), train(fit, sweep)
    for key, result in own.items():
        assert ours[key].engine == "stacked"
        np.testing.assert_allclose(ours[key].final_loss, result.final_loss, rtol=1e-6)
    losses = [result.final_loss for result in own.values()]
    assert min(np.diff(sorted(losses))) > 1e-3, "the numbers make no difference here"


@pytest.mark.parametrize(
    ("build", "axis", "values", "programs_expected"),
    [
        pytest.param("dropped", "factor", (1.0, 2.0), 2, id="a constant in a closure"),
        pytest.param("dropped", "dropout", (0.1, 0.2), 2, id="a rate of dropout"),
        pytest.param("subclassed", "factor", (1.0, 2.0), 2, id="an attribute of a layer"),
        pytest.param("dropped", "l2", (0.1, 0.2, 0.3), 1, id="a strength"),
        pytest.param("subclassed", "l2", (0.0, 0.2), 2, id="no strength and one"),
        pytest.param("optimizers", "update", ("lamb", "adamax"), 2, id="optimizers"),
        pytest.param("optimizers", "learning_rate", (0.1, 0.2), 1, id="learning rates"),
    ],
)
def test_what_shapes_the_graph_parts_programs(
    build: str, axis: str, values: tuple[Any, ...], programs_expected: int
) -> None:
    sweep = lay_out(build, "columns", **{axis: values})
    assert len(set(programs(sweep))) == programs_expected


def test_a_wrong_sharing_is_caught_named_and_gone_around(
    stacked: VerifiedEngine, fit: FitEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "graph_digest", lambda concrete: "one")
    sweep = lay_out("subclassed", "columns", factor=(1.0, 2.0), steps=4)
    assert len(set(programs(sweep))) == 1
    ours = train(stacked, sweep)
    (verdict,) = stacked.verdicts
    assert not verdict.agrees
    assert verdict.text.startswith("activation 'weighing': loss of step 1")
    assert {result.engine for result in ours.values()} == {"fit"}
    assert_same(ours, train(fit, sweep))


@pytest.mark.parametrize(
    ("build", "data", "reason"),
    [
        ("untracked", "columns", "it reads seen"),
        ("unseeded", "columns", "it reads sequential/unseeded/seed_generator_state"),
        pytest.param("summed", "sequences", "it cannot be vectorised", marks=pytest.mark.slow),
    ],
    ids=["a variable of its own", "unseeded random numbers", "a loop"],
)
def test_a_model_that_cannot_be_stacked_has_the_results_of_fit(
    stacked: VerifiedEngine, fit: FitEngine, build: str, data: str, reason: str
) -> None:
    sweep = lay_out(build, data, learning_rate=RATES[:1], steps=4)
    ((_, stack),) = stacks_of(sweep)
    ours = train(stacked, sweep)
    assert reason in (stack.alone or stacked.verdicts[0].text)
    assert {result.engine for result in ours.values()} == {"fit"}
    assert_same(ours, train(fit, sweep))


def test_a_trial_that_breaks_changes_no_bit_of_its_neighbours(stacked: VerifiedEngine) -> None:
    sound = train(stacked, lay_out("averaged", "columns", learning_rate=RATES))
    mixed = train(stacked, lay_out("averaged", "columns", learning_rate=(*RATES, 1e10, 1e30)))
    assert {key: mixed[key].trace.loss.tolist() for key in sound} == {
        key: result.trace.loss.tolist() for key, result in sound.items()
    }
    assert all(mixed[key].final_loss == result.final_loss for key, result in sound.items())
    assert any(math.isnan(result.final_loss) for result in mixed.values())
