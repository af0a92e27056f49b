"""The config of a follow-up: the same sweep, of some cells."""

from __future__ import annotations

import numpy as np
import pytest
from test_refining import CONFIG

from stabilitysweep import ResultError
from stabilitysweep.config import parse_config
from stabilitysweep.followup import derived


def test_a_follow_up_is_the_same_sweep_of_some_cells() -> None:
    config = parse_config({**CONFIG, "grid": {"dataset": ["diabetes", "wine"], **CONFIG["grid"]},
                           "dataset": None})  # fmt: skip
    cells = [
        {"dataset": "wine", "depth": np.int64(2), "batch_size": 142, "learning_rate": [0.2, 0.1]},
        {"dataset": "wine", "depth": 3, "batch_size": 4, "learning_rate": np.float64(0.3)},
    ]
    own = derived(config, cells, seeds=range(5, 7), steps=60)
    assert [data.label for data in own.datasets] == ["wine"]
    assert own.grid["batch_size"] == (4, 142)
    assert own.grid["learning_rate"] == (0.1, 0.2, 0.3)
    assert own.grid["activation"] == ("tanh", "relu")
    assert (own.seeds, own.training.steps, own.name) == (range(5, 7), 60, "refined")
    assert derived(config, [{"l2": 0.1}, {"depth": 1}]).grid["l2"] == (0.0, 0.1)
    with pytest.raises(
        ResultError, match=r"data sets of the sweep's last config \(diabetes, wine\)"
    ):
        derived(config, [{"dataset": "iris"}])
    with pytest.raises(ValueError, match="at least one"):
        derived(config, [])
