"""What cells are ranked by: the worst there is for what failed, and costs beside the best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis.metric import Metric


@pytest.mark.parametrize(("higher", "worst"), [(False, np.inf), (True, -np.inf)])
def test_what_failed_or_is_no_number_has_the_worst_score(higher: bool, worst: float) -> None:
    trials = pd.DataFrame(
        {
            "outcome": ["stable", "stable", "stalled", "diverged", "nonfinite", "crashed"],
            "val_r2": [0.5, np.nan, np.nan, 0.9, 0.9, 0.9],
        }
    )
    scores = Metric("val_r2", higher).scores(trials)
    np.testing.assert_array_equal(scores, [0.5, worst, worst, worst, worst, np.nan])
    assert np.median(scores[:2]) == worst  # a median over seeds knows of it


@pytest.mark.parametrize(
    ("higher", "best", "worse"), [(False, -2.0, -1.0), (False, 2.0, 3.0), (True, -2.0, -3.0)]
)
def test_a_cost_is_positive_whatever_the_sign_of_the_best(
    higher: bool, best: float, worse: float
) -> None:
    costs = Metric("val_loss", higher).cost(np.array([best, worse, np.nan]), best)
    np.testing.assert_array_equal(costs, [0.0, 0.5, np.inf])
    assert Metric("val_loss").cost(np.array([0.0, 1.0]), 0.0).tolist() == [0.0, np.inf]
