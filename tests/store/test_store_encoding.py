"""Numbers, JSON and traces: written and read back to the bit."""

from __future__ import annotations

import json
import math
import sqlite3
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stabilitysweep.store import encoding
from stabilitysweep.types import Trace

from .strategies import LAW, content, traces


@LAW
@given(st.none() | st.floats())
def test_a_float_survives_a_database_column_and_json(value: float | None) -> None:
    stored = encoding.encode_float(value)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (v ANY) STRICT")
    connection.execute("INSERT INTO t VALUES (?)", (stored,))
    (from_column,) = connection.execute("SELECT v FROM t").fetchone()
    connection.close()
    for read in (from_column, json.loads(json.dumps(stored, allow_nan=False))):
        assert content(encoding.decode_float(read)) == content(value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [(math.nan, "nan"), (math.inf, "+inf"), (-math.inf, "-inf"), (None, None), (0.5, 0.5)],
)
def test_kinds_are_spelled_as_in_the_trials_table(
    value: float | None, stored: float | str | None
) -> None:
    assert encoding.encode_float(value) == stored


def test_minus_zero_stays_negative() -> None:
    assert math.copysign(1, encoding.encode_float(-0.0)) == -1  # type: ignore[arg-type]


def test_floats_of_numpy_become_plain() -> None:
    assert type(encoding.encode_float(np.float32(0.5))) is float  # type: ignore[arg-type]
    assert encoding.encode_json({"a": np.int64(3), "b": np.float32(0.5)}) == '{"a":3,"b":0.5}'


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_json_is_strict(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encoding.encode_json({"a": value})


def test_json_refuses_other_objects() -> None:
    with pytest.raises(TypeError, match="expected plain values for JSON, got set"):
        encoding.encode_json({1, 2})


def test_text_with_bytes_that_are_no_text_is_mended() -> None:
    assert encoding.encode_text("caf\udce9 é") == "caf? é"


@LAW
@given(traces())
def test_a_trace_survives(trace: Trace) -> None:
    blob = encoding.encode_trace(trace)
    assert content(encoding.decode_trace(blob)) == content(trace)


def test_no_trace_is_none() -> None:
    assert encoding.encode_trace(None) is None
    assert encoding.decode_trace(None) is None


def noisy_trace(points: int = 40) -> Trace:
    walk = np.random.default_rng(0).normal(0, 0.05, (4, points)).cumsum(axis=1)
    steps = np.unique(np.geomspace(1, 10_000, 2 * points).astype(np.int32))[:points]
    curves = np.exp(walk).astype(np.float32)
    scale = np.full(points, 2**15, np.float32)
    return Trace(steps, curves[0], curves[1], curves[2], curves[3], scale)


def test_a_trace_of_40_noisy_points_is_well_under_a_kilobyte() -> None:
    blob = encoding.encode_trace(noisy_trace())
    assert blob is not None
    assert len(blob) < 600


def test_traces_of_strided_arrays_survive() -> None:
    trace = noisy_trace(20)
    strided = Trace(
        trace.steps[::2],
        trace.loss[::2],
        trace.grad_norm[::2],
        trace.weight_norm[::2],
        trace.max_activation[::2],
        trace.loss_scale[::2],
    )
    assert content(encoding.decode_trace(encoding.encode_trace(strided))) == content(strided)


def test_a_trace_of_uneven_arrays_is_a_programming_error() -> None:
    trace = noisy_trace(5)
    uneven = Trace(trace.steps[:4], *(trace.loss,) * 5)
    with pytest.raises(ValueError, match=r"arrays \[K\] of one length"):
        encoding.encode_trace(uneven)


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: b"",
        lambda blob: blob[:6],
        lambda blob: b"XXXX" + blob[4:],
        lambda blob: blob[:-20],
        lambda blob: blob[:20] + b"\x00\x00\x00\x00" + blob[24:],
        lambda blob: blob[:4] + b"\x29" + blob[5:],
        lambda blob: blob[:8] + zlib.compress(bytes(10_000_000)),
    ],
)
def test_a_damaged_trace_is_noticed(damage) -> None:  # type: ignore[no-untyped-def]
    blob = encoding.encode_trace(noisy_trace())
    with pytest.raises(ValueError, match="a damaged trace"):
        encoding.decode_trace(damage(blob))
