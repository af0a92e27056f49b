"""A sweep of a user's own model, from the command line to its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_sweep import Inside, call, write_config

MODULE = """
import os
import sys

import keras
import numpy as np
from keras import layers


def data():
    os.write(2, b"I0000 00:00:1795616185.662487    2576 port.cc:153] oneDNN is on.\\n")
    print("60 rows", file=sys.stderr)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    return x, x.sum(axis=1)


def build(hp):
    print("building")
    units = hp.Int("units", 1, 4)
    if units == 3:
        raise ValueError("three is too many")
    model = keras.Sequential([layers.Dense(units, activation=hp.Choice("act", ["relu", "tanh"]))])
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(0.5))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.SGD(hp.Float("lr", 1e-3, 1.0)), loss="mse", metrics=["mae"])
    return model


def never(hp):
    raise ValueError(f"not with {hp.Int('units', 1, 4)}")
"""
CONFIG: dict[str, Any] = {
    "name": "own",
    "dataset": {"function": "mine_:data"},
    "model": {"build": "mine_:build"},
    "training": {"steps": 5, "batch_size": 8},
    "grid": {"units": [2, 3], "lr": [0.01, 1e30]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine_.py").write_text(MODULE)
    write_config(folder, CONFIG, "own.yaml")
    write_config(folder, {**CONFIG, "name": "none", "model": {"build": "mine_:never"}}, "none.yaml")
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Any:
    return call("run", "own.yaml", "--workers", "1", cwd=folder, code=1)


def test_the_other_trials_go_on_and_stderr_has_what_the_user_prints(run: Any) -> None:
    assert run.stderr == "60 rows\n"
    assert "2 trials trained" in run.stdout
    assert "building" not in run.stdout
    assert "defaults    act relu, dropout false\n" in run.stdout
    assert "not built   2 of 4 trials: model.build 'mine_:build' with units 3: " in run.stdout
    assert "2 trials could not be run. The next run tries them again." in run.stdout


def test_the_result_says_what_was_built(folder: Path, run: Any, inside: Inside) -> None:
    shown = inside("show", "results/own", cwd=folder).stdout
    assert "model       mine_:build\n" in shown
    assert "compiled    by the build: SGD, mse, mae\n" in shown
    summary = json.loads((folder / "results/own/summary.json").read_text())
    assert summary["provenance"]["models"]["rate"] == "lr"
    assert summary["largest_stable_learning_rate"]["overall"] == 0.01
    assert "val_mae" in (folder / "results/own/trials.csv").read_text().splitlines()[0]


@pytest.mark.slow
def test_a_trial_that_failed_is_diagnosed(folder: Path, run: Any, inside: Inside) -> None:
    (found,) = json.loads(inside("diagnose", "results/own", "--json", cwd=folder).stdout)
    assert found["reproduced"], found["differences"]
    assert found["settings"]["lr"] == 1e30
    assert found["fixed"]["act"] == "relu"
    assert {tensor["tensor"] for tensor in found["steps"][0]["tensors"]} >= {"dense", "dense_1"}


def test_a_build_that_has_changed_is_refused(
    folder: Path, run: Any, tmp_path: Path, inside: Inside
) -> None:
    changed = MODULE.replace("layers.Dense(units,", "layers.Dense(units + 1,")
    (tmp_path / "mine_.py").write_text(changed)
    write_config(tmp_path, CONFIG, "own.yaml")
    refused = inside("run", "own.yaml", "--out", folder / "results/own", cwd=tmp_path, code=2)
    assert "the build has changed (it makes another model of units 2, lr 0.01" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_run_of_which_all_crash_sums_up_once(folder: Path, inside: Inside) -> None:
    done = inside("run", "none.yaml", cwd=folder, code=1)
    assert done.stderr == "60 rows\n"
    assert done.stdout.count("outcome ") == 1
    assert "4 trials could not be run" in done.stdout
    assert "Traceback" not in done.stdout
