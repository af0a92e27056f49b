"""Which learning rates are trained next: laws of the rounds that narrow a bracket."""

import itertools
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis.refinement import (
    MOST_PARTS,
    between,
    cells_of,
    check_tolerance,
    is_within,
    next_rates,
    tally,
)
from stabilitysweep.errors import UserError

lawful = settings(derandomize=True, deadline=None, max_examples=150)


def table_of(*rows: tuple[float, float, str], islands: int = 0) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["safe", "failing", "status"])
    return table.assign(islands=islands)


@lawful
@given(
    safe=st.floats(1e-6, 1e3),
    ratio=st.floats(1.0002, 1e4),
    tolerance=st.floats(1e-3, 1.0),
    where=st.floats(0, 1),
)
def test_every_bracket_is_narrowed_in_as_few_rounds_as_there_are_parts(
    safe: float, ratio: float, tolerance: float, where: float
) -> None:
    failing = safe * ratio
    limit = safe * ratio**where
    low, high, rounds, trials = safe, failing, 0, 0
    while not is_within(low, high, tolerance):
        (rates,) = next_rates(table_of((low, high, "found")), tolerance).values()
        assert rates == sorted(set(rates))
        assert low < rates[0] and rates[-1] < high
        assert 1 <= len(rates) < MOST_PARTS
        rounds, trials = rounds + 1, trials + len(rates)
        low = max([low, *(rate for rate in rates if rate <= limit)])
        high = min([high, *(rate for rate in rates if rate > limit)])
    needed = math.log(ratio) / math.log1p(tolerance)
    least = math.ceil(math.log(max(needed, 1), MOST_PARTS) - 1e-9)
    assert rounds <= least + 1
    # Bisection would take the fewest trials: this takes at most twice as many and a round.
    assert trials <= 2 * math.ceil(math.log2(max(needed, 1))) + MOST_PARTS


def test_a_grid_of_twenty_rates_takes_two_rounds() -> None:
    ratio = 10 ** (4 / 19)
    first = between(1.0, ratio, 0.05)
    assert len(first) == 3
    assert first == pytest.approx([ratio**0.25, ratio**0.5, ratio**0.75], rel=1e-5)
    assert len(between(1.0, first[0], 0.05)) == 2


def test_rates_are_short_unless_the_tolerance_needs_digits() -> None:
    assert between(1.0, 2.0, 0.5) == [1.41421]
    fine = between(1.0, 1.0005, 1e-4)
    assert len(set(fine)) == len(fine)
    assert all(len(f"{rate:.12g}") <= 9 for rate in fine)


def test_a_fine_tolerance_far_from_1_has_the_digits_it_needs() -> None:
    # Six digits would make these ends one and the same, or leave the bracket too wide.
    low, high = 9.99990, 9.99990 * (1 + 2.5e-4)
    rates = between(low, high, 1e-4)
    assert len({low, *rates, high}) == len(rates) + 2
    steps = [low, *rates, high]
    assert all(is_within(one, other, 1e-4) for one, other in itertools.pairwise(steps))
    assert between(1.0, 1.0003, 1e-4) == [1.0001, 1.0002]
    assert len(f"{between(1.23456, 1.23456 * 1.0003, 1e-4)[0]}".replace(".", "")) == 7


@lawful
@given(safe=st.floats(1e-3, 10), tolerance=st.floats(1e-3, 1.0), parts=st.integers(2, MOST_PARTS))
def test_a_part_of_the_planned_width_is_narrow_enough_once_rounded(
    safe: float, tolerance: float, parts: int
) -> None:
    failing = safe * (1 + tolerance) ** (parts - 0.001)
    ends = [safe, *between(safe, failing, tolerance), failing]
    assert len(ends) == parts + 1
    widest = max(other / one for one, other in itertools.pairwise(ends))
    assert widest < (1 + tolerance) * (1 + 2e-5)
    assert is_within(safe, safe * (1 + tolerance) * (1 + 5e-7), tolerance)
    assert not is_within(safe, safe * (1 + tolerance) * (1 + 5e-6), tolerance)


def test_a_safe_rate_of_0_is_no_bracket() -> None:
    table = table_of((0.0, 0.1, "found"), (0.1, 1.0, "found"), (0.0, 1.0, "gap"))
    assert list(next_rates(table, 0.05)) == [1]
    assert not is_within(0.0, 0.1, 0.05)
    found = tally(table, 0.05)
    assert (found.within, found.wider, found.slices) == (0, 1, 3)
    assert {str(status): number for status, number in found.others.items()} == {
        "all_fail": 1,
        "gap": 1,
    }


def test_only_slices_with_a_bracket_are_refined() -> None:
    nan = math.nan
    table = table_of(
        (1.0, 2.0, "found"),
        (1.0, 1.04, "found"),
        (10.0, nan, "no_failure"),
        (nan, 0.1, "all_fail"),
        (1.0, 10.0, "gap"),
        (nan, 10.0, "unmeasured"),
        (3.0, 4.0, "found"),
    )
    assert list(next_rates(table, 0.05)) == [0, 6]
    found = tally(table, 0.05)
    assert (found.within, found.wider, found.ragged, found.slices) == (1, 2, 0, 7)
    others = {str(status): number for status, number in found.others.items()}
    assert others == {"no_failure": 1, "all_fail": 1, "gap": 1, "unmeasured": 1}
    assert tally(table.assign(islands=2), 0.05).ragged == 3


def test_cells_hold_every_slice_once_with_its_rates() -> None:
    table = pd.DataFrame({"depth": [1, 2], "activation": ["relu", None]}, dtype=object)
    cells = cells_of(table, ["depth", "lr", "activation"], "lr", {1: [0.3, 0.2, 0.3], 0: []})
    assert cells == [{"depth": 2, "activation": None, "lr": [0.2, 0.3]}]


@pytest.mark.parametrize("tolerance", [0, -1, 1e-5, 11, math.nan, math.inf])
def test_a_tolerance_that_cannot_be_met_is_refused(tolerance: float) -> None:
    with pytest.raises(UserError, match=r"tolerance: expected a number from 0.0001 to 10, got"):
        check_tolerance(tolerance)
    assert check_tolerance(0.05) == 0.05
