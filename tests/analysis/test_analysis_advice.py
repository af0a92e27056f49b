"""What is said where no cell is safe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis.advice import Advice, Change
from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.picks import Recommendation, recommend
from stabilitysweep.analysis.standing import Source

RATES = (0.01, 0.02, 0.04, 0.08)
WORDS = {"s": "stable", "f": "nonfinite", "-": "stalled", "x": "crashed", "i": "nonfinite"}


def found_in(
    slices: dict[tuple[Any, ...], str],
    names: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
    rates: tuple[float, ...] = RATES,
    **more: Any,
) -> Recommendation:
    """Slices by their values on the axes `names`, each with a letter for each rate."""
    rows = [
        dict(zip(names, values, strict=True))
        | {
            "learning_rate": rate,
            "seed": 0,
            "outcome": WORDS[letter],
            "onset_stage": {"f": "gradient", "i": "input"}.get(letter),
            "steps_run": 50,
            "val_loss": np.nan if letter in "fxi" else 1.0,
            "final_loss": np.nan if letter in "fxi" else 1.0,
            "trial_id": f"{values}{rate}",
        }
        for values, letters in slices.items()
        for rate, letter in zip(rates, letters, strict=False)
        if letter != "."
    ]
    trials = pd.DataFrame(rows)
    axes = {name: tuple(dict.fromkeys(trials[name])) for name in (*names, "learning_rate")}
    axes["learning_rate"] = rates
    own = Source("data", trials, axes, boundaries=boundaries(trials, axes))
    return recommend([own], settings={"steps": 50, **(settings or {})}, **more)


def advice(found: Recommendation, change: Change) -> Advice:
    (one,) = (each for each in found.advice if each.change is change)
    return one


def changes(found: Recommendation) -> list[Change]:
    return [each.change for each in found.advice]


def test_where_everything_fails_learning_rates_are_to_be_lower() -> None:
    found = found_in({(): "ffff"})
    assert found.reason == "no cell is safe. Of 4, 4 fail for at least one seed."
    low, high, _ = advice(found, Change.RATES).values
    assert low < high == 0.01
    assert "fails at the lowest, 0.01" in str(advice(found, Change.RATES))
    assert advice(found, Change.STEPS).values[0] > 1


def test_at_the_edge_they_go_on_below_it_and_steps_make_up_for_it() -> None:
    found = found_in({(): "-sff"})
    assert "1 stalls" in str(found.reason)
    assert "1 is stable, but not known to be up to 2 times" in str(found.reason)
    low, high, number = advice(found, Change.RATES).values
    assert high == 0.02
    assert low < 0.01
    assert number > 8
    assert advice(found, Change.STEPS).text.startswith("200 steps instead of 50")
    assert Change.MARGIN not in changes(found)


def test_where_nothing_failed_they_go_up() -> None:
    found = found_in({(): "---s"})
    low, high, _ = advice(found, Change.RATES).values
    assert low < 0.08 < 0.16 < high
    assert "nothing failed up to 0.08" in str(advice(found, Change.RATES))


def test_a_narrower_margin_is_named_with_its_risk_and_refining_where_it_may_help() -> None:
    found = found_in({(): "ssff"}, margin=3)
    assert advice(found, Change.MARGIN).values == (2.0,)
    assert Change.REFINE in changes(found)  # fails at 0.04 > 3 * 0.01
    assert Change.REFINE not in changes(found_in({(): "ssff"}, margin=10))


def test_at_the_margin_that_is_named_there_is_a_pick() -> None:
    rates = (0.01, 0.01668, 0.05)
    named = advice(found_in({(): "ssf"}, rates=rates), Change.MARGIN).values
    assert named == (1.66,)
    assert [pick.rate for pick in found_in({(): "ssf"}, rates=rates, margin=named[0]).picks] == [
        0.01
    ]


def test_the_value_that_fails_least_is_named_and_kept() -> None:
    found = found_in(
        {("relu", 1): "ffff", ("relu", 2): "ffff", ("tanh", 1): "-fff", ("tanh", 2): "--ff"},
        ("activation", "depth"),
    )
    first, *_ = (each for each in found.advice if each.change is Change.VALUES)
    assert (first.axis, first.values) == ("activation", ("tanh",))
    assert "activation tanh fails least, in 62 % of its trials; activation relu in 100 %" in str(
        first
    )


def test_axes_whose_values_fail_alike_are_not_named() -> None:
    found = found_in({(1,): "ffff", (2,): "ffff"}, ("depth",))
    assert Change.VALUES not in changes(found)


def test_stalling_alone_asks_for_steps() -> None:
    found = found_in({(): "----"})
    assert Change.STEPS in changes(found)
    assert "break nothing and learn nothing" in str(advice(found, Change.STEPS))
    epochs = found_in({(): "----"}, settings={"steps": None, "epochs": 3})
    assert str(advice(epochs, Change.STEPS)).startswith("30 epochs instead of 3")


def test_half_precision_alone_asks_for_another() -> None:
    found = found_in({(): "ffff"}, settings={"precision": "float16"})
    assert advice(found, Change.PRECISION).values == ("float32",)
    for settings in ({"precision": "float32"}, {}):
        assert Change.PRECISION not in changes(found_in({(): "ffff"}, settings=settings))
    both = found_in({("float16",): "ffff", ("float32",): "ffff"}, ("precision",))
    assert Change.PRECISION not in changes(both)


@pytest.mark.parametrize(
    ("settings", "values"),
    [({"imputation": "none"}, ("mean", "median")), ({"imputation": "mean"}, ())],
)
def test_inputs_that_are_not_finite_are_to_be_filled(
    settings: dict[str, Any], values: tuple[str, ...]
) -> None:
    found = found_in({(): "iiii"}, settings=settings)
    assert changes(found) == [Change.IMPUTATION]
    assert found.advice[0].values == values
    assert "check" in str(found.advice[0])


def test_a_sweep_that_is_not_complete_is_to_be_finished() -> None:
    rows = found_in({(1,): "x...", (2,): "...."}, ("depth",))
    assert changes(rows) == [Change.FINISH]
    assert "crashed" in str(rows.advice[0])
    assert "1 lacks trials or has crashed ones" in str(rows.reason)


def test_without_a_learning_rate_axis_it_is_to_be_one() -> None:
    trials = pd.DataFrame(
        [
            {"depth": depth, "seed": 0, "outcome": "diverged", "trial_id": str(depth)}
            | {"steps_run": 50, "val_loss": 9.0, "final_loss": 9.0}
            for depth in (1, 2)
        ]
    )
    own = Source("data", trials, {"depth": (1, 2)})
    found = recommend([own], settings={"learning_rate": 0.5, "steps": 50})
    one = advice(found, Change.RATES)
    assert (one.axis, one.values[1]) == ("learning_rate", 0.5)
    unknown = advice(recommend([own]), Change.RATES)
    assert (unknown.axis, unknown.values) == (None, ())


def test_of_several_data_sets_it_is_said_what_is_safe_in_each() -> None:
    def one(name: str, letters: str) -> Source:
        trials = pd.DataFrame(
            [
                {"learning_rate": rate, "seed": 0, "outcome": WORDS[letter], "steps_run": 50}
                | {"val_loss": 1.0, "trial_id": f"{name}{rate}"}
                for rate, letter in zip(RATES, letters, strict=True)
            ]
        )
        axes = {"learning_rate": RATES}
        return Source(name, trials, axes, boundaries=boundaries(trials, axes))

    found = recommend([one("cars", "ffff"), one("iris", "sssf")])
    assert "Safe in one data set by itself: cars 0, iris 2." in str(found.reason)
    assert found.alone == {"cars": 0, "iris": 2}
    top = recommend([one("cars", "s---"), one("iris", "---s")])
    assert "nothing failed up to 0.08" in str(advice(top, Change.RATES))
    half = recommend([one("cars", "sfff"), one("iris", "ssss")])
    assert "nothing fails up to 0.01 at best" in str(advice(half, Change.RATES))


def test_advice_is_plain_in_json() -> None:
    found = found_in({(): "ffff"})
    plain = [each.to_json() for each in found.advice]
    assert plain[0]["change"] == "rates"
    assert plain[0]["axis"] == "learning_rate"
