"""The payload of a page: every number of the trials table, and the curves, in few bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up import config_of, make_recorded, make_result
from page_reading import decoded, ids_of, losses_of, texts_of
from surveyed_builds import Survey, result_of

from stabilitysweep import Result, open_result
from stabilitysweep.analysis.axes import make_axes, value_labels
from stabilitysweep.analysis.cells import learning
from stabilitysweep.report.columns import NUMBERS, packed_ids
from stabilitysweep.report.curves import FEWEST_POINTS, MOST_POINTS, curves, quantised, thinned
from stabilitysweep.report.payload import kept_texts, result_payload
from stabilitysweep.report.shown import shown
from stabilitysweep.types import Trace

ROOM = 5e6


def payload_of(result: Result, room: float = ROOM) -> dict[str, Any]:
    return result_payload(result, "a label", result.recommend().picks, room)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return open_result(make_result(tmp_path_factory.mktemp("made") / "made_up"))


@pytest.fixture(scope="module")
def payload(result: Result) -> dict[str, Any]:
    return payload_of(result)


def test_every_trial_is_there_in_the_order_of_the_table(
    result: Result, payload: dict[str, Any]
) -> None:
    assert payload["n"] == payload["trials"] == len(result.trials) == 360
    assert ids_of(payload) == result.trials["trial_id"].tolist()
    seeds = np.array(payload["seeds"])[decoded(payload["columns"]["seed"])]
    assert seeds.tolist() == result.trials["seed"].tolist()


def test_the_codes_name_the_values_of_the_table(result: Result, payload: dict[str, Any]) -> None:
    for place, (name, values) in enumerate(result.axes.items()):
        axis = payload["axes"][place]
        codes = decoded(payload["columns"][f"axis{place}"])
        assert axis["name"] == name
        assert len(axis["labels"]) == len(set(axis["labels"])) == len(values)
        if axis["numbers"] is None:
            assert [axis["labels"][code] for code in codes] == result.trials[name].tolist()
        else:
            assert axis["numbers"] == sorted(axis["numbers"])
            own = np.array(axis["numbers"])[codes]
            assert own.tolist() == result.trials[name].astype(float).tolist()


def test_texts_are_those_of_the_table(result: Result, payload: dict[str, Any]) -> None:
    outcomes = np.array(payload["outcomes"])[decoded(payload["columns"]["outcome"])]
    assert outcomes.tolist() == result.trials["outcome"].astype(str).tolist()
    for column, known in {
        "onset_stage": "stages",
        "onset_tensor": "tensors",
        "onset_kind": "kinds",
        "cause": "causes",
        "cause_text": "texts",
    }.items():
        assert texts_of(payload, column, known) == result.trials[column].tolist()
        assert len(set(payload[known])) == len(payload[known])


def test_numbers_are_those_of_the_table_to_float32(result: Result, payload: dict[str, Any]) -> None:
    columns, trials = payload["columns"], result.trials
    for name in NUMBERS:
        with np.errstate(over="ignore"):
            expected = trials[name].to_numpy(np.float64).astype(np.float32)
        np.testing.assert_array_equal(decoded(columns[name]), expected)
    np.testing.assert_array_equal(decoded(columns["learning"]), learning(trials).astype(np.float32))
    for name in ("onset_step", "nan_step", "steps_run"):
        assert decoded(columns[name]).tolist() == trials[name].fillna(-1).tolist()


def test_counts_are_those_of_pandas(result: Result, payload: dict[str, Any]) -> None:
    columns = payload["columns"]
    place = [axis["name"] for axis in payload["axes"]].index("depth")
    depth = np.array(payload["axes"][place]["numbers"])[decoded(columns[f"axis{place}"])]
    outcome = np.array(payload["outcomes"])[decoded(columns["outcome"])]
    own = pd.Series(outcome).groupby(depth).value_counts()
    expected = result.trials["outcome"].astype(str).groupby(result.trials["depth"]).value_counts()
    assert {key: int(number) for key, number in own.items()} == {
        (float(depth), kind): int(number) for (depth, kind), number in expected.items()
    }


@pytest.mark.parametrize(("room", "bits", "most"), [(5e6, 16, 96), (18e3, 8, 37), (6e3, 8, 12)])
def test_curves_are_the_traces_within_their_resolution(
    result: Result, room: float, bits: int, most: int
) -> None:
    ids, traces = result.trials["trial_id"].tolist(), result.traces()
    found = curves(ids, traces, room)
    assert found is not None
    assert found["bits"] == bits and found["points"] <= most
    steps = np.array(found["steps"])
    assert len(steps) == found["points"] and (np.diff(steps) > 0).all()
    losses = losses_of(found, len(ids))
    resolution = (found["hi"] - found["lo"]) / (2 ** found["bits"] - 3)
    for row, trial in enumerate(ids):
        trace = traces[trial]
        run = steps <= trace.steps[-1]
        assert np.isneginf(losses[row, ~run]).all()
        exact = trace.loss[np.isin(trace.steps, steps)].astype(np.float64)
        own = losses[row, run]
        assert (np.isnan(own) == ~np.isfinite(exact)).all()
        known = np.isfinite(exact)
        apart = np.abs(np.log10(own[known]) - np.log10(exact[known]))
        assert (apart <= 0.5001 * resolution).all()


def test_steps_of_a_curve_are_spread_evenly_in_logarithms() -> None:
    every = np.arange(1, 10_001, dtype=np.int32)
    kept = thinned(every, 40)
    assert kept[0] == 1 and kept[-1] == 10_000 and len(kept) <= 40
    assert set(kept) <= set(every)
    late = np.diff(np.log(kept[kept > 20]))
    assert late.max() < 1.5 * late.min()
    assert thinned(every[:30], 40).tolist() == every[:30].tolist()


def test_losses_below_zero_and_those_that_never_are_finite() -> None:
    flat = np.ones(3, np.float32)
    steps = np.array([1, 2, 3], np.int32)
    loss = np.array([2.0, -30.0, 0.0], np.float32)
    found = curves(["a", "b"], {"a": Trace(steps, loss, flat, flat, flat, flat)}, 1e6)
    assert found is not None and found["scale"] == "asinh"
    losses = losses_of(found, 2)
    np.testing.assert_allclose(losses[0], loss, rtol=1e-3, atol=1e-3)
    assert np.isneginf(losses[1]).all()
    codes, lo, hi = quantised(np.full((1, 3), np.nan), "log10", 8)
    assert codes.tolist() == [[255] * 3] and (lo, hi) == (0.0, 0.0)


def test_without_room_or_without_traces_there_are_no_curves(result: Result) -> None:
    ids, traces = result.trials["trial_id"].tolist(), result.traces()
    assert curves(ids, traces, len(ids) * (FEWEST_POINTS - 1) * 4 / 3) is None
    assert curves(ids, traces, -5) is None
    assert curves(ids, {}, 1e6) is None
    long = {trial: _long(trace) for trial, trace in traces.items()}
    found = curves(ids, long, 1e9)
    assert found is not None and found["points"] <= MOST_POINTS


def _long(trace: Trace) -> Trace:
    steps = np.arange(1, 1001, dtype=np.int32)
    loss = np.full(1000, trace.loss[0], np.float32)
    return Trace(steps, loss, loss, loss, loss, loss)


@pytest.mark.parametrize("room", [9e4, 1.1e5, 1.5e5, 4e5])
def test_a_result_stays_within_the_room_there_is_for_it(result: Result, room: float) -> None:
    size = len(json.dumps(payload_of(result, room)).encode())
    assert size <= room + 500  # the keys around the curves


def test_sentences_are_kept_as_far_as_there_is_room(result: Result) -> None:
    every = kept_texts(result.trials, 1e9)
    assert set(every) == set(result.trials["cause_text"].dropna())
    some = kept_texts(result.trials, len(json.dumps(every)) / 2)
    assert 0 < len(some) < len(every) and some == every[: len(some)]
    assert kept_texts(result.trials, 0) == []


def test_the_map_begins_with_the_axes_that_a_figure_has(
    result: Result, payload: dict[str, Any]
) -> None:
    drawn = result.stability_map()
    named = {
        place: axis.name if (axis := getattr(drawn, place)) is not None else None
        for place in ("x", "y", "rows", "columns")
    }
    assert payload["default"] == named
    assert payload["rate"] == "learning_rate"
    spaced = {axis["name"]: axis["spacing"] for axis in payload["axes"]}
    assert spaced == {"learning_rate": "log", "depth": "category", "precision": "category"}


def test_boundaries_are_those_of_the_result(result: Result, payload: dict[str, Any]) -> None:
    table = result.boundaries
    assert len(payload["boundaries"]) == len(table)
    axes = make_axes(result.axes)
    for own, (_, row) in zip(payload["boundaries"], table.iterrows(), strict=True):
        assert {name: axes[name].values[code] for name, code in own["codes"].items()} == {
            name: row[name] for name in ("depth", "precision")
        }
        for end in ("safe", "failing"):
            assert own[end] == (None if pd.isna(row[end]) else row[end])


def test_picks_are_cells_of_the_map(result: Result, payload: dict[str, Any]) -> None:
    picks = result.recommend().picks
    assert len(payload["picks"]) == len(picks) == 3
    for own, pick in zip(payload["picks"], picks, strict=True):
        assert own["codes"].keys() == own["axes"].keys() == pick.axes.keys()
        for name, value in pick.axes.items():
            axis = next(axis for axis in payload["axes"] if axis["name"] == name)
            assert axis["labels"][own["codes"][name]] == own["axes"][name]
            values = make_axes(result.axes)[name].values
            assert values[own["codes"][name]] == value


def test_trials_that_repeat_others_follow_those_that_were_trained(tmp_path: Path) -> None:
    result = result_of(tmp_path / "built", survey=Survey())
    payload = payload_of(result)
    assert payload["trials"] == len(result.trials) < payload["n"]
    ids = ids_of(payload)
    assert set(ids[payload["trials"] :]) <= set(ids[: payload["trials"]])


def test_a_recorded_search_has_no_command_that_trains(tmp_path: Path) -> None:
    result = open_result(make_recorded(tmp_path / "searched"))
    payload = payload_of(result)
    assert payload["rate"] == "learning_rate"
    assert payload["commands"].keys() == {"show"}


def test_ids_of_another_form_are_kept_as_they_are() -> None:
    assert packed_ids(["0" * 16, "x"]) == ["0" * 16, "x"]
    assert packed_ids(["00" * 8, "ff" * 8]) == "AAAAAAAAAAD//////////w=="


def test_axes_of_one_value_of_flags_and_of_nothing(tmp_path: Path) -> None:
    grid = {"missing_indicator": [False, True], "clipnorm": [None, 1], "learning_rate": [0.1]}
    preprocessing = {"imputation": "mean"}
    content = config_of(grid=grid, preprocessing=preprocessing, seeds=2)
    result = open_result(make_result(tmp_path / "odd", content))
    axes = {axis["name"]: axis for axis in payload_of(result)["axes"]}
    assert axes["missing_indicator"]["boolean"] and axes["missing_indicator"]["numbers"] is None
    assert axes["clipnorm"]["labels"] == list(value_labels([None, 1]))
    assert axes["learning_rate"]["numbers"] == [0.1]


def test_a_map_of_too_many_trials_has_every_cell_of_the_lowest_seeds(result: Result) -> None:
    part = shown(result, most=150)
    cells = result.summary.cells
    kept = part.trials["seed"].nunique()
    assert kept == 150 // cells >= 1
    assert len(part.trials) == kept * cells
    lowest = sorted(result.trials["seed"].unique())[:kept]
    expected = result.trials.loc[result.trials["seed"].isin(lowest)]
    assert part.trials["trial_id"].tolist() == expected["trial_id"].tolist()
    assert part.axes == make_axes(result.axes)
    assert f"{len(part.trials)} of 360 trials" in part.left_out
    assert shown(result, most=360).left_out == ""


def test_a_map_of_too_many_cells_has_fewer_values_of_the_longest_axes(result: Result) -> None:
    picks = result.recommend().picks[:2]
    part = shown(result, picks, most=60)
    assert len(part.trials) <= 60
    assert part.trials["seed"].nunique() == 1
    for name, axis in make_axes(result.axes).items():
        own = part.axes[name]
        assert set(own.values) <= set(axis.values)
        assert all(own.index_of(pick.axes[name]) is not None for pick in picks)
    assert len(part.axes["learning_rate"]) < len(result.axes["learning_rate"])
    before, after = len(result.axes["learning_rate"]), len(part.axes["learning_rate"])
    assert f"{after:,} of {before:,} values of learning rate" in part.left_out

    found = result_payload(result, "a label", picks, ROOM, part)
    assert found["n"] == len(part.trials)
    assert ids_of(found) == part.trials["trial_id"].tolist()
    assert found["trials"] == 360
    for place, axis in enumerate(part.axes.values()):
        codes = decoded(found["columns"][f"axis{place}"])
        assert codes.max() < len(axis) == len(found["axes"][place]["labels"])
    assert all(None not in each["codes"].values() for each in found["boundaries"])
    assert [pick["codes"].keys() for pick in found["picks"]] == [part.axes.keys()] * len(picks)


def test_no_trace_is_read_where_there_is_no_room_for_curves(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Result, "traces", lambda own, ids: pytest.fail("all traces were read"))
    assert payload_of(result, room=1.0)["curves"] is None
