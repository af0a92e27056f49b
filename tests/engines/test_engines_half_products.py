"""float16 products computed in float32 are TensorFlow's own, edge cases included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.engines.half_products import flat_call, widen_half_products

LAW = settings(derandomize=True, deadline=None, max_examples=40)
HALF = tf.float16
SPEC = tf.TensorSpec([None, None, None], HALF)


def in_a_loop(product: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Any:
    """A concrete function that takes the product inside a while loop, as the engine does."""

    def run(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def body(step: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, product(a, b)

        shape = [tf.shape(a)[0], tf.shape(a)[1], tf.shape(b)[2]]
        loop = tf.while_loop(
            lambda step, _: step < 2,
            body,
            (tf.constant(0), tf.zeros(shape, HALF)),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, None])),
        )
        return loop[1], loop[0]

    return tf.function(run, autograph=False).get_concrete_function(SPEC, SPEC)


def half_products_in(function: Callable[..., Any], specs: tuple[Any, ...]) -> int:
    """Matrix products of float16 in what TensorFlow makes of `function`."""
    graph = (
        tf.function(function, autograph=False).get_concrete_function(*specs).graph.as_graph_def()
    )
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    # Only what is called counts: the library keeps the functions that were replaced.
    called = {
        graph_function.signature.name: graph_function for graph_function in graph.library.function
    }
    seen, queue = set(), list(graph.node)
    count = 0
    while queue:
        node = queue.pop()
        if node.op in ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
            count += node.attr["T"].type == HALF.as_datatype_enum
        names = [node.op] + [
            reference.name
            for value in node.attr.values()
            for reference in (value.func, *value.list.func)
        ]
        for name in names:
            if name in called and name not in seen:
                seen.add(name)
                queue.extend(called[name].node_def)
    assert nodes
    return count


@pytest.fixture(scope="module")
def batched() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """TensorFlow's own product and the widened one."""
    concrete = in_a_loop(tf.matmul)
    return flat_call(concrete), widen_half_products(concrete)


def both(functions: Any, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = (tf.constant(np.asarray(value, np.float16)) for value in (a, b))
    own, widened = (function(a, b)[0].numpy() for function in functions)
    assert widened.dtype == np.float16
    return own, widened


@LAW
@given(st.integers(0, 999), st.integers(1, 2), st.sampled_from([1.0, 1e-3, 100.0, 400.0]))
def test_short_sums_are_tensorflows_to_the_bit(
    batched: Any, seed: int, inner: int, size: float
) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(3, 4, inner)) * size, random.normal(size=(3, inner, 5)) * size
    own, widened = both(batched, a, b)
    assert own.tobytes() == widened.tobytes()


@LAW
@given(st.integers(0, 999), st.integers(3, 70))
def test_long_sums_differ_by_an_ulp_at_most(batched: Any, seed: int, inner: int) -> None:
    random = np.random.default_rng(seed)
    # All of one sign: nothing cancels, so that an ulp of the result bounds the difference.
    a, b = random.uniform(size=(2, 3, inner)), random.uniform(size=(2, inner, 4))
    own, widened = both(batched, a, b)
    assert (np.abs(own.astype(float) - widened) <= np.spacing(own).astype(float)).all()


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([65_504.0], [1.0], 65_504.0),
        ([65_504.0, 15.0], [1.0, 1.0], 65_504.0),  # 65,519 rounds down
        ([65_504.0, 16.0], [1.0, 1.0], np.inf),  # 65,520 rounds to Inf
        ([-65_504.0, -16.0], [1.0, 1.0], -np.inf),
        ([60_000.0, 60_000.0, -60_000.0], [1.0, 1.0, 1.0], 60_000.0),  # no overflow half-way
        ([256.0], [256.0], np.inf),
        ([np.inf], [0.0], np.nan),
        ([np.inf, 1.0], [1.0, 1.0], np.inf),
        ([np.inf, -np.inf], [1.0, 1.0], np.nan),
        ([np.nan, 1.0], [1.0, 1.0], np.nan),
        ([2.0**-14], [2.0**-10], 2.0**-24),  # the smallest subnormal
        ([2.0**-14], [2.0**-11], 0.0),  # half of it
    ],
)
def test_edges_of_the_range(batched: Any, a: list[float], b: list[float], expected: float) -> None:
    own, widened = both(batched, [[a]], np.reshape(b, (1, -1, 1)))
    np.testing.assert_array_equal(widened, own)
    np.testing.assert_array_equal(widened, [[[np.float16(expected)]]])


def test_nan_and_infinity_stay_in_their_row_and_trial(batched: Any) -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(3, 4, 2)), random.normal(size=(3, 2, 5))
    a[1, 2, 0], a[2, 0, 1] = np.nan, np.inf
    own, widened = both(batched, a, b)
    np.testing.assert_array_equal(widened, own)
    broken = ~np.isfinite(widened).all(axis=2)
    assert np.argwhere(broken).tolist() == [[1, 2], [2, 0]]


def test_no_half_product_is_left_in_a_loop() -> None:
    def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        first = tf.matmul(a, b)
        flat = tf.matmul(first[0], first[0], transpose_b=True)
        return first + tf.cond(flat[0, 0] > 0, lambda: tf.matmul(a, b), lambda: first)

    concrete = in_a_loop(product)
    assert half_products_in(flat_call(concrete), (SPEC, SPEC)) == 3
    widened = widen_half_products(concrete)
    assert half_products_in(widened, (SPEC, SPEC)) == 0
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 3, 2)), random.normal(size=(2, 2, 3))
    own, ours = both((flat_call(concrete), widened), a, b)
    np.testing.assert_allclose(ours.astype(float), own.astype(float), rtol=2e-3, atol=1e-2)


def test_no_half_product_is_left_outside_of_a_loop() -> None:
    def two(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        first = tf.matmul(a, b)
        return first, tf.matmul(first, first, transpose_b=True)

    concrete = tf.function(two, autograph=False).get_concrete_function(SPEC, SPEC)
    assert half_products_in(flat_call(concrete), (SPEC, SPEC)) == 2
    widened = widen_half_products(concrete)
    assert half_products_in(widened, (SPEC, SPEC)) == 0
    random = np.random.default_rng(2)
    a, b = (tf.constant(random.normal(size=(2, 2, 2)), HALF) for _ in range(2))
    for own, ours in zip(flat_call(concrete)(a, b), widened(a, b), strict=True):
        assert own.numpy().tobytes() == ours.numpy().tobytes()


def test_other_dtypes_and_structure_are_left_alone() -> None:
    spec = tf.TensorSpec([2, 2], tf.float32)
    concrete = tf.function(
        lambda a, b: {"p": tf.matmul(a, b), "more": (a, b)}, autograph=False
    ).get_concrete_function(spec, spec)
    a, b = tf.constant([[1.0, 2], [3, 4]]), tf.constant([[0.5, 0], [0, 3.0]])
    for call in (flat_call(concrete), widen_half_products(concrete)):
        found = call(a, b)
        np.testing.assert_array_equal(found["p"], tf.matmul(a, b))
        np.testing.assert_array_equal(found["more"][1], b)


def test_erfc_of_every_half_is_tensorflows_to_the_bit() -> None:
    spec = tf.TensorSpec([None], HALF)
    concrete = tf.function(tf.math.erfc, autograph=False).get_concrete_function(spec)
    widened = widen_half_products(concrete)
    every = tf.bitcast(tf.constant(np.arange(2**16, dtype=np.uint16)), HALF)
    own, ours = flat_call(concrete)(every).numpy(), widened(every).numpy()
    finite = ~np.isnan(every.numpy())
    assert own[finite].tobytes() == ours[finite].tobytes()
    assert np.isnan(ours[~finite]).all()
    kinds = {
        node.op: node.attr["T"].type for node in widened_nodes(widened, spec) if node.op == "Erfc"
    }
    assert kinds == {"Erfc": tf.float32.as_datatype_enum}


def widened_nodes(function: Callable[..., Any], spec: tf.TensorSpec) -> list[Any]:
    """The operations that a call of `function` runs."""
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    library = {f.signature.name: f for f in graph.as_graph_def().library.function}
    called = [name for name in library if name.startswith("__inference_pruned")]
    return [node for name in called for node in library[name].node_def]
