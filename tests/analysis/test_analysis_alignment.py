"""Sweeps brought onto the axes they share: what is left out, held, pooled, and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compared_tables import AXES, RATES, make_member

from stabilitysweep.analysis.alignment import Member, Treatment, align, split
from stabilitysweep.analysis.comparison import AGREEMENTS, Agreement, compare
from stabilitysweep.analysis.side_by_side import side_by_side
from stabilitysweep.errors import ResultError


def swept(**axes: list[Any]) -> dict[str, list[Any]]:
    return {**axes, "learning_rate": RATES}


def test_values_that_not_all_have_are_left_out_and_named() -> None:
    one = make_member("a", axes=swept(depth=[1, 2, 4]))
    other = make_member("b", axes=swept(depth=[8, 4, 2]))
    found = align([one, other])
    assert found.axes["depth"].values == (2, 4)
    (left,) = found.unshared
    assert left.treatment is Treatment.LEFT_OUT
    assert left.values == {"a": (1,), "b": (8,)}
    assert str(left) == "depth: not in all, so left out: a: 1; b: 8"
    assert set(found.members[0].trials["depth"]) == {2, 4}
    assert found.members[1].boundaries is not None
    assert set(found.members[1].boundaries["depth"]) == {2, 4}


def test_numbers_match_whatever_they_are_written_as() -> None:
    near = [rate * (1 + 1e-12) for rate in RATES]
    other = make_member("b", axes={"depth": [1.0, 2.0, 4.0], "learning_rate": near})
    found = compare([make_member("a"), other])
    assert found.unshared == ()
    assert found.overlaps[0].measured == 15
    assert found.overlaps[0].overlap == 1.0


def test_the_boundary_is_that_of_all_rates_though_few_are_shared() -> None:
    fine = make_member("b", 0.5, {"depth": [1, 2, 4], "learning_rate": [0.1, 0.4, 0.6, 10.0]})
    found = compare([make_member("a", 0.5), fine])
    assert found.axes["learning_rate"].values == (0.1, 10.0)
    (shift,) = found.shifts
    assert shift.low == pytest.approx(np.log10(0.4 / 1.0))
    assert shift.high == pytest.approx(np.log10(0.6 / 0.1))


def test_an_axis_of_one_is_held_where_the_other_was_trained() -> None:
    fixed = make_member("b", axes={"learning_rate": RATES}, settings={"depth": 2})
    found = align([make_member("a", lambda row: 0.5 / row["depth"] ** 2), fixed])
    assert list(found.axes) == ["learning_rate"]
    assert [str(each) for each in found.unshared] == [
        "depth: not swept in all, so looked at where it is 2 (a: 1, 2, 4)"
    ]
    assert set(found.members[0].trials["depth"]) == {2}
    assert found.unshared[0].to_json()["held_at"] == "2"


@pytest.mark.parametrize("settings", [{}, {"depth": 3}])
def test_an_axis_that_cannot_be_held_is_pooled_over(settings: dict[str, Any]) -> None:
    fixed = make_member("b", axes={"learning_rate": RATES}, settings=settings)
    deep = make_member("a", lambda row: 0.05 if row["depth"] == 4 else 0.5)
    found = compare([deep, fixed])
    (pooled,) = found.unshared
    assert pooled.treatment is Treatment.POOLED
    # One value that fails is enough for a cell to fail, and for the boundary to be lower.
    assert list(found.to_frame()["a"]) == ["stable", "stable", *["failed"] * 3]
    assert found.shifts[0].decades == pytest.approx(1)


def test_an_axis_without_a_common_value_is_pooled_over() -> None:
    found = align(
        [make_member("a", axes=swept(depth=[1])), make_member("b", axes=swept(depth=[2]))]
    )
    assert list(found.axes) == ["learning_rate"]
    assert [str(each) for each in found.unshared] == [
        "depth: not shared, so pooled over, like the seeds (a: 1; b: 2)"
    ]


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(ResultError, match=r"axis in common, got axes a: depth; b: width"):
        align([make_member("a", axes={"depth": [1]}), make_member("b", axes={"width": [1]})])
    other = make_member("b", axes={"depth": [1], "learning_rate": [0.5]})
    with pytest.raises(ResultError, match=r"learning_rate: expected values in common.*b: 0\.5"):
        align([make_member("a"), other])


def test_where_holds_an_axis_in_all_that_have_it() -> None:
    one, other = make_member("a"), make_member("b", axes=swept(depth=[2, 8], width=[1, 2]))
    found = align([one, other], {"depth": "2", "width": 1})
    assert list(found.axes) == ["learning_rate"]
    assert found.unshared == ()
    assert [set(member.trials["depth"]) for member in found.members] == [{2}, {2}]
    assert set(found.members[1].trials["width"]) == {1}
    differing = compare([one, make_member("b", settings={"depth": 8})], where={"depth": 1})
    assert differing.overlaps[0].overlap == 1.0
    with pytest.raises(ResultError, match=r"where depth, b: .*got '4'"):
        align([one, other], {"depth": "4"})
    with pytest.raises(ResultError, match=r"where: expected an axis.*Did you mean 'depth'"):
        align([one, other], {"dept": 1})


def test_a_part_keeps_no_value_that_only_others_have() -> None:
    axes = {"dataset": ["x", "y"], "batch_size": [8, 40, 60], "learning_rate": RATES}

    def own(table: Any) -> Any:  # the size of all rows differs
        whole = np.where(table["dataset"] == "x", 40, 60)
        return (table["batch_size"] == 8) | (table["batch_size"] == whole)

    whole = make_member("whole", axes=axes, keep=own, missing=0)
    parts = split(whole, "dataset")
    assert [part.axes["batch_size"] for part in parts] == [(8, 40), (8, 60)]
    found = compare(parts, kind="dataset")
    assert found.axes["batch_size"].values == (8,)
    assert str(found.unshared[0]) == "batch_size: not in all, so left out: x: 40; y: 60"
    incomplete = split(whole, "dataset", complete=False)
    assert [part.axes["batch_size"] for part in incomplete] == [[8, 40, 60]] * 2
    assert [part.missing for part in incomplete] == [10, 10]
    with pytest.raises(ResultError, match=r"by: expected an axis"):
        split(whole, "depth")


def test_what_is_pooled_over_counts_where_a_part_has_it() -> None:
    axes = {"dataset": ["x", "y"], "batch_size": [40, 60], "learning_rate": RATES}

    def own(table: Any) -> Any:
        return table["batch_size"] == np.where(table["dataset"] == "x", 40, 60)

    whole = make_member("whole", lambda row: 0.05 if row["dataset"] == "x" else 0.5, axes, own)
    found = compare(split(whole, "dataset"), kind="dataset")
    assert [each.treatment for each in found.unshared] == [Treatment.POOLED]
    assert found.overlaps[0].measured == 5
    assert found.shifts[0].decades == pytest.approx(1)


def test_the_maps_side_by_side_are_those_of_the_members() -> None:
    axes = {"precision": ["float32", "float16"], **AXES}
    low = make_member("b", lambda row: 0.05 if row["precision"] == "float16" else 0.5, axes)
    found = compare([make_member("a", 0.5, axes), low])
    data = side_by_side(found, y="depth", rows="precision")
    assert data.names == ("a", "b")
    assert data.maps.shape == (2, 2, 3, 5)
    np.testing.assert_array_equal(data.maps.stability[0, 0], data.maps.stability[0, 1])
    np.testing.assert_array_equal(data.stable_in[1, 0], [2, 2, 1, 0, 0])
    assert data.lowest is not None
    np.testing.assert_array_equal(data.lowest[1], [1, 1, 1])
    # Pooled over: stable only if all that is pooled is.
    pooled = side_by_side(found, x="learning_rate", y="precision")
    assert pooled.maps.pooled == ()  # depth has found a place
    assert pooled.agreement.shape == (3, 2, 5)
    frame = data.to_frame()
    assert len(frame) == 2 * 2 * 3 * 5
    for _, cell in frame.groupby(["precision", "depth", "learning_rate"]):
        assert (cell["stable_in"] == (cell["stability"] == 1).sum()).all()
        assert cell["agreement"].nunique() == 1


def test_of_boundaries_with_one_safe_end_the_lowest_fails_first() -> None:
    def refined(name: str, failing: float) -> Member:
        own = make_member(name)
        assert own.boundaries is not None
        table = own.boundaries.assign(safe=0.2, failing=failing, refined=True)
        return replace(own, boundaries=table)

    data = side_by_side(compare([refined("a", 0.4), refined("b", 0.3)]), y="depth")
    assert data.lowest is not None
    assert data.lowest.tolist() == [[1, 1, 1]]


def test_an_axis_without_a_place_is_pooled_over_in_the_maps() -> None:
    axes = {"l2": [0.0, 0.1], "width": [1, 2], **AXES}
    low = make_member("b", lambda row: 0.05 if (row["width"], row["l2"]) == (2, 0.1) else 0.5, axes)
    found = compare([make_member("a", 0.5, axes), low])
    data = side_by_side(found, y="depth", rows="width")
    assert data.maps.pooled == ("l2",)
    np.testing.assert_array_equal(data.stable_in[:, 0], [[2, 2, 2, 0, 0], [2, 2, 1, 0, 0]])
    assert AGREEMENTS[data.agreement[1, 0, 2]] is Agreement.SOME  # it failed in one of two
    turned = side_by_side(found, x="depth", y="learning_rate", rows="width")
    np.testing.assert_array_equal(turned.stable_in, data.stable_in.transpose(0, 2, 1))


def test_the_axis_of_the_members_has_no_other_place() -> None:
    found = compare([make_member("a"), make_member("b")])
    with pytest.raises(ResultError, match="got 'result'"):
        side_by_side(found, y="result")
    axes = {"result": [1, 2], "learning_rate": RATES}
    data = side_by_side(compare([make_member("a", axes=axes), make_member("b", axes=axes)]))
    assert data.maps.columns is not None
    assert data.maps.columns.name == "results"


def test_what_is_missing_is_told_by_each_members_own_seeds() -> None:
    fewer = make_member("b", keep=lambda table: table["seed"] == 0, missing=0)
    assert side_by_side(compare([make_member("a"), fewer])).maps.missing == 0
    part = make_member("b", keep=lambda table: (table["seed"] == 0) | (table["depth"] > 1))
    assert side_by_side(compare([make_member("a"), part])).maps.missing == part.missing == 5
