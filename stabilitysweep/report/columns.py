"""Trials as columns of typed numbers: what a page reads without parsing a table.

Every array is little-endian and base64, so that it stands in strict JSON whatever it holds: a NaN
or an infinity stays the float that it is. N is the number of trials.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stabilitysweep.analysis.axes import Axis, encode
from stabilitysweep.analysis.cells import learning
from stabilitysweep.analysis.table import numbers, outcome_codes

TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "i32": "<i4", "f32": "<f4"}
"""The types of columns, as NumPy calls them."""

NUMBERS = ("initial_loss", "final_loss", "best_loss", "val_loss", "headroom_bits")
"""The columns of the trials table that are taken along as they are, as float32."""

_NONE = {"u8": 0xFF, "u16": 0xFFFF, "u32": 0xFFFFFFFF}
_HEX = re.compile(r"[0-9a-f]{16}")
_I32 = np.iinfo(np.int32).max


def packed(values: NDArray[Any], kind: str) -> dict[str, str]:
    """Return a column as `{"type": ..., "data": base64}`.

    Args:
        values: numbers that the type holds; a float64 beyond float32 becomes infinite.
        kind: a key of `TYPES`.
    """
    with np.errstate(over="ignore"):
        plain = np.ascontiguousarray(values, TYPES[kind])
    return {"type": kind, "data": base64.b64encode(plain.tobytes()).decode("ascii")}


def coded(values: Iterable[Any], known: Sequence[str], kind: str) -> dict[str, str]:
    """Return texts as their places among those known; a value that is none has the largest code."""
    place = {text: code for code, text in enumerate(known)}
    none = _NONE[kind]
    codes = [place.get(str(value), none) if value is not None else none for value in values]
    return packed(np.array(codes, np.int64), kind)


def distinct(values: Iterable[Any], order: Iterable[str] = ()) -> list[str]:
    """Return the texts there are: those of `order` in its order, then others as they come."""
    there = dict.fromkeys(str(value) for value in values if value is not None)
    first = [str(text) for text in order if str(text) in there]
    return [*first, *(text for text in there if text not in first)]


def trial_columns(
    trials: pd.DataFrame, axes: Mapping[str, Axis], seeds: Sequence[int]
) -> dict[str, dict[str, str]]:
    """Return the columns of numbers: places on the axes, seeds, outcomes, steps and losses.

    Args:
        trials: the trials table, N rows.
        axes: all of them; a trial has a value on each.
        seeds: the seeds there are.
    """
    found: dict[str, dict[str, str]] = {}
    for place, axis in enumerate(axes.values()):
        codes = encode(trials[axis.name], axis)
        kind = "u8" if len(axis) < _NONE["u8"] else "u16"
        found[f"axis{place}"] = packed(np.where(codes < 0, _NONE[kind], codes), kind)
    place_of = {seed: code for code, seed in enumerate(seeds)}
    own = np.array([place_of[int(seed)] for seed in trials["seed"]], np.int64)
    found["seed"] = packed(own, "u16")
    found["outcome"] = packed(outcome_codes(trials), "u8")
    for name in ("onset_step", "nan_step", "steps_run"):
        found[name] = packed(counts(trials[name]), "i32")
    for name in NUMBERS:
        found[name] = packed(numbers(trials[name]), "f32")
    found["learning"] = packed(learning(trials), "f32")
    return found


def counts(column: pd.Series[Any]) -> NDArray[np.int64]:
    """Whole numbers, -1 where there is none."""
    values = numbers(column)
    known = np.where(np.isnan(values), -1, values)
    return np.minimum(known, _I32).astype(np.int64)


def packed_ids(ids: Sequence[str]) -> str | list[str]:
    """Return ids of 16 hexadecimal digits as base64 of 8 bytes each; others as they are."""
    if not all(map(_HEX.fullmatch, ids)):
        return list(ids)
    return base64.b64encode(bytes.fromhex("".join(ids))).decode("ascii")
