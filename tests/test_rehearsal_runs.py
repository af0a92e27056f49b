"""A choice of XLA from the processes that try it to the table, and on to what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import stabilitysweep
from stabilitysweep import rehearsal
from stabilitysweep.diagnosing import diagnose

CONFIG: dict[str, Any] = {
    "name": "tried",
    "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
    "model": {"width": 8, "depth": 1},
    "training": {"steps": 20, "batch_size": 8},
    "grid": {"learning_rate": [0.001, 0.01, 1e20]},
    "seeds": 2,
}


@pytest.mark.slow
@pytest.mark.usefixtures("_willing")
def test_what_is_tried_is_trained_and_what_follows_has_the_same_bits(tmp_path: Path) -> None:
    result = stabilitysweep.run(CONFIG, tmp_path / "out", workers=1)
    assert set(result.trials["compiled"]) == {"xla"}
    assert set(rehearsal.stored_choices(tmp_path / "out")[0].values()) == {"xla"}
    more = stabilitysweep.run({**CONFIG, "seeds": 3}, tmp_path / "out", workers=1)
    whole = stabilitysweep.run(
        {**CONFIG, "seeds": 3}, tmp_path / "whole", compiled="xla", workers=1
    )
    pd.testing.assert_frame_equal(more.trials, whole.trials, check_exact=True)
    (found, *_) = diagnose(more)
    assert found.replay.differences == ()


@pytest.fixture
def _willing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let XLA be worth it, however little there is to train."""
    monkeypatch.setattr(rehearsal, "XLA_SECONDS", 0.0)
    monkeypatch.setattr(rehearsal, "_XLA_SHARE", float("inf"))
    monkeypatch.setattr(rehearsal, "_FASTER", 1e3)
    monkeypatch.setattr(rehearsal, "_REPAID", -1e9)
