"""A trial as a row of the database, and back.

`MEASURED` is the one list of what is stored of a result; the table's definition, the writing
and the trials table all follow it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
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
    encode_name,
    encode_text,
    encode_traces,
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
"""Every column of the database, in the order of `to_rows` and `from_row`."""

_ONSET = {
    "onset_step": "step",
    "onset_stage": "stage",
    "onset_tensor": "tensor",
    "onset_kind": "kind",
}


def to_rows(entries: Sequence[Entry], config_id: int) -> list[tuple[Any, ...]]:
    """Return the values of `COLUMNS` for every trial, a tuple each.

    Column by column: a sweep of many small trainings adds thousands of them a second.

    Raises:
        TypeError, ValueError: a value that cannot be stored, see `Store.add`.
    """
    results = [entry.result for entry in entries]
    columns = [
        [result.trial_id for result in results],
        [config_id] * len(entries),
        [encode_json(dict(entry.axes)) for entry in entries],
        [int(entry.seed) for entry in entries],
        *(_encoded(_values(results, name), kind) for name, kind in MEASURED.items()),
        [encode_text(result.message) for result in results],
        encode_traces([result.trace for result in results]),
    ]
    return list(zip(*columns, strict=True))


def _values(results: Sequence[TrialResult], name: str) -> list[Any]:
    if name not in _ONSET:
        return [getattr(result, name) for result in results]
    own = _ONSET[name]
    return [None if result.onset is None else getattr(result.onset, own) for result in results]


def _encoded(values: list[Any], kind: ColumnKind) -> list[Any]:
    match kind:
        case "text":
            return [None if value is None else encode_name(value) for value in values]
        case "count":
            return [encode_count(value) for value in values]
        case "float":
            finite = math.isfinite
            return [
                value if type(value) is float and finite(value) else encode_float(value)
                for value in values
            ]
        case "metrics":
            return [encode_metrics(value) if value else "{}" for value in values]


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
