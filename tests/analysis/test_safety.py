"""How cells and slices stand: seeds that lack, long runs that failed, data sets apart."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from picked_tables import RATES, line, seeds_of, source

from stabilitysweep.analysis.region import Region
from stabilitysweep.analysis.safety import SAFE, UNMEASURED, UNSTABLE, cell_states, joint_axes
from stabilitysweep.analysis.slice_bounds import Bounds, Reason, bounds_of_panel
from stabilitysweep.analysis.standing import Source, make_panels
from stabilitysweep.analysis.withdrawn import Withdrawn


def states(given: Source, where: Any = None, withdrawn: Any = ()) -> list[int]:
    panels = make_panels([given], where or {})
    found: list[int] = cell_states(panels, joint_axes(panels), withdrawn).ravel().tolist()
    return found


def bounds(given: Source, withdrawn: Any = ()) -> Bounds:
    (panel,) = make_panels([given], {})
    return bounds_of_panel(panel, {}, "learning_rate", withdrawn)


def failed_at(rate: float, **more: Any) -> Withdrawn:
    return Withdrawn({"learning_rate": rate, **more}, 1, 20, "5,000 steps")


def test_a_cell_with_one_of_two_seeds_is_not_measured() -> None:
    cells = {RATES[0]: "ss", RATES[1]: "s", RATES[2]: "sx", RATES[3]: "fx", RATES[4]: "f"}
    two = source(seeds_of(cells), seeds=2)
    assert states(two) == [SAFE, UNMEASURED, UNMEASURED, UNSTABLE, UNSTABLE]
    found = [Region([two]).verdict({"learning_rate": rate}).reason for rate in RATES]
    assert found == [Reason.SAFE, *[Reason.UNMEASURED] * 2, *[Reason.UNSTABLE] * 2]
    # The same seed twice is one seed.
    twice = seeds_of({RATES[0]: "ss"}).assign(seed=0)
    assert states(source(twice, seeds=2)) == [UNMEASURED]


def two_sets() -> Source:
    parts = [line("sss", dataset=name) for name in ("A", "B")]
    trials = pd.concat(parts, ignore_index=True)
    trials["trial_id"] = [f"t{number}" for number in range(len(trials))]
    return source(trials, ("dataset", "learning_rate"))


@pytest.mark.parametrize(
    ("where", "failed"), [({}, True), ({"dataset": "A"}, True), ({"dataset": "B"}, False)]
)
def test_a_long_run_that_failed_in_one_data_set_says_nothing_of_the_other(
    where: dict[str, Any], failed: bool
) -> None:
    withdrawn = [[failed_at(RATES[1], dataset="A")]]
    expected = [SAFE, UNSTABLE if failed else SAFE, SAFE]
    assert states(two_sets(), where, withdrawn) == expected
    region = Region([two_sets()], where, withdrawn=withdrawn)
    assert region.verdict({"learning_rate": RATES[1]}).allowed != failed
    # One that names no data set holds in both.
    assert states(two_sets(), where, [[failed_at(RATES[1])]]) == [SAFE, UNSTABLE, SAFE]


def test_a_rate_that_lacks_seeds_ends_what_is_safe_and_is_the_reason() -> None:
    cells = {RATES[0]: "ss", RATES[1]: "s", RATES[2]: "ss", RATES[3]: "ff"}
    two = source(seeds_of(cells), seeds=2)
    found = bounds(two)
    assert (float(found.safe), float(found.failing)) == (RATES[0], RATES[3])
    assert bool(found.gap)
    region = Region([two])
    for rate, reason in [
        (RATES[0], Reason.SAFE),
        (RATES[1], Reason.UNMEASURED),
        (RATES[2], Reason.UNMEASURED),
        (0.006, Reason.UNMEASURED),
        (RATES[3], Reason.UNSTABLE),
    ]:
        assert region.verdict({"learning_rate": rate}).reason is reason
    whole = source(seeds_of({**cells, RATES[1]: "ss"}), seeds=2)
    assert not bool(bounds(whole).gap)
    assert Region([whole]).verdict({"learning_rate": 0.006}).reason is Reason.BETWEEN


def test_a_cell_withdrawn_by_a_long_run_moves_what_fails() -> None:
    plain = source(line("ssssf"))
    assert float(bounds(plain).failing) == RATES[4]
    found = bounds(plain, [[failed_at(RATES[2])]])
    assert (float(found.safe), float(found.failing)) == (RATES[1], RATES[2])
    # One above the first failure moves nothing.
    above = bounds(source(line("ssfss")), [[failed_at(RATES[4])]])
    assert (float(above.safe), float(above.failing)) == (RATES[1], RATES[2])


def test_the_smallest_rate_that_fails_is_the_one_whatever_is_stable_above() -> None:
    found = bounds(source(line("sfsfs")))
    assert (float(found.safe), float(found.failing)) == (RATES[0], RATES[1])
    # Though the boundaries that were handed in know of a later one alone.
    given = source(line("sfsfs"))
    assert given.boundaries is not None
    late = Source("data", given.trials, given.axes, boundaries=given.boundaries.assign(failing=1.0))
    assert float(bounds(late).failing) == RATES[1]
