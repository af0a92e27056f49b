"""The example of the whole way goes it: a small map, a search on it, a guarded run."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from trained_configs import EngineExecutor, survey_here

import stabilitysweep
from stabilitysweep import execution, runner
from stabilitysweep.config import load_config
from stabilitysweep.config.sweep import SweepConfig
from stabilitysweep.engines.verified import VerifiedEngine
from sweeps import whole_way

# KerasTuner's own, and h5py's.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*currentThread|.*getName:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TRIALS, EPOCHS = 3, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole_way")


@pytest.fixture(scope="module")
def model(folder: Path) -> keras.Model:
    whole = load_config(whole_way.CONFIG)
    rates = [1e-3, 1e-2, 3e-2, 1e-1, 10.0]
    small = whole.model_copy(
        update={
            "grid": {"units": [16], "num_layers": [1], "activation": ["relu", "tanh"]}
            | {"learning_rate": rates},
            "seeds": whole.seeds[:2],
        }
    )
    assert isinstance(small, SweepConfig)
    load = runner.load_sweep
    with pytest.MonkeyPatch.context() as patch:  # TensorFlow is loaded here already
        patch.setattr(runner, "load_sweep", lambda config: load(config, survey_here))
        patch.setattr(
            execution, "LocalExecutor", lambda workers, engine: EngineExecutor(VerifiedEngine())
        )
        return whole_way.main(folder, small, trials=TRIALS, epochs=EPOCHS)


def test_a_model_comes_out_that_was_trained_for_long(model: keras.Model) -> None:
    assert model.optimizer.iterations == EPOCHS * np.ceil((442 - whole_way.HELD_OUT) / 32)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_no_trial_of_the_search_broke_and_its_record_is_a_result(
    model: keras.Model, folder: Path
) -> None:
    searched = stabilitysweep.open_result(folder / "long_run_search" / "recorded").trials
    measured = stabilitysweep.open_result(folder / "long_run").trials
    assert len(searched) == TRIALS
    assert (searched["outcome"] != "nonfinite").all()
    assert (measured["outcome"] == "nonfinite").any(), "there is nothing to keep away from"


def test_the_guard_reports_where_the_map_says_that_it_breaks(
    model: keras.Model, folder: Path
) -> None:
    text = (folder / "long_run_guard" / "report.txt").read_text(encoding="utf-8")
    assert "model and optimizer put back" in text
