"""Whether settings are safe: against the cells of made-up maps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picked_tables import RATES, line, source, table

from stabilitysweep.analysis.region import Region, Verdict
from stabilitysweep.analysis.slice_bounds import Reason
from stabilitysweep.analysis.standing import Source
from stabilitysweep.analysis.withdrawn import Withdrawn
from stabilitysweep.errors import ResultError

ALL = ("refuse", "nearest", "allow")
DEPTHS, KINDS = (1, 2, 8), ("a", "b")
WORDS = {"s": "stable", "-": "stalled", "f": "nonfinite", "d": "diverged", "x": "crashed"}


def lines(letters: Mapping[tuple[str, int], str], rates: tuple[float, ...] = RATES) -> Source:
    """A map over kind, depth and learning rate; a letter a rate, see `picked_tables.line`."""
    rows = [
        {"kind": kind, "depth": depth, "learning_rate": rate, "outcome": WORDS[letter]}
        for (kind, depth), own in letters.items()
        for rate, letter in zip(rates, own, strict=False)
        if letter != "."
    ]
    return source(table(rows), ("kind", "depth", "learning_rate"))


@st.composite
def maps(draw: st.DrawFn) -> dict[tuple[str, int], str]:
    return {
        cell: draw(st.text("ssssfd-x.", min_size=len(RATES), max_size=len(RATES)))
        for cell in itertools.product(KINDS, DEPTHS)
    }


def region(letters: Mapping[tuple[str, int], str], **more: Any) -> Region:
    return Region([lines(letters)], **more)


def usable(letters: Mapping[tuple[str, int], str]) -> bool:
    everything = "".join(letters.values())
    seen = {kind for (kind, _), own in letters.items() if own.strip(".")}
    depths = {depth for (_, depth), own in letters.items() if own.strip(".")}
    columns = all(any(own[n] != "." for own in letters.values()) for n in range(len(RATES)))
    return bool(everything.strip(".x")) and seen == {*KINDS} and depths == {*DEPTHS} and columns


def values(kind: Any, depth: Any, rate: Any) -> dict[str, Any]:
    return {"kind": kind, "depth": depth, "learning_rate": rate}


@settings(max_examples=30, deadline=None, derandomize=True)
@given(maps().filter(usable))
def test_a_cell_of_the_grid_is_allowed_where_nothing_failed_at_or_below_its_rate(
    letters: dict[tuple[str, int], str],
) -> None:
    found = {off_map: region(letters, off_map=off_map) for off_map in ALL}
    for (kind, depth), own in letters.items():
        for number, rate in enumerate(RATES):
            settings_ = values(kind, depth, rate)
            below = own[: number + 1]
            safe = set(below) <= {"s", "-"}
            assert found["refuse"].verdict(settings_).allowed == safe
            if safe:
                assert all(each.verdict(settings_).allowed for each in found.values())
            if own[number] in "fd":
                for each in found.values():
                    assert each.verdict(settings_) == Verdict(False, Reason.UNSTABLE)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    maps().filter(usable),
    st.sampled_from(KINDS),
    st.floats(1, 8),
    st.floats(RATES[0], RATES[-1]),
)
def test_between_values_all_that_is_around_has_to_be_safe(
    letters: dict[tuple[str, int], str], kind: str, depth: float, rate: float
) -> None:
    found = {off_map: region(letters, off_map=off_map) for off_map in ALL}
    inside = values(kind, depth, rate)
    lower = max(own for own in DEPTHS if own <= depth)
    upper = min(own for own in DEPTHS if own >= depth)
    above = next(own for own in RATES if own >= rate)
    corners = [values(kind, own, above) for own in {lower, upper}]
    around = [found["refuse"].verdict(corner) for corner in corners]
    assert found["refuse"].verdict(inside).allowed == all(each.allowed for each in around)
    # What is safe is allowed anyhow, and what is known to be unstable never.
    if found["refuse"].verdict(inside).allowed:
        assert all(each.verdict(inside).allowed for each in found.values())
    at_or_below = [
        any(letter in "fd" for own_rate, letter in zip(RATES, letters[kind, own], strict=True)
            if own_rate <= rate)
        for own in {lower, upper}
    ]  # fmt: skip
    if all(at_or_below):
        assert not any(each.verdict(inside).allowed for each in found.values())


@settings(max_examples=15, deadline=None, derandomize=True)
@given(maps().filter(usable), st.floats(1, 20), st.floats(1, 20), st.floats(0.0005, 0.03))
def test_a_wider_margin_allows_less(
    letters: dict[tuple[str, int], str], one: float, other: float, rate: float
) -> None:
    small, large = sorted((one, other))
    for off_map in ALL:
        near, far = (region(letters, margin=m, off_map=off_map) for m in (small, large))
        for kind, depth in letters:
            if far.verdict(values(kind, depth, rate)).allowed:
                assert near.verdict(values(kind, depth, rate)).allowed
    exact = region(letters)
    wide = region(letters, margin=large)
    for kind, depth in letters:
        if wide.verdict(values(kind, depth, rate)).allowed:
            assert exact.verdict(values(kind, depth, rate * large * (1 - 1e-12))).allowed


@settings(max_examples=15, deadline=None, derandomize=True)
@given(maps().filter(usable), maps().filter(usable))
def test_of_several_maps_what_is_safe_in_all_is_allowed(
    one: dict[tuple[str, int], str], other: dict[tuple[str, int], str]
) -> None:
    both = Region([replace(lines(one), label="one"), replace(lines(other), label="other")])
    apart = region(one), region(other)
    for (kind, depth), rate in itertools.product(one, RATES):
        own = values(kind, depth, rate)
        assert both.verdict(own).allowed == all(each.verdict(own).allowed for each in apart)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(maps().filter(usable))
def test_an_axis_left_out_has_to_be_safe_at_all_its_values(
    letters: dict[tuple[str, int], str],
) -> None:
    found = region(letters)
    for rate in RATES:
        each = [found.verdict(values(kind, depth, rate)).allowed for kind, depth in letters]
        assert found.verdict({"learning_rate": rate}).allowed == all(each)
    assert found.allows_any({"learning_rate"}) == any(
        found.verdict({"learning_rate": rate}).allowed for rate in RATES
    )
    for kind, depth in letters:
        at_all = all(found.verdict(values(kind, depth, rate)).allowed for rate in RATES)
        assert found.verdict({"kind": kind, "depth": depth}).allowed == at_all


GOOD = {("a", 1): "sssff", ("a", 2): "ssfff", ("a", 8): "sffff", ("b", 1): "sssss"} | {
    ("b", 2): "sss..",
    ("b", 8): "sxsff",
}


@pytest.mark.parametrize(
    ("kind", "depth", "rate", "refuse", "nearest", "allow", "reason"),
    [
        ("a", 1, 0.003, True, True, True, Reason.SAFE),
        ("a", 1.5, 0.002, True, True, True, Reason.SAFE),
        ("a", 1.9, 0.004, False, False, True, Reason.BETWEEN),
        ("a", 1.1, 0.004, False, True, True, Reason.BETWEEN),
        ("a", 1, 0.005, False, True, True, Reason.BETWEEN),
        ("a", 1, 0.007, False, False, True, Reason.BETWEEN),
        ("a", 1, 0.0005, False, True, True, Reason.BEYOND),
        ("a", 1, 5.0, False, False, False, Reason.UNSTABLE),
        ("a", 16, 0.001, False, True, True, Reason.BEYOND),
        ("a", 16, 0.002, False, False, False, Reason.UNSTABLE),
        ("b", 16, 0.002, False, True, True, Reason.BEYOND),
        ("a", 0.5, 0.008, False, False, False, Reason.UNSTABLE),
        ("b", 1, 0.1, False, True, True, Reason.BEYOND),
        ("b", 2, 0.008, False, True, True, Reason.UNMEASURED),
        ("b", 8, 0.002, False, True, True, Reason.UNMEASURED),
        ("b", 8, 0.004, False, False, True, Reason.UNMEASURED),
        ("c", 1, 0.001, False, False, True, Reason.BEYOND),
        ("c", 1, 0.008, False, False, True, Reason.BEYOND),
        ("c", 8, 0.008, False, False, False, Reason.UNSTABLE),
        ("c", 16, 0.008, False, False, False, Reason.UNSTABLE),
        ("b", "deep", 0.001, False, False, True, Reason.BEYOND),
        ("b", 1, "fast", False, False, True, Reason.BEYOND),
        ("b", 1, float("nan"), False, False, True, Reason.BEYOND),
    ],
)
def test_what_the_map_does_not_decide_on(
    kind: Any, depth: Any, rate: Any, refuse: bool, nearest: bool, allow: bool, reason: Reason
) -> None:
    found = [region(GOOD, off_map=off_map).verdict(values(kind, depth, rate)) for off_map in ALL]
    assert [verdict.allowed for verdict in found] == [refuse, nearest, allow]
    assert found[0].reason == found[2].reason == reason


@settings(max_examples=15, deadline=None, derandomize=True)
@given(maps().filter(usable), st.sampled_from(RATES))
def test_beyond_the_map_nothing_is_allowed_where_all_at_its_edge_is_unstable(
    letters: dict[tuple[str, int], str], rate: float
) -> None:
    for off_map in ("refuse", "allow"):
        found = region(letters, off_map=off_map)
        edge = [found.verdict(values(kind, 8, rate)).reason for kind in KINDS]
        known = {each for each in edge if each not in (Reason.UNMEASURED, Reason.BEYOND)}
        for kind, own in zip(KINDS, edge, strict=True):
            unstable = own is Reason.UNSTABLE
            verdict = found.verdict(values(kind, 9, rate))
            assert verdict.allowed == (off_map == "allow" and not unstable)
            assert verdict.reason == (Reason.UNSTABLE if unstable else Reason.BEYOND)
        for depth in (8, 9):
            verdict = found.verdict(values("c", depth, rate))
            assert verdict.allowed == (off_map == "allow" and known != {Reason.UNSTABLE})


def test_values_are_found_however_they_are_written() -> None:
    found = region(GOOD)
    for rate in (0.002, "0.002", np.float32(0.002).item() * (1 + 1e-10), np.float64(0.002)):
        assert found.verdict(values("a", 1, rate)).allowed
    for depth in (2, 2.0, "2", np.int64(2)):
        assert found.verdict(values("a", depth, 0.002)) == Verdict(True, Reason.SAFE)
    flags = pd.concat(
        [line("sss", flag=flag, clip=clip) for flag in (True, False) for clip in (None, 1.0)],
        ignore_index=True,
    )
    flags["trial_id"] = [f"t{number}" for number in range(len(flags))]
    flags.loc[(flags["flag"] == True) & (flags["learning_rate"] > 0.001), "outcome"] = "diverged"  # noqa: E712
    beside = Region([source(flags, ("flag", "clip", "learning_rate"))])
    for flag, clip in itertools.product((True, False, "true"), (None, "none", 1, 1.0)):
        own = {"flag": flag, "clip": clip, "learning_rate": 0.002}
        assert beside.verdict(own).allowed == (flag is False)


def test_axes_may_be_held() -> None:
    found = region(GOOD, where={"kind": "b", "depth": "1"})
    assert found.held == {"kind": "b", "depth": 1} and list(found.axes) == ["learning_rate"]
    assert found.verdict({"learning_rate": 0.016}).allowed
    assert not found.verdict({"learning_rate": 0.016, "kind": "a"}).allowed
    rate = region(GOOD, where={"learning_rate": 0.002})
    assert rate.verdict({"kind": "a", "depth": 2}).allowed
    assert not rate.verdict({"kind": "a", "depth": 8}).allowed
    # A search that varies it after all is held against the whole map.
    assert not rate.verdict(values("a", 2, 0.004)).allowed


def test_a_map_without_a_learning_rate_goes_by_its_cells() -> None:
    trials = pd.concat([line("s", depth=1), line("f", depth=2), line("s", depth=8)])
    trials["trial_id"] = ["a", "b", "c"]
    found = Region([source(trials, ("depth",))])
    assert [found.verdict({"depth": depth}).allowed for depth in (1, 1.5, 2, 4, 8)] == [
        True, False, False, False, True,
    ]  # fmt: skip
    with pytest.raises(ResultError, match="axis of the learning rate"):
        Region([source(trials, ("depth",))], margin=2)


def test_the_refined_boundary_decides_between_rates() -> None:
    given_ = source(line("ssff"))
    bounds = given_.boundaries
    assert bounds is not None
    refined = replace(given_, boundaries=bounds.assign(safe=0.003, failing=0.0031))
    found = Region([refined])
    assert found.verdict({"learning_rate": 0.003}).allowed
    assert found.verdict({"learning_rate": 0.00305}).reason is Reason.BETWEEN
    assert found.verdict({"learning_rate": 0.0031}).reason is Reason.UNSTABLE
    assert Region([refined], margin=1.5).verdict({"learning_rate": 0.0025}).reason is Reason.NEAR


def test_a_cell_whose_long_runs_failed_or_that_lacks_a_seed_ends_what_is_safe() -> None:
    failed = Withdrawn({"learning_rate": 0.004}, 1, 20, "5,000 steps")
    found = Region([source(line("sssss"))], withdrawn=[[failed]])
    assert [found.verdict({"learning_rate": rate}).allowed for rate in RATES] == [
        True, True, False, False, False,
    ]  # fmt: skip
    two = pd.concat([line("sssss"), line("ss.ss").assign(seed=1)], ignore_index=True)
    two["trial_id"] = [f"t{number}" for number in range(len(two))]
    found = Region([source(two, seeds=2)])
    assert found.verdict({"learning_rate": 0.002}).allowed
    assert found.verdict({"learning_rate": 0.003}).reason is Reason.UNMEASURED


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"off_map": "guess"}, "off_map: expected one of 'refuse', 'nearest', 'allow'"),
        ({"margin": 0.5}, "margin: expected a factor of at least 1, got 0.5"),
        ({"margin": "2"}, "margin: expected a factor"),
        ({"where": {"width": 1}}, "where: expected an axis of the sweep"),
        ({"where": {"depth": 3}}, r"one of the values of depth \(1, 2, 8\)"),
    ],
)
def test_bad_settings_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultError, match=message):
        region(GOOD, **settings_)
    with pytest.raises(ResultError, match="at least one result"):
        Region([])
    with pytest.raises(ResultError, match="the same axes"):
        Region([lines(GOOD), replace(source(line("ss")), label="other")])


def test_a_verdict_takes_well_under_a_millisecond() -> None:
    rates = tuple(10.0 ** (place / 4) for place in range(-12, 8))
    letters = dict.fromkeys(itertools.product(KINDS, range(1, 40)), "s" * 14 + "f" * 6)
    for off_map in ALL:
        found = Region([lines(letters, rates)], off_map=off_map)
        random = np.random.default_rng(0)
        asked = [
            values("a", d, r)
            for d, r in zip(
                random.uniform(0, 45, 300), 10 ** random.uniform(-4, 2, 300), strict=True
            )
        ]
        best = min(_seconds(found, asked) for _ in range(3))
        assert best / len(asked) < 1e-3


def _seconds(found: Region, asked: list[dict[str, Any]]) -> float:
    started = time.perf_counter()
    for own in asked:
        found.verdict(own)
    return time.perf_counter() - started
