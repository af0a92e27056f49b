"""The share of failures that each axis explains, against a plain count of twins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from lattices import AXES, FAILED, ORDERED, on_grid, order, plain, random_table

from stabilitysweep import ResultError
from stabilitysweep.analysis import AxisShare, ShareKind, explained

TableMaker = Callable[..., pd.DataFrame]
Row = dict[str, Any]


class Plain:
    """The same counts, trial by trial and twin by twin."""

    def __init__(self, table: pd.DataFrame) -> None:
        rows = plain(table)
        self.of = sum(row["outcome"] in FAILED for row in rows)
        self.rows = [row for row in rows if on_grid(row) and row["outcome"] != "crashed"]

    def twins(self, row: Row, axis: str) -> list[Row]:
        same = [name for name in (*AXES, "seed") if name != axis]
        return [other for other in self.rows if all(other[key] == row[key] for key in same)]

    def count(self, axis: str, value: Any, kind: ShareKind) -> int:
        return sum(
            self.explains(row, axis, value, kind) for row in self.rows if row["outcome"] in FAILED
        )

    def explains(self, row: Row, axis: str, value: Any, kind: ShareKind) -> bool:
        place = order(axis).index(value)
        sides: dict[ShareKind, list[Any]] = {
            ShareKind.AT_OR_BELOW: order(axis)[: place + 1],
            ShareKind.AT_OR_ABOVE: order(axis)[place:],
            ShareKind.AT: [value],
            ShareKind.ALONE: [other for other in order(axis) if other != value],
        }
        if row[axis] in sides[kind]:
            return False
        twins = [twin for twin in self.twins(row, axis) if twin[axis] in sides[kind]]
        return bool(twins) and all(twin["outcome"] not in FAILED for twin in twins)


@pytest.mark.parametrize("seed", range(8))
def test_shares_are_those_of_a_plain_count(seed: int) -> None:
    table = random_table(seed, keep=0.5 + 0.06 * seed)
    own = Plain(table)
    found = explained(table, AXES)
    assert found == sorted(found, key=lambda share: -share.share)
    assert {share.axis for share in found} >= {"learning_rate", "precision"}
    for share in found:
        assert share.of == own.of
        assert share.failures == own.count(share.axis, share.value, share.kind)
        assert share.share == pytest.approx(share.failures / own.of)
        assert share.share >= 0.01
        assert (share.axis in ORDERED) == (
            share.kind in (ShareKind.AT_OR_BELOW, ShareKind.AT_OR_ABOVE)
        )
        rivals = [own.count(share.axis, value, share.kind) for value in order(share.axis)]
        near = max(rivals) - 0.01 * own.of
        assert share.failures >= near
        place = order(share.axis).index(share.value)
        freer = rivals[:place] if share.kind is not ShareKind.AT_OR_BELOW else rivals[place + 1 :]
        assert all(rival < near for rival in freer)


def test_the_order_of_rows_and_of_values_is_irrelevant() -> None:
    table = random_table(3)
    again = table.sample(frac=1, random_state=9).reset_index(drop=True)
    assert explained(again, AXES) == explained(table, AXES)
    turned = {name: AXES[name][::-1] if name in ORDERED else AXES[name] for name in AXES}
    assert explained(table, turned) == explained(table, AXES)


def rows_at(rows_of: TableMaker, axis: str, *runs: list[tuple[Any, str]]) -> pd.DataFrame:
    """One line of twins along `axis` a run; the runs differ in another axis."""
    return rows_of(
        ["run", axis],
        [(f"run {number}", *pair, None) for number, run in enumerate(runs) for pair in run],
    )


def claims(table: pd.DataFrame, axis: str, values: list[Any]) -> list[str]:
    found = explained(table, {"run": sorted(set(table["run"])), axis: values})
    return [str(share) for share in found if share.axis == axis]


def test_a_threshold_is_where_failures_vanish_and_as_free_as_may_be(rows_of: TableMaker) -> None:
    rates = [0.01, 0.1, 1.0]
    low = [(0.01, "stable"), (0.1, "stalled"), (1.0, "nonfinite")]
    high = [(0.01, "stable"), (0.1, "diverged"), (1.0, "nonfinite")]
    said = claims(rows_at(rows_of, "learning_rate", low), "learning_rate", rates)
    assert said == ["the one failure vanishes at learning rate 0.1 and below"]
    said = claims(rows_at(rows_of, "learning_rate", low, low, high), "learning_rate", rates)
    assert said == ["all 4 failures vanish at learning rate 0.01"]
    lost = [(0.01, "nonfinite"), (0.1, "nonfinite"), (1.0, "nonfinite")]
    said = claims(rows_at(rows_of, "learning_rate", low, lost), "learning_rate", rates)
    assert said == ["25 % of failures vanish at learning rate 0.1 and below"]


def test_a_larger_batch_is_the_safe_side_unless_the_smaller_is(rows_of: TableMaker) -> None:
    sizes = [8, 32, 128]
    small = [(8, "nonfinite"), (32, "stable"), (128, "stable")]
    said = claims(rows_at(rows_of, "batch_size", small), "batch_size", sizes)
    assert said == ["the one failure vanishes at batch size 32 and above"]
    large = [(8, "stable"), (32, "nonfinite"), (128, "nonfinite")]
    said = claims(rows_at(rows_of, "batch_size", large), "batch_size", sizes)
    assert said == ["all 2 failures vanish at batch size 8"]


@pytest.mark.parametrize(
    ("axis", "where"),
    [("learning_rate", "learning rate 0.1"), ("l2", "l2 10"), ("my_own", "my own 0.1")],
)
def test_of_two_sides_that_explain_the_same_the_safer(
    rows_of: TableMaker, axis: str, where: str
) -> None:
    line = [(0.1, "stable"), (1.0, "diverged"), (10.0, "stable")]
    said = claims(rows_at(rows_of, axis, line), axis, [0.1, 1.0, 10.0])
    assert said == [f"the one failure vanishes at {where}"]


def test_a_gap_below_the_failure_claims_nothing(rows_of: TableMaker) -> None:
    rates = [0.01, 0.1, 1.0]
    gap = [(0.01, "crashed"), (1.0, "nonfinite")]
    assert claims(rows_at(rows_of, "learning_rate", gap), "learning_rate", rates) == []


def test_no_clipping_is_the_loosest_clipping(rows_of: TableMaker) -> None:
    line = [(None, "nonfinite"), (1.0, "stable"), (0.1, "stable")]
    said = claims(rows_at(rows_of, "clipnorm", line), "clipnorm", [None, 1.0, 0.1])
    assert said == ["the one failure vanishes at clipnorm 1 and below"]


def test_failures_of_one_precision_alone(rows_of: TableMaker) -> None:
    values = ["float32", "mixed_float16", "float16"]
    alone = list(zip(values, ["stable", "stable", "nonfinite"], strict=True))
    both = list(zip(values, ["stable", "nonfinite", "nonfinite"], strict=True))
    assert claims(rows_at(rows_of, "precision", alone), "precision", values) == [
        "the one failure is in float16 alone: none of its twins at another precision fails"
    ]
    assert claims(rows_at(rows_of, "precision", alone, both), "precision", values) == [
        "all 3 failures vanish in float32",
        "33 % of failures are in float16 alone: none of their twins at another precision fails",
    ]
    # The only trial of its settings has no twins to speak of.
    assert claims(rows_at(rows_of, "precision", alone[2:]), "precision", values) == []


def test_where_nothing_failed_nothing_is_explained(rows_of: TableMaker) -> None:
    stable = rows_of(["depth"], [(1, "stable", None), (2, "crashed", None)])
    assert explained(stable, {"depth": [1, 2]}) == []
    assert explained(stable.iloc[:0], {"depth": [1, 2]}) == []
    alone = rows_of(["depth"], [(1, "nonfinite", 3)])
    assert explained(alone, {"depth": [1]}) == []
    with pytest.raises(ResultError, match="outcome"):
        explained(stable.drop(columns="outcome"), {"depth": [1, 2]})


def test_a_share_that_is_not_all_never_reads_as_all() -> None:
    share = AxisShare("l2", 0.01, ShareKind.AT_OR_ABOVE, 0.9999, 9_999, 10_000)
    assert str(share) == "> 99 % of failures vanish at l2 0.01 and above"
