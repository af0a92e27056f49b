"""The Python interface, with an executor that trains nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from inline_executor import InlineExecutor

import stabilitysweep
from stabilitysweep import ResultError, UserError, api, execution, load_config
from stabilitysweep.execution import Options
from stabilitysweep.result import pictures
from stabilitysweep.runner import Progress
from stabilitysweep.types import Compiled

CONFIG: dict[str, Any] = {
    "name": "api",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 5},
    "grid": {"depth": [1, 2], "learning_rate": [0.01, 0.1, 1]},
    "seeds": 2,
}


@pytest.fixture
def executors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int | None, str]]:
    """Run in an empty folder, without workers; what executors were asked for."""
    asked: list[tuple[int | None, str]] = []

    def make(workers: int | None, engine: str) -> InlineExecutor:
        asked.append((workers, engine))
        return InlineExecutor()

    monkeypatch.setattr(execution, "LocalExecutor", make)
    monkeypatch.setattr(pictures, "ALWAYS_DRAWN", ("stability",))  # one is enough
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.mark.usefixtures("executors")
def test_a_config_may_be_a_path_a_mapping_or_itself(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    tables = [
        stabilitysweep.run(config, out=tmp_path / str(number)).trials
        for number, config in enumerate((path, str(path), CONFIG, load_config(path)))
    ]
    assert len(tables[0]) == 12
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=True)


@pytest.mark.usefixtures("executors")
def test_results_land_in_the_current_folder_under_their_name() -> None:
    result = stabilitysweep.run(CONFIG)
    assert result.folder == Path("results/api")
    # SQLite keeps files of its own beside the record.
    names = {path.name for path in result.folder.glob("[!.]*") if "sweep.db-" not in path.name}
    assert names == {
        "config.yaml",
        "figures",
        "report.html",
        "summary.json",
        "sweep.db",
        "trials.csv",
        "trials.parquet",
    }
    reopened = stabilitysweep.open_result("results/api")
    pd.testing.assert_frame_equal(reopened.trials, result.trials, check_exact=True)


def test_options_reach_the_executor_and_the_record(executors: list[tuple[int | None, str]]) -> None:
    result = stabilitysweep.run(CONFIG, engine="fit", workers=3, compiled="xla")
    assert executors == [(3, "fit")]
    flags = {"engine": "fit", "compiled": "xla", "workers": 3, "executor": "local"}
    assert result.provenance["flags"] == flags


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "jax"}, "engine: expected stacked or fit, got 'jax'"),
        ({"workers": 0}, "workers: expected at least 1"),
        ({"workers": -2}, "workers: expected at least 1"),
        ({"compiled": "llvm"}, "compiled: expected auto, graph, xla, got 'llvm'"),
        ({"out": "taken"}, "got a file"),
        ({"config": "no.yaml"}, "no such file"),
        ({"config": {**CONFIG, "grdi": {}}}, "did you mean 'grid'"),
    ],
)
@pytest.mark.usefixtures("executors")
def test_what_cannot_be_used_is_refused_and_nothing_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    (tmp_path / "taken").touch()
    config = options.pop("config", CONFIG)
    with pytest.raises(UserError, match=message):
        stabilitysweep.run(config, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.usefixtures("executors")
def test_a_plan_says_what_is_left_and_writes_nothing(tmp_path: Path) -> None:
    plan = api.plan(CONFIG, options=Options(workers=5))
    assert (plan.stored, plan.work.trials, plan.work.programs, plan.workers) == (0, 12, 2, 2)
    assert list(tmp_path.iterdir()) == []
    api.execute(plan)
    again = api.plan({**CONFIG, "seeds": 3})
    assert (again.stored, again.work.trials) == (12, 6)
    assert api.plan({**CONFIG, "seeds": 3}, options=Options(fresh=True)).work.trials == 18


@pytest.mark.usefixtures("executors")
def test_fresh_keeps_the_old_result_beside() -> None:
    old = stabilitysweep.run(CONFIG).trials
    changed = {**CONFIG, "training": {"steps": 7}}
    with pytest.raises(ResultError, match=r"training\.steps: 5 -> 7"):
        stabilitysweep.run(changed)
    new = stabilitysweep.run(changed, fresh=True)
    assert set(new.trials["steps_run"]) == {7}
    (kept,) = Path("results").glob("api.*")
    pd.testing.assert_frame_equal(stabilitysweep.open_result(kept).trials, old, check_exact=True)


@pytest.mark.usefixtures("executors")
def test_fresh_never_moves_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(ResultError, match="holds other files"):
        stabilitysweep.run(CONFIG, out="home", fresh=True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.usefixtures("executors")
def test_progress_counts_up_to_the_total() -> None:
    seen: list[tuple[int, int]] = []

    def observe(progress: Progress) -> None:
        seen.append((progress.done, progress.total))
        assert sum(progress.outcomes.values()) == progress.done

    api.execute(api.plan(CONFIG), observe)
    assert seen == sorted(seen)
    assert seen[-1] == (12, 12)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        stabilitysweep.tune  # noqa: B018


def test_compiled_has_the_values_the_interface_documents() -> None:
    assert list(Compiled) == ["graph", "xla"]


@pytest.mark.usefixtures("executors")
def test_the_import_beside_the_training_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Python aborts where it ends a daemon thread inside an extension's C++ code."""
    seen: list[bool] = []
    monkeypatch.setattr(
        api, "import_module", lambda name: seen.append(threading.current_thread().daemon)
    )
    stabilitysweep.run(CONFIG, out=tmp_path / "out")
    assert seen == [False]
