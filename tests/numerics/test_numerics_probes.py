"""Probes see every NaN and Inf, name it, and never look at a neighbour.

Notation: P trials; tensors [P, A, B] and [P], of any float dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.numerics import probes
from stabilitysweep.types import Kind

LAW = settings(derandomize=True, deadline=None, max_examples=60)
DTYPES = ("float16", "bfloat16", "float32", "float64")
SHAPES = ((4, 3, 5), (4,))  # fixed: XLA compiles for each
BAD = {math.nan: Kind.NAN, math.inf: Kind.POSITIVE_INFINITY, -math.inf: Kind.NEGATIVE_INFINITY}
Plant = tuple[int, float]


@cache
def probe(dtype: str, shape: tuple[int, ...], xla: bool) -> Callable[..., Any]:
    def read(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        sums = probes.nonfinite_sum(tensor)
        return {
            "finite": probes.all_finite(tensor),
            "sums": sums,
            "code": probes.kind_code(sums),
            "proven": probes.proven_finite([probes.plain_sum(probes.widen(tensor))] * 2),
            "largest": probes.peak([tensor, tensor], probes.widen(tensor).dtype),
            "positive": probes.peak([tf.nn.relu(tensor)], probes.widen(tensor).dtype),
            "squares": probes.sum_of_squares([tensor, tensor]),
        }

    graph = tf.function(
        read, jit_compile=xla, input_signature=[tf.TensorSpec(shape, dtype)], autograph=False
    )

    def call(values: np.ndarray) -> dict[str, np.ndarray]:
        found = graph(tf.cast(tf.constant(values, tf.float64), dtype))
        return {name: value.numpy() for name, value in found.items()}

    return call


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, np.ndarray, dict[int, set[float]]]:
    """A tensor of ordinary numbers with bad values at random places, and what is where."""
    shape = draw(st.sampled_from(SHAPES))
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
    size = math.prod(shape)
    plants = draw(
        st.lists(st.tuples(st.integers(0, size - 1), st.sampled_from(list(BAD))), max_size=6)
    )
    flat = values.reshape(-1)
    for place, value in plants:
        flat[place] = value
    met: dict[int, set[float]] = {trial: set() for trial in range(shape[0])}
    for trial, own in enumerate(values.reshape(shape[0], -1)):
        met[trial] = {value for value in BAD if _holds(own, value)}
    return draw(st.sampled_from(DTYPES)), values, met


def _holds(values: np.ndarray, value: float) -> bool:
    return bool(np.isnan(values).any() if math.isnan(value) else (values == value).any())


@pytest.mark.parametrize("xla", [False, True])
@LAW
@given(planted())
def test_every_bad_value_is_seen_and_named(
    xla: bool, case: tuple[str, np.ndarray, dict[int, set[float]]]
) -> None:
    dtype, values, met = case
    found = probe(dtype, values.shape, xla)(values)
    for trial, bad in met.items():
        assert found["finite"][trial] == (not bad)
        assert found["proven"][trial] == (not bad)
        assert np.isfinite(found["squares"][trial]) == (not bad)
        assert (found["sums"][trial] == 0) == (not bad)
        kind = probes.KINDS[found["code"][trial]]
        if len(bad) == 1:
            assert kind is BAD[next(iter(bad))]
        else:
            assert kind is (Kind.NAN if bad else None)


@pytest.mark.parametrize("xla", [False, True])
@LAW
@given(planted())
def test_a_finite_trial_is_measured_as_if_it_were_alone(
    xla: bool, case: tuple[str, np.ndarray, dict[int, set[float]]]
) -> None:
    dtype, values, met = case
    dirty = probe(dtype, values.shape, xla)(values)
    clean = probe(dtype, values.shape, xla)(np.where(np.isfinite(values), values, 0.5))
    for trial, bad in met.items():
        if not bad:
            for name in dirty:
                assert dirty[name][trial].tobytes() == clean[name][trial].tobytes(), name


@LAW
@given(planted())
def test_largest_and_squares_are_numpys(
    case: tuple[str, np.ndarray, dict[int, set[float]]],
) -> None:
    dtype, values, met = case
    found = probe(dtype, values.shape, False)(values)
    rounded = tf.cast(tf.constant(values), dtype).numpy().astype(np.float64)
    rows = rounded.reshape(len(values), -1)
    for trial, bad in met.items():
        if not bad:
            assert float(found["largest"][trial]) == np.abs(rows[trial]).max()
            assert float(found["positive"][trial]) == max(rows[trial].max(), 0)
            squares = 2 * (rows[trial] ** 2).sum()
            np.testing.assert_allclose(found["squares"][trial], squares, rtol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "width"), [("float16", 4), ("bfloat16", 4), ("float32", 4), ("float64", 8)]
)
def test_half_precision_is_widened_before_it_is_squared(dtype: str, width: int) -> None:
    squares = probes.sum_of_squares([tf.constant([[300.0, 400.0]], dtype)])
    assert squares.dtype.size == width
    # Both squares overflow in float16.
    np.testing.assert_allclose(squares.numpy(), [250_000.0], rtol=1e-2)


def test_large_finite_values_are_finite() -> None:
    big = tf.constant([[3e38, -3e38], [1.0, 2.0]])
    assert probes.all_finite(big).numpy().tolist() == [True, True]
    assert probes.nonfinite_sum(big).numpy().tolist() == [0, 0]
    # The short cut of `sum_of_squares` is sound in one direction only.
    assert np.isfinite(probes.sum_of_squares([big]).numpy()).tolist() == [False, True]
    squares = probes.sum_of_squares([big])
    assert probes.proven_finite([squares]).numpy().tolist() == [False, True]
    infinite = tf.constant([math.inf, 1.0])
    assert probes.proven_finite([infinite, -infinite]).numpy().tolist() == [False, True]
    half = tf.constant([[60_000.0, 60_000.0]], tf.float16)
    total = probes.plain_sum(probes.widen(half))
    assert probes.proven_finite([total]).numpy().tolist() == [True]


def test_infinities_of_both_signs_are_nan() -> None:
    sums = probes.nonfinite_sum(tf.constant([[math.inf, -math.inf]]))
    assert probes.KINDS[probes.kind_code(sums).numpy()[0]] is Kind.NAN


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_the_fused_sum_of_squares_is_the_plain_one(dtype: tf.DType) -> None:
    tensor = tf.constant(np.random.default_rng(0).normal(size=(3, 2, 5)), dtype)
    plain, fused = (probes.squares_of_rows(tensor, fused=fused) for fused in (False, True))
    assert fused.dtype == plain.dtype
    np.testing.assert_allclose(fused, plain, rtol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(plain, 1), probes.sum_of_squares([tensor]), 1e-6)
    for bad in (np.nan, np.inf, -np.inf, dtype.max if dtype.size > 2 else np.inf):
        tensor = tf.constant([[[1.0, 2.0], [bad, 1.0]]], dtype)
        for fused in (False, True):
            squares = probes.squares_of_rows(tensor, fused=fused)
            assert np.isfinite(squares).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("dtype", "largest", "bits"),
    [
        ("float16", 65_504.0, 15.9993),
        ("bfloat16", 3.3895e38, 127.9944),
        ("float32", 3.4028e38, 128.0),
        ("float64", 1.797693e308, 1024.0),
    ],
)
def test_a_dtype_ends_at_its_largest_finite_number(dtype: str, largest: float, bits: float) -> None:
    assert probes.limit_bits(dtype) == pytest.approx(bits, abs=1e-4)
    # Of half the number, since 2^1024 itself is beyond float64.
    assert 2 ** (probes.limit_bits(dtype) - 1) == pytest.approx(largest / 2, rel=1e-3)


def test_headroom_is_that_of_the_tightest_magnitude() -> None:
    limits = [probes.limit_bits("float16"), probes.limit_bits("float32")]
    peaks = tf.constant([[65_504.0, 1.0], [1.0, 2.0**127], [0.0, 0.0], [2.0**15, 2.0**100]])
    found = probes.headroom(peaks, limits).numpy()
    np.testing.assert_allclose(found[[0, 1, 3]], [0.0, 1.0, 0.9993], atol=2e-4)
    assert found[2] == np.inf


def test_entries_that_are_not_zero_are_counted_trial_by_trial() -> None:
    rows = [[0.0, -0.0, 0.0], [1.0, 0.0, -2.0], [np.nan, np.inf, 0.0]]
    for dtype in (tf.float16, tf.float32):
        count = probes.count_nonzero(tf.constant(rows, dtype)[:, None])
        assert count.numpy().tolist() == [0.0, 2.0, 2.0]
    peaks = probes.row_peaks(tf.constant([[[1.0, -3.0], [0.0, 2.0]]], tf.float16))
    assert peaks.dtype == tf.float32 and peaks.numpy().tolist() == [[3.0, 2.0]]
