"""The numbers of a page: every trial of every result, in columns; see `columns`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.analysis import CAUSES, OUTCOMES
from stabilitysweep.analysis.axes import Axis, encode
from stabilitysweep.analysis.layout import choose_layout
from stabilitysweep.analysis.picks import Pick
from stabilitysweep.analysis.spacing import spacing
from stabilitysweep.report.columns import coded, distinct, packed_ids, trial_columns
from stabilitysweep.report.commands import command
from stabilitysweep.report.curves import curves, points_in
from stabilitysweep.report.shown import Shown, shown
from stabilitysweep.result import Result
from stabilitysweep.result.searched import scattered
from stabilitysweep.types import Kind, Stage

VERSION = 1

_OF_TEXTS = 0.15
"""The part of the room that sentences may take."""


def result_payload(
    result: Result, label: str, picks: Sequence[Pick], room: float, part: Shown | None = None
) -> dict[str, Any]:
    """Return one result as the page reads it.

    Args:
        result: with at least one trial.
        label: what it is called on the page.
        picks: the best first.
        room: bytes there are for all of it.
        part: what the map shows of it; None is as `shown` has it.
    """
    part = part or shown(result, picks)
    axes, trials = part.axes, part.trials
    seeds = sorted({int(seed) for seed in trials["seed"]})
    stages = distinct(trials["onset_stage"], list(Stage))
    kinds = distinct(trials["onset_kind"], list(Kind))
    tensors = distinct(trials["onset_tensor"])
    causes = distinct(trials["cause"], list(CAUSES))
    texts = kept_texts(trials, _OF_TEXTS * room)
    columns = trial_columns(trials, axes, seeds)
    columns |= {
        "onset_stage": coded(trials["onset_stage"], stages, "u8"),
        "onset_tensor": coded(trials["onset_tensor"], tensors, "u16"),
        "onset_kind": coded(trials["onset_kind"], kinds, "u8"),
        "cause": coded(trials["cause"], causes, "u8"),
        "cause_text": coded(trials["cause_text"], texts, "u32"),
    }
    ids = trials["trial_id"].tolist()
    found = {
        "label": label,
        "name": result.config.name,
        "rate": result.rate if result.rate in axes and axes[result.rate].numeric else None,
        "axes": [_axis(axis) for axis in axes.values()],
        "default": _default(result, axes),
        "seeds": seeds,
        "stages": stages,
        "tensors": tensors,
        "kinds": kinds,
        "causes": causes,
        "texts": texts,
        "outcomes": [str(outcome) for outcome in OUTCOMES],
        "n": len(trials),
        "trials": len(result.trials),
        "columns": columns,
        "ids": packed_ids(ids),
        "boundaries": _boundaries(result, axes),
        "picks": [_pick(pick, place, axes) for place, pick in enumerate(picks, 1)],
        "commands": _commands(result),
    }
    used = len(json.dumps(found, ensure_ascii=False).encode())
    if points_in(room - used, len(ids)) is None:  # a million traces are not read for nothing
        return found | {"curves": None}
    return found | {"curves": curves(ids, dict(result.traces(ids)), room - used)}


def kept_texts(trials: pd.DataFrame, room: float) -> list[str]:
    """Return why trials failed, as far as there is room: of the lowest seeds first.

    Each sentence has numbers of its own, so that of many trials they are most of a page.

    Args:
        trials: the trials table.
        room: bytes there are for them.
    """
    rows = trials[["seed", "cause_text"]].dropna().sort_values("seed", kind="stable")
    texts = distinct(rows["cause_text"])
    sizes = np.cumsum([len(json.dumps(text)) + 1 for text in texts])
    return texts[: int(np.searchsorted(sizes, room, side="right"))]


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "name": axis.name,
        "labels": list(axis.labels),
        "numbers": [float(value) for value in axis.values] if axis.numeric else None,
        "log": spacing(axis) == "log",
        "spacing": spacing(axis),
        "boolean": all(isinstance(value, bool) for value in axis.values),
    }


def _default(result: Result, axes: Mapping[str, Axis]) -> dict[str, str | None]:
    pool: list[str] = []
    if result.config.recorded is not None:
        pool = scattered(result.trials, result.axes, result.rate, {})
    layout = choose_layout(axes, rate=result.rate, pool=pool)
    return {"x": layout.x, "y": layout.y, "rows": layout.rows, "columns": layout.columns}


def _boundaries(result: Result, axes: Mapping[str, Axis]) -> list[dict[str, Any]]:
    if result.rate not in axes or not axes[result.rate].numeric:
        return []
    others = {name: axis for name, axis in axes.items() if name != result.rate}
    found = []
    known = np.ones(len(result.boundaries), np.bool_)
    for name, axis in others.items():
        known &= encode(result.boundaries[name], axis) >= 0
    for record in result.boundaries.loc[known].astype(object).to_dict(orient="records"):
        row = {str(name): value for name, value in record.items()}
        found.append(
            {
                "codes": {name: axis.index_of(row[name]) for name, axis in others.items()},
                "safe": _number(row["safe"]),
                "failing": _number(row["failing"]),
                "status": str(row["status"]),
                "refined": bool(row["refined"]),
            }
        )
    return found


def _pick(pick: Pick, place: int, axes: Mapping[str, Axis]) -> dict[str, Any]:
    codes = {name: axes[name].index_of(value) for name, value in pick.axes.items() if name in axes}
    known = {name: code for name, code in codes.items() if code is not None}
    return {
        "rank": place,
        "axes": {name: axes[name].labels[code] for name, code in known.items()},
        "codes": known,
        "metric": pick.metric,
        "score": _number(pick.score),
        "safe": _number(pick.safe),
        "failing": _number(pick.failing),
    }


def _commands(result: Result) -> dict[str, str]:
    folder = result.folder
    found = {"show": command("show", folder)}
    if result.config.recorded is None:  # what trains is refused
        found["diagnose"] = command("diagnose", folder)
    return found


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    if value is None or pd.isna(value) or value in (float("inf"), float("-inf")):
        return None
    return float(value)
