"""Tables with the columns of axes, some of them called as another column is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compared_tables import RATES, make_member
from picked_tables import line, source

from stabilitysweep.analysis.curves import curves
from stabilitysweep.analysis.picks import recommend
from stabilitysweep.analysis.sensitivity import joined, sensitivity
from stabilitysweep.analysis.survival import Survival
from stabilitysweep.analysis.table import beside
from stabilitysweep.longruns import Budget, CellVerdict, Confirmation, Tried


def picks(axis: str) -> pd.DataFrame:
    trials = pd.concat([line("sssff", **{axis: value}) for value in (1, 2)], ignore_index=True)
    trials["trial_id"] = [f"t{number}" for number in range(len(trials))]
    return recommend([source(trials, (axis, "learning_rate"))]).to_frame()


def lines(axis: str) -> pd.DataFrame:
    axes: dict[str, list[Any]] = {axis: [1, 2], "learning_rate": RATES}
    member = make_member("a", axes=axes)
    assert member.boundaries is not None
    trials = member.trials.assign(initial_loss=2.0, final_loss=1.0)
    table = joined(member.boundaries, sensitivity(trials, axes), {axis: [1, 2]})
    return curves(table, axes, "boundary", x=axis).to_frame()


def confirmed(axis: str) -> pd.DataFrame:
    runs = Survival({axis: 2}, 3, 3, 0, 0, (), 0.5, 0.3, 1.0)
    tried = Tried({axis: 2}, (runs,), CellVerdict.SURVIVED)
    budget = Budget(50, None)
    return Confirmation(Path("r"), budget, range(3), None, (tried,), 0).to_frame()


@pytest.mark.parametrize(
    ("axis", "made"),
    [("pick", picks), ("open_ended", picks), ("slices", lines), ("verdict", confirmed)],
)
def test_an_axis_called_as_a_column_keeps_one_of_its_own(
    axis: str, made: Callable[[str], pd.DataFrame]
) -> None:
    found, usual = made(axis), made("depth")
    assert len(usual)
    pd.testing.assert_frame_equal(found.rename(columns={f"hp_{axis}": "depth"}), usual)


def test_the_name_it_gets_is_that_of_no_other_axis() -> None:
    assert beside({"share": 1, "hp_share": 2}, {"share": 3}) == {
        "hp_hp_share": 1,
        "hp_share": 2,
        "share": 3,
    }
