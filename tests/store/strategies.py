"""Arbitrary trial results, and how two of them are compared."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stabilitysweep.store import Entry
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, Trace, TrialResult

LAW = settings(derandomize=True, deadline=None, max_examples=50)

COUNT = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = st.text("abcxyz_019", min_size=1, max_size=8)
AXIS_VALUE = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)


@st.composite
def traces(draw: st.DrawFn, most: int = 50) -> Trace:
    points = draw(st.integers(0, most))
    curves = [draw(hnp.arrays(np.float32, points, elements=st.floats(width=32))) for _ in range(5)]
    return Trace(draw(hnp.arrays(np.int32, points)), *curves)


ONSETS = st.builds(
    Onset,
    step=COUNT,
    stage=st.sampled_from(Stage),
    tensor=TEXT,
    kind=st.sampled_from(Kind),
)


def results(
    trial_id: st.SearchStrategy[str] = NAME,
    outcome: st.SearchStrategy[Outcome] = st.sampled_from(Outcome),  # noqa: B008 - immutable
) -> st.SearchStrategy[TrialResult]:
    number, count = st.none() | st.floats(), st.none() | COUNT
    return st.builds(
        TrialResult,
        trial_id=trial_id,
        outcome=outcome,
        engine=TEXT,
        compiled=st.none() | st.sampled_from(Compiled),
        onset=st.none() | ONSETS,
        nan_step=count,
        cause=st.none() | TEXT,
        initial_loss=number,
        final_loss=number,
        best_loss=number,
        val_loss=number,
        metrics=st.dictionaries(NAME, st.floats(), max_size=3),
        skipped_steps=count,
        final_loss_scale=number,
        max_abs_activation=number,
        max_grad_norm=number,
        max_weight_norm=number,
        headroom_bits=number,
        zero_gradients=number,
        critical_learning_rate=number,
        steps_run=COUNT,
        trace=st.none() | traces(),
        message=st.none() | TEXT,
    )


def entries(
    result: st.SearchStrategy[TrialResult] = results(),  # noqa: B008 - immutable
) -> st.SearchStrategy[Entry]:
    axes = st.dictionaries(NAME, AXIS_VALUE, max_size=4)
    return st.builds(Entry, axes=axes, seed=st.integers(0, 2**31 - 1), result=result)


def content(value: Any) -> Any:
    """Everything in a record in a form that `==` compares to the bit, NaN equal to NaN."""
    if isinstance(value, Entry):
        return (list(value.axes), content(dict(value.axes)), value.seed, content(value.result))
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [type(value).__name__, *(content(getattr(value, item.name)) for item in fields)]
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return {key: content(item) for key, item in value.items()}
    return (type(value).__name__, repr(value))


def trial(trial_id: str = "aa", **given: Any) -> Entry:
    """A plain entry for tests that are about something else."""
    axes, seed = given.pop("axes", {"depth": 2}), given.pop("seed", 0)
    outcome = given.pop("outcome", Outcome.STABLE)
    return Entry(axes, seed, TrialResult(trial_id, outcome, "stacked", **given))
