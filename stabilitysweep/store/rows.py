"""A trial as a row of the database, and back.

`MEASURED` is the one list of what is stored of a result; the table's definition, the writing
and the trials table all follow it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from stabilitysweep.store.base import Entry
from stabilitysweep.store.encoding import (
    decode_float,
    decode_metrics,
    decode_trace,
    encode_count,
    encode_float,
    encode_json,
    encode_metrics,
    encode_text,
    encode_trace,
)
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, TrialResult

ColumnKind = Literal["text", "count", "float", "metrics"]

MEASURED: dict[str, ColumnKind] = {
    "outcome": "text",
    "onset_step": "count",
    "onset_stage": "text",
    "onset_tensor": "text",
    "onset_kind": "text",
    "nan_step": "count",
    "cause": "text",
    "initial_loss": "float",
    "final_loss": "float",
    "best_loss": "float",
    "val_loss": "float",
    "metrics": "metrics",
    "skipped_steps": "count",
    "final_loss_scale": "float",
    "max_abs_activation": "float",
    "max_grad_norm": "float",
    "max_weight_norm": "float",
    "headroom_bits": "float",
    "zero_gradients": "float",
    "critical_learning_rate": "float",
    "steps_run": "count",
    "engine": "text",
    "compiled": "text",
}
"""The measured columns in the order of the trials table."""

IDENTITY = ("trial_id", "config_id", "axes", "seed")
UNTABLED = ("message", "trace")
COLUMNS = (*IDENTITY, *MEASURED, *UNTABLED)
"""Every column of the database, in the order of `to_row` and `from_row`."""

_ENCODERS: dict[ColumnKind, Callable[[Any], Any]] = {
    "text": encode_text,
    "count": encode_count,
    "float": encode_float,
    "metrics": encode_metrics,
}
_ONSET = {
    "onset_step": "step",
    "onset_stage": "stage",
    "onset_tensor": "tensor",
    "onset_kind": "kind",
}


def to_row(entry: Entry, config_id: int) -> tuple[Any, ...]:
    """Return the values of `COLUMNS` for a trial.

    Raises:
        TypeError, ValueError: a value that cannot be stored, see `Store.add`.
    """
    result = entry.result
    measured = (_ENCODERS[kind](_value(result, name)) for name, kind in MEASURED.items())
    return (
        result.trial_id,
        config_id,
        encode_json(dict(entry.axes)),
        int(entry.seed),
        *measured,
        encode_text(result.message),
        encode_trace(result.trace),
    )


def from_row(row: Sequence[Any]) -> Entry:
    """Return the trial whose row this is.

    Raises:
        ValueError, TypeError, AttributeError: the row is damaged.
    """
    stored = dict(zip(COLUMNS, row, strict=True))
    floats = {
        name: decode_float(stored[name]) for name, kind in MEASURED.items() if kind == "float"
    }
    onset = None
    if stored["onset_step"] is not None:
        onset = Onset(
            step=stored["onset_step"],
            stage=Stage(stored["onset_stage"]),
            tensor=stored["onset_tensor"],
            kind=Kind(stored["onset_kind"]),
        )
    result = TrialResult(
        trial_id=stored["trial_id"],
        outcome=Outcome(stored["outcome"]),
        engine=stored["engine"],
        compiled=None if stored["compiled"] is None else Compiled(stored["compiled"]),
        onset=onset,
        nan_step=stored["nan_step"],
        cause=stored["cause"],
        metrics=decode_metrics(json.loads(stored["metrics"])),
        skipped_steps=stored["skipped_steps"],
        steps_run=stored["steps_run"],
        trace=decode_trace(stored["trace"]),
        message=stored["message"],
        **floats,
    )
    return Entry(json.loads(stored["axes"]), stored["seed"], result)


def _value(result: TrialResult, name: str) -> Any:
    if name in _ONSET:
        return None if result.onset is None else getattr(result.onset, _ONSET[name])
    return getattr(result, name)
