"""Users' models of every kind are trained in stacks as `model.fit` trains them.

From equal initial weights, at a safe learning rate and at an absurd one: the same losses step by
step up to rounding, the same outcome, the same onset or the next step.
"""

from __future__ import annotations

import numpy as np
import pytest
from user_sweeps import alone, lay_out, stacks_of

from stabilitysweep.engines.fit import FitEngine, set_up
from stabilitysweep.engines.subject import UserModels
from stabilitysweep.engines.verified import VerifiedEngine
from stabilitysweep.models.builder import precision_scope
from stabilitysweep.types import Outcome

SAFE, ABSURD = 0.01, 1e10
ROUNDING = 2e-5
CASES = {
    "convolutions": ("images", (SAFE,)),
    "masked_words": ("sentences", (SAFE,)),
    "noisy_sequence": ("sequences", (SAFE,)),
    "dropped_sequence": ("sequences", (SAFE,)),
    "variational": ("columns", (SAFE,)),
    "causal_attention": ("sequences", (SAFE,)),
    "normalizations": ("images", (SAFE,)),
    "two_and_two": ("pairs", (SAFE,)),
    "subclassed": ("columns", (SAFE, ABSURD)),
    "averaged": ("columns", (SAFE, ABSURD)),
    "accumulated": ("columns", (SAFE, ABSURD)),
    "scaled_loss": ("columns", (SAFE,)),
    "in_python": ("columns", (SAFE,)),
}
QUICK = {"two_and_two", "subclassed", "scaled_loss"}
"""Two inputs and outputs, no layer graph and a rate that is too high, loss scaling."""


@pytest.mark.parametrize(
    "case",
    [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES],
)
def test_a_model_is_trained_in_a_stack_as_by_fit(
    stacked: VerifiedEngine, fit: FitEngine, case: str
) -> None:
    data, rates = CASES[case]
    sweep = lay_out(case, data, learning_rate=rates)
    assert not sweep.failed
    outcomes = []
    for key, stack in stacks_of(sweep):
        rows = sweep.data[key]
        assert not stack.alone and stack.verify
        ours, own = stacked.run(stack, rows), fit.run(stack, rows)
        assert [verdict.agrees for verdict in stacked.verdicts] == [True], stacked.verdicts
        stacked.verdicts.clear()
        for trial, x, y in zip(stack.trials, ours, own, strict=True):
            with precision_scope("float32"):
                initial = set_up(alone(stack, trial), rows, UserModels()).initial
                mine, _ = stacked._inputs(alone(stack, trial), rows).initial[0]
            for a, b in zip(mine, initial, strict=True):
                np.testing.assert_array_equal(a, b)
            assert (x.engine, y.engine) == ("stacked", "fit")
            assert x.outcome == y.outcome
            assert x.skipped_steps == y.skipped_steps
            assert x.final_loss_scale == y.final_loss_scale
            assert (y.skipped_steps > 4) == (case == "scaled_loss")
            assert x.metrics.keys() == y.metrics.keys()
            outcomes.append(y.outcome)
            np.testing.assert_allclose(x.initial_loss, y.initial_loss, rtol=1e-6)
            if y.outcome is Outcome.NONFINITE:
                assert abs(x.onset.step - y.onset.step) <= 1
            elif trial.training.learning_rate == SAFE:
                np.testing.assert_array_equal(x.trace.steps, y.trace.steps)
                for name in ("loss", "grad_norm", "weight_norm", "max_activation"):
                    a, b = getattr(x.trace, name), getattr(y.trace, name)
                    # In a skipped step it depends on the order of a sum whether it is Inf or NaN.
                    sound = np.isfinite(b)
                    np.testing.assert_array_equal(np.isfinite(a), sound)
                    np.testing.assert_allclose(a[sound], b[sound], rtol=10 * ROUNDING)
                for name in ("final_loss", "best_loss", "val_loss"):
                    np.testing.assert_allclose(getattr(x, name), getattr(y, name), rtol=ROUNDING)
                for name in x.metrics:
                    np.testing.assert_allclose(x.metrics[name], y.metrics[name], rtol=ROUNDING)
    assert Outcome.NONFINITE not in outcomes[: len(outcomes) // len(rates)]
    if ABSURD in rates:
        assert Outcome.NONFINITE in outcomes, "this learning rate is not too high"
