"""A stored result read back: its table, axes, summary, single trials, files and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inline_executor import CRASHING, FAILING, InlineExecutor, run_inline
from matplotlib.figure import Figure

from stabilitysweep import Result, ResultError, Thresholds, UserError, figures, open_result
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Outcome

CONFIG: dict[str, Any] = {
    "name": "result",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4, "metrics": ["mae"]},
    "grid": {
        "activation": ["tanh", "relu"],
        "depth": [2, 1],
        "learning_rate": [0.1, FAILING, 0.01],
    },
    "seeds": 2,
}
AXES = ["activation", "depth", "learning_rate"]


def without(config: Mapping[str, Any], *axes: str, **sections: Any) -> dict[str, Any]:
    grid = {name: values for name, values in config["grid"].items() if name not in axes}
    return {**config, "grid": grid, **sections}


def with_grid(config: Mapping[str, Any], **axes: Any) -> dict[str, Any]:
    return {**config, "grid": {**config["grid"], **axes}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "result"
    run_inline(folder, with_grid(CONFIG, learning_rate=[0.1, FAILING, 0.01, CRASHING]))
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return open_result(folder)


def test_the_table_is_in_the_order_of_the_grid(result: Result) -> None:
    table = result.trials
    assert list(table.columns[:6]) == ["trial_id", *AXES, "seed", "outcome"]
    assert "val_mae" in table.columns
    assert len(table) == 2 * 2 * 4 * 2
    assert table["activation"].drop_duplicates().tolist() == ["tanh", "relu"]
    keys = list(
        zip(table["activation"] == "relu", *(table[n] for n in [*AXES[1:], "seed"]), strict=True)
    )
    assert keys == sorted(keys)


def test_the_axes_are_those_of_the_grid(result: Result) -> None:
    assert result.axes == {
        "activation": ("tanh", "relu"),
        "depth": (2, 1),
        "learning_rate": (0.1, FAILING, 0.01, CRASHING),
    }


def test_the_summary_counts_every_outcome(result: Result) -> None:
    summary = result.summary
    assert summary.outcomes == {
        Outcome.STABLE: 16,
        Outcome.STALLED: 0,
        Outcome.DIVERGED: 0,
        Outcome.NONFINITE: 8,
        Outcome.CRASHED: 8,
    }
    assert (summary.trials, summary.wanted, summary.missing) == (32, 32, 0)
    assert summary.stable_rate is not None
    assert summary.stable_rate.value == 0.1
    assert "16 stable, 8 nonfinite, 8 crashed" in repr(result)


def test_a_trial_is_found_by_the_beginning_of_its_id(result: Result) -> None:
    row = result.trials.iloc[3]
    entry = result.trial(row["trial_id"][:9])
    assert entry.result.trial_id == row["trial_id"]
    assert entry.result.trace is not None
    settings = result.settings(row["trial_id"])
    assert list(settings) == [*AXES, "seed"]
    assert settings == {name: row[name] for name in settings}
    assert all(type(value) in (int, float, str) for value in settings.values())


@pytest.mark.parametrize("wanted", ["zzz", "", "there is no such trial"])
def test_a_trial_that_is_not_there_is_refused(result: Result, wanted: str) -> None:
    with pytest.raises(ResultError, match="there is no trial"):
        result.trial(wanted)
    with pytest.raises(ResultError, match="there is no trial"):
        result.settings(wanted)


def test_the_first_crash_tells_its_reason(result: Result) -> None:
    crash = result.first_crash()
    assert crash is not None
    assert crash.axes["learning_rate"] == CRASHING
    assert crash.result.message == "no such layer: x"


def test_provenance_says_where_the_numbers_come_from(result: Result) -> None:
    facts = result.provenance
    assert {"versions", "processor", "flags", "data", "thresholds", "started"} <= set(facts)
    assert facts["versions"]["python"]
    assert facts["flags"]["engine"] == "inline"


def test_json_is_strict(result: Result, tmp_path: Path) -> None:
    from stabilitysweep.store import write_json

    failed = result.trials.loc[result.trials["outcome"] == "nonfinite", "trial_id"].iloc[0]
    for number, content in enumerate((result.to_json(), result.trial_to_json(failed))):
        write_json(content, tmp_path / f"{number}.json")
    summary, trial = (
        json.loads((tmp_path / f"{number}.json").read_text(), parse_constant=pytest.fail)
        for number in (0, 1)
    )
    assert summary["outcomes"]["nonfinite"] == 8
    assert summary["provenance"]["thresholds"]["stable_below"] == 0.99
    assert trial["onset"] == {
        "step": 3, "stage": "gradient", "tensor": "dense/kernel", "kind": "+inf",
    }  # fmt: skip
    assert trial["trace"]["loss"][2:4] == ["+inf", "nan"]
    assert trial["settings"]["learning_rate"] == FAILING
    assert trial["final_loss_scale"] is None


def test_saving_writes_every_file(folder: Path) -> None:
    opened = open_result(folder)
    written = opened.save()
    names = sorted(path.relative_to(folder).as_posix() for path in written)
    assert names == [
        "figures/learning.png",
        "figures/learning.svg",
        "figures/onset.png",
        "figures/onset.svg",
        "figures/stability.png",
        "figures/stability.svg",
        "summary.json",
        "trials.csv",
        "trials.parquet",
    ]
    assert all(path.stat().st_size > 0 for path in written)
    read = pd.read_csv(folder / "trials.csv", dtype={"trial_id": str})
    assert read["trial_id"].tolist() == opened.trials["trial_id"].tolist()
    np.testing.assert_array_equal(read["final_loss"], opened.trials["final_loss"])
    kept = pd.read_parquet(folder / "trials.parquet")
    assert kept["onset_step"].isna().sum() == 24


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({}, "result (make_regression, 6 steps)"),
        ({"training": {"epochs": 5}}, "result (make_regression, 5 epochs)"),
        ({"dataset": ["diabetes", "make_friedman1"]}, "result (6 steps)"),
    ],
)
def test_the_title_says_what_was_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], subject: str
) -> None:
    titles: list[str] = []

    def draw(data: object, title: str) -> Figure:
        titles.append(title)
        return Figure()

    monkeypatch.setattr(figures, "draw_stability", draw)
    run_inline(tmp_path, {**CONFIG, **change})
    open_result(tmp_path).plot()
    assert titles == [f"{subject}: where training is stable"]


def test_a_map_of_chosen_axes_leaves_the_usual_one_alone(result: Result, tmp_path: Path) -> None:
    plain = result.plot("stability", tmp_path)
    chosen = result.plot(
        "stability",
        tmp_path,
        x="learning_rate",
        y=None,
        where={"activation": "relu"},
        pool=["depth"],
    )
    assert [path.name for path in plain] == ["stability.png", "stability.svg"]
    assert [path.name for path in chosen] == [
        f"stability_x-learning_rate_activation=relu_pool-depth.{ending}"
        for ending in ("png", "svg")
    ]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("kind", "choice", "message"),
    [
        ("heat", {}, "kind: expected stability, onset, .* boundary or sensitivity, got 'heat'"),
        ("onset", {"x": "width"}, "x: expected an axis of the sweep"),
        ("onset", {"where": {"depth": 3}}, "expected one of the values of depth"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused(
    result: Result, tmp_path: Path, kind: str, choice: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultError, match=message):
        result.plot(kind, tmp_path, **choice)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_figures_that_cannot_be_made_is_refused(
    result: Result, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match="Not a directory"):
        result.plot("onset", tmp_path / "file" / "figures")


def test_batch_sizes_that_come_to_the_same_are_not_missing(tmp_path: Path) -> None:
    batch_sizes = with_grid(CONFIG, batch_size=[4, 16, 999, "full"])
    run_inline(tmp_path, {**batch_sizes, "training": {"steps": 6}})
    result = open_result(tmp_path)
    assert result.axes["batch_size"] == (4, 16)
    assert result.summary.missing == 0
    assert result.summary.cells == result.summary.cells_measured == 2 * 2 * 3 * 2


def test_an_interrupted_result_knows_what_is_missing(tmp_path: Path) -> None:
    def interrupt(progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_inline(tmp_path, CONFIG, InlineExecutor(), interrupt)
    result = open_result(tmp_path)
    assert 0 < len(result.trials) < 24
    assert (result.wanted, result.summary.missing) == (24, 24 - len(result.trials))
    assert result.axes["depth"] == (2, 1)
    assert len(result.save()) == 9


def test_a_result_without_any_trial_can_be_read(tmp_path: Path) -> None:
    run_inline(tmp_path, CONFIG)
    with SQLiteStore(tmp_path / "sweep.db", read_only=True) as store:
        record = store.latest_config()
    assert record is not None
    empty = tmp_path / "empty"
    empty.mkdir()
    with SQLiteStore(empty / "sweep.db") as store:
        store.record_config(record.resolved, record.provenance)
    result = open_result(empty)
    assert len(result.trials) == 0
    assert (result.wanted, result.summary.missing) == (24, 24)
    assert result.first_crash() is None
    assert "no trials yet" in repr(result)
    assert len(result.save()) == 9


def test_a_narrower_config_keeps_what_is_stored(tmp_path: Path) -> None:
    run_inline(tmp_path, CONFIG)
    run_inline(tmp_path, with_grid(CONFIG, depth=[1, 3]))
    result = open_result(tmp_path)
    assert result.axes["depth"] == (1, 3, 2)
    assert len(result.trials) == result.wanted == 36
    assert result.summary.missing == 0


def test_an_axis_that_becomes_one_fills_in_what_it_was(tmp_path: Path) -> None:
    run_inline(tmp_path, without(CONFIG, "depth", model={"depth": 2}))
    run_inline(tmp_path, CONFIG)
    table = open_result(tmp_path).trials
    assert list(table.columns[1:4]) == AXES
    assert table["depth"].value_counts().to_dict() == {1: 12, 2: 12}


def test_an_axis_that_is_one_no_longer_is_not_pooled_in_silence(tmp_path: Path) -> None:
    run_inline(tmp_path, CONFIG)
    run_inline(
        tmp_path,
        without(with_grid(CONFIG, learning_rate=[0.1, 0.2]), "depth", model={"depth": 2}),
    )
    result = open_result(tmp_path)
    assert list(result.axes) == ["activation", "learning_rate", "depth"]
    table = result.trials
    cells = table.groupby([*result.axes, "seed"]).size()
    assert (cells == 1).all()
    assert set(table.loc[table["learning_rate"] == 0.2, "depth"]) == {2}


def test_an_earlier_axis_in_which_no_trial_differs_is_dropped(tmp_path: Path) -> None:
    run_inline(tmp_path, with_grid(CONFIG, depth=[2]))
    run_inline(tmp_path, without(CONFIG, "depth", model={"depth": 2}))
    assert list(open_result(tmp_path).axes) == ["activation", "learning_rate"]


@pytest.mark.parametrize("kind", ["nothing", "file", "other folder", "empty record"])
def test_what_is_no_result_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r"
    match kind:
        case "file":
            path.touch()
        case "other folder":
            path.mkdir()
        case "empty record":
            path.mkdir()
            SQLiteStore(path / "sweep.db").close()
    expected = {
        "nothing": "got no such folder",
        "file": "got a file",
        "other folder": "got a folder without sweep.db",
        "empty record": "the record is empty; run the sweep first",
    }[kind]
    with pytest.raises(ResultError, match=expected):
        open_result(path)


def test_outcomes_are_recomputed_from_what_is_stored(result: Result, folder: Path) -> None:
    before = (folder / "sweep.db").read_bytes()
    stored = result.trials
    ratio = stored["final_loss"] / stored["initial_loss"]
    finite = stored["outcome"].isin(["stable", "stalled", "diverged"])
    assert finite.any()
    for below, above in ((0.99, 1.01), (1e-9, 1e9), (1e-9, 1e-8), (1e8, 1e9)):
        again = open_result(folder, Thresholds(below, above))
        expected = np.where(ratio < below, "stable", np.where(ratio > above, "diverged", "stalled"))
        expected = np.where(finite, expected, stored["outcome"])
        assert again.trials["outcome"].tolist() == expected.tolist()
        assert again.provenance["thresholds"] == {"stable_below": below, "diverged_above": above}
        counted = pd.Series(expected).value_counts()
        assert all(again.summary.outcomes[Outcome(name)] == n for name, n in counted.items())
        first = str(stored.loc[finite, "trial_id"].iloc[0])
        shown = again.trial(first).result.outcome
        assert shown == again.trials.set_index("trial_id")["outcome"][first]
    assert (folder / "sweep.db").read_bytes() == before
    with pytest.raises(UserError, match="expected 0 < stable_below <= diverged_above"):
        Thresholds(1.1, 1.0)


def test_zero_gradients_are_set_against_the_float32_twin(tmp_path: Path) -> None:
    config = with_grid(without(CONFIG, "activation", "depth"), precision=["float16", "float32"])
    run_inline(tmp_path / "twins", config)
    table = open_result(tmp_path / "twins").trials
    half = table[table["precision"] == "float16"].set_index(["learning_rate", "seed"])
    single = table[table["precision"] == "float32"].set_index(["learning_rate", "seed"])
    twin = single["zero_gradients"].reindex(half.index)
    excess = (half["zero_gradients"] - twin).where(half["onset_step"].isna())
    assert excess.notna().any() and excess.isna().any()
    pd.testing.assert_series_equal(half["excess_zero_gradients"], excess, check_names=False)
    lost = excess / (1 - twin)
    pd.testing.assert_series_equal(half["lost_gradients"], lost, check_names=False)
    assert (single["lost_gradients"].dropna() == 0).all()


def test_figures_of_other_thresholds_leave_the_usual_ones_alone(
    result: Result, folder: Path, tmp_path: Path
) -> None:
    usual = [path.name for path in result.plot("stability", tmp_path)]
    again = open_result(folder, Thresholds(0.5, 2.0))
    judged = [path.name for path in again.plot("stability", tmp_path)]
    assert not set(usual) & set(judged)
    assert all("0.5" in name for name in judged)
    with pytest.raises(ResultError, match="expected the stored outcomes"):
        again.save()


@pytest.mark.parametrize("kind", ["headroom", "underflow"])
def test_maps_of_a_number_are_drawn(tmp_path: Path, kind: str) -> None:
    config = with_grid(without(CONFIG, "activation"), precision=["float16", "float32"])
    run_inline(tmp_path / "drawn", config)
    drawn = open_result(tmp_path / "drawn").plot(kind, x="learning_rate", y="precision")
    assert [path.stat().st_size > 10_000 for path in drawn] == [True, True]


def test_a_map_of_a_number_that_no_trial_has_is_refused(result: Result) -> None:
    with pytest.raises(ResultError, match=r"expected 'precision' as an axis with float32"):
        result.plot("underflow")


def test_a_sweep_of_some_cells_lacks_none_of_the_others(tmp_path: Path) -> None:
    cells = [{"depth": 2, "activation": "tanh"}, {"depth": 1, "learning_rate": 0.01}]
    run_inline(tmp_path / "some", {**CONFIG, "cells": cells, "seeds": {"from": 3, "num": 2}})
    result = open_result(tmp_path / "some")
    assert (len(result.trials), result.wanted, result.summary.missing) == (10, 10, 0)
    assert (result.summary.cells, result.summary.cells_measured) == (5, 5)
    assert result.stability_map().missing == 0
    assert set(result.trials["seed"]) == {3, 4}
    # The whole grid extends it.
    run_inline(tmp_path / "some", {**CONFIG, "seeds": {"from": 3, "num": 2}})
    assert len(open_result(tmp_path / "some").trials) == 24
