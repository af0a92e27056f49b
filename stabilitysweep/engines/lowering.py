"""Keras layers computed in a form that vectorises well over the trials of a stack.

With a trial axis in front, some of what Keras' layers consist of has no kernel, or a slow one:
a convolution runs trial by trial, the gradient of a slice, of a maximum or of an attention's
einsum takes longer than the arithmetic. While a model is lowered, such layers compute the same
numbers, up to the order of sums, from operations that are fast for a whole stack. A loop over
a sequence, whose gradient by the inputs cannot be vectorised at all, is written out.

Microseconds a trial and step, forward and backward in the plain graph, 64 trials of batch 32 on
one core, by Keras' own layers and lowered:

    two Conv2D(16, 3) with relu and pooling, 8 x 8 pixels    540 -> 342
    Conv1D(8, 5) with relu and pooling, 32 values            122 -> 31
    LSTM(32), 20 steps of 8                                  534 -> 448
    GRU(32), 20 steps of 8                                   937 -> 446
    attention block of width 32, 2 heads, 16 tokens          1119 -> 890

Left to Keras, since nothing was faster: convolutions of several channels, whose kernels run at
the speed of large matrix products, trial by trial or not; LayerNormalization; Embedding.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.parallel_for.pfor import wrap

UNROLLED_STEPS = 64
"""The longest sequence that a recurrent layer is written out for, step by step."""

WINDOW_ENTRIES = 16
"""The largest pooling window, in entries, whose gradient is written out entry by entry."""

Call = Callable[..., Any]


@contextmanager
def lowered(model: keras.Model) -> Iterator[None]:
    """Lower the layers of `model` during calls made inside.

    Only layers of exactly Keras' types are, and only in configurations known to be faster; any
    other layer or call is Keras' own. A layer whose `call` has been replaced already is left
    alone: to listen to lowered layers, lower first.
    """
    replaced: list[tuple[keras.layers.Layer, str]] = []
    found = {id(layer): layer for layer in model._flatten_layers(include_self=False)}
    try:
        for layer in found.values():
            name, lower = _LOWERINGS.get(type(layer), ("", None))
            if lower is None or name in vars(layer):
                continue
            setattr(layer, name, lower(layer, getattr(layer, name)))
            replaced.append((layer, name))
        yield
    finally:
        for layer, name in replaced:
            if name in vars(layer):  # whoever listened to it may have removed it
                delattr(layer, name)


def _convolution(layer: Any, own: Call) -> Call:
    """Convolve one channel as a product of the kernel with the shifted images, one a row."""

    def call(inputs: tf.Tensor) -> Any:
        sizes = inputs.shape[1:-1]
        if (
            layer.data_format != "channels_last"
            or layer.padding not in ("same", "valid")
            or inputs.shape[-1] != 1
            or not sizes.is_fully_defined()
            or any(stride > 1 for stride in layer.strides)
        ):
            return own(inputs)
        kernel = tf.convert_to_tensor(layer.kernel)
        *widths, _, filters = kernel.shape
        dilations = layer.dilation_rate
        reaches = [(width - 1) * gap for width, gap in zip(widths, dilations, strict=True)]
        padded = layer.padding == "same"
        paddings = [(reach // 2, reach - reach // 2) if padded else (0, 0) for reach in reaches]
        out = list(sizes) if padded else [a - b for a, b in zip(sizes, reaches, strict=True)]
        if min(out) < 1:
            return own(inputs)
        starts = itertools.product(
            *(range(0, reach + 1, gap) for reach, gap in zip(reaches, dilations, strict=True))
        )
        windows = [
            tuple(slice(first, first + size) for first, size in zip(start, out, strict=True))
            for start in starts
        ]
        matrix = tf.reshape(kernel, [-1, filters])
        # As a row of the kernel, the bias costs nothing; half precision rounds before it.
        joined = layer.use_bias and not _narrow(kernel)
        if joined:
            matrix = tf.concat([matrix, tf.convert_to_tensor(layer.bias)[None]], 0)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def convolve(images: tf.Tensor, matrix: tf.Tensor) -> tuple[tf.Tensor, Call]:
            plain = tf.pad(tf.reshape(images, [-1, *sizes]), [(0, 0), *paddings])
            rows = [plain[(slice(None), *window)] for window in windows]
            if joined:
                rows.append(tf.ones_like(rows[0]))
            patches = tf.reshape(tf.stack(rows), [len(rows), -1])
            product = tf.matmul(patches, matrix, transpose_a=True)

            def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                flat = tf.reshape(upstream, [-1, filters])
                of_matrix = tf.matmul(patches, flat)

                def own_gradient() -> list[tf.Tensor]:
                    with tf.GradientTape() as tape:  # the forward pass is not computed again
                        kernel = tf.reshape(matrix[: len(windows)], [*widths, 1, filters])
                        tape.watch((images, kernel))
                        result = layer.convolution_op(images, kernel)
                    found: list[tf.Tensor] = tape.gradient(result, [images, kernel], upstream)
                    return found

                def without_padding() -> tf.Tensor:
                    rows = [tf.reshape(own_gradient()[1], [-1, filters])]
                    if joined:
                        rows.append(tf.reduce_sum(flat, 0)[None])
                    return tf.where(broken, tf.concat(rows, 0), of_matrix)

                if padded and upstream.dtype in _LEAVE_PADDING_OUT:
                    broken = ~tf.reduce_all(tf.math.is_finite(of_matrix))
                    of_matrix = tf.cond(_in_any(broken), without_padding, lambda: of_matrix)
                return own_gradient()[0], of_matrix

            return tf.reshape(product, [-1, *out, filters]), gradient

        outputs = convolve(inputs, matrix)
        if layer.use_bias and not joined:
            # As Keras adds it: the gradient of this one operation is summed up in float32.
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(layer.bias))
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


_LEAVE_PADDING_OUT = (tf.float32, tf.bfloat16)
"""Where TensorFlow's gradient of a kernel may: multiplied, padding makes NaN of an infinity."""


def _in_any(flag: tf.Tensor) -> tf.Tensor:
    """Return whether the trial's flag is set, or, where trials are vectorised, any trial's."""
    if tf.executing_eagerly():
        return flag
    anywhere = tf.identity(flag)
    anywhere.op.pfor_converter = lambda given: wrap(tf.reduce_any(given.stacked_input(0)), False)
    return anywhere


def _one_unit(layer: Any, own: Call) -> Call:
    """Multiply by a kernel of one column as by a row: its products are faster."""

    def call(inputs: tf.Tensor, training: bool | None = None) -> Any:
        if layer.units != 1 or inputs.shape.rank != 2 or layer.quantization_mode is not None:
            return own(inputs, training=training)
        row = tf.reshape(tf.convert_to_tensor(layer.kernel), [1, -1])
        outputs = tf.reshape(tf.matmul(row, inputs, transpose_b=True), [-1, 1])
        if layer.bias is not None:
            outputs = keras.ops.add(outputs, layer.bias)
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


def _max_pooling(layer: Any, own: Call) -> Call:
    """Keep Keras' maximum; choose entry by entry which one of a window gets the gradient.

    By TensorFlow's own rule: an entry takes over where it is greater than all before it.
    """
    window = tuple(layer.pool_size)

    def call(inputs: tf.Tensor) -> Any:
        *sizes, channels = inputs.shape[1:]
        if (
            layer.data_format != "channels_last"
            or tuple(layer.strides) != window
            or math.prod(window) > WINDOW_ENTRIES
            or not inputs.shape[1:].is_fully_defined()
            or any(size % width for size, width in zip(sizes, window, strict=True))
        ):
            return own(inputs)
        # Two dimensions, the first of one entry under one-dimensional pooling.
        height, width = (1, *window)[-2:]
        row = sizes[-1] * channels

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def pool(images: tf.Tensor) -> tuple[tf.Tensor, Call]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                lines = tf.unstack(tf.reshape(images, [-1, height, row]), axis=1)
                entries = [
                    entry
                    for line in lines
                    for entry in tf.split(tf.reshape(line, [-1, width * channels]), width, 1)
                ]
                shares = _shares(entries, tf.reshape(upstream, [-1, channels]))
                lines = [
                    tf.reshape(tf.concat(shares[start : start + width], 1), [-1, row])
                    for start in range(0, height * width, width)
                ]
                return tf.reshape(tf.concat(lines, 1), tf.shape(images))

            return own(images), gradient

        return pool(inputs)

    return call


def _shares(entries: Sequence[tf.Tensor], upstream: tf.Tensor) -> list[tf.Tensor]:
    """Give `upstream` to the greatest of `entries`, the first of equal ones; zero to others."""
    greatest = entries[0]
    taken_over = []
    for entry in entries[1:]:
        greater = entry > greatest
        taken_over.append(greater)
        greatest = _select(greater, entry, greatest)
    nothing = tf.zeros_like(upstream)
    shares = []
    for greater in reversed(taken_over):
        shares.append(_select(greater, upstream, nothing))
        upstream = _select(greater, nothing, upstream)
    return [upstream, *reversed(shares)]


def _select(condition: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    # Its second version, `tf.where`, takes four times as long.
    return tf.raw_ops.Select(condition=condition, x=new, y=old)


def _recurrent(
    cell_steps: Callable[[Any, tf.Tensor], Call | None] | None = None,
) -> Callable[[Any, Call], Call]:
    """Write a recurrent layer out for every step of its sequence.

    States and gates are kept a column for each row of the batch: then a gate is one piece of
    memory, and taking the gates apart is no more than a copy.

    Args:
        cell_steps: from the cell and a row of ones to what a step computes, from the inputs and
            the states to the next states; None where Keras' own cell is to do that, as it is
            for all calls without this argument.
    """

    def lower(layer: Any, own: Call) -> Call:
        def call(
            sequences: tf.Tensor,
            initial_state: Any = None,
            mask: Any = None,
            training: bool = False,
        ) -> Any:
            def as_it_is() -> Any:
                return own(sequences, initial_state=initial_state, mask=mask, training=training)

            steps = sequences.shape[1]
            if steps is None or steps > UNROLLED_STEPS or layer.stateful:
                return as_it_is()
            cell = layer.cell
            advance = None
            if (
                cell_steps is not None
                and initial_state is None
                and mask is None
                and not (cell.dropout or cell.recurrent_dropout)
                and cell.compute_dtype == sequences.dtype.name
                and {cell.activation, cell.recurrent_activation} <= _ELEMENTWISE
            ):
                ones = tf.ones([1, tf.shape(sequences)[0]], sequences.dtype)
                advance = cell_steps(cell, ones)
            if advance is None:
                return _unrolled(layer, as_it_is, mask)
            columns = tf.unstack(tf.transpose(sequences, [1, 2, 0]))
            states = [
                tf.zeros([cell.units, tf.shape(sequences)[0]], sequences.dtype)
                for _ in cell.get_initial_state(1)
            ]
            outputs = []
            for column in reversed(columns) if layer.go_backwards else columns:
                states = advance(column, *states)
                outputs.append(states[0])
            if layer.return_sequences:
                result = tf.transpose(tf.stack(outputs), [2, 0, 1])
            else:
                result = tf.transpose(outputs[-1])
            return (result, *map(tf.transpose, states)) if layer.return_state else result

        return call

    return lower


def _unrolled(layer: Any, call: Callable[[], Any], mask: tf.Tensor | None) -> Any:
    """Call a recurrent layer as if it had been made with `unroll`.

    Unrolled, Keras sets only the last output of masked steps to zero; its loop sets all.
    """
    kept = layer.unroll, layer.zero_output_for_mask
    masked = mask is not None and layer.zero_output_for_mask and layer.return_sequences
    layer.unroll = True
    layer.zero_output_for_mask = layer.zero_output_for_mask and not masked
    try:
        result = call()
    finally:
        layer.unroll, layer.zero_output_for_mask = kept
    if not masked:
        return result
    outputs, *states = result if layer.return_state else (result,)
    valid = tf.reverse(mask, [1]) if layer.go_backwards else mask
    outputs = tf.where(tf.cast(valid, tf.bool)[..., None], outputs, tf.zeros_like(outputs))
    return (outputs, *states) if layer.return_state else outputs


def _lstm(cell: Any, ones: tf.Tensor) -> Call:
    kernel, recurrent, bias = _weights(cell)
    gates = _affine([kernel, recurrent], bias, ones)
    gate = cell.recurrent_activation

    def advance(column: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> list[tf.Tensor]:
        i, f, new, o = tf.split(gates(column, h), 4)
        c = gate(f) * c + gate(i) * cell.activation(new)
        return [gate(o) * cell.activation(c), c]

    return advance


def _gru(cell: Any, ones: tf.Tensor) -> Call | None:
    if not cell.reset_after:
        return None
    kernel, recurrent, biases = _weights(cell)
    bias, bias_of_state = (None, None) if biases is None else tf.unstack(biases)
    of_inputs = _affine([kernel], bias, ones)
    of_state = _affine([recurrent], bias_of_state, ones)
    sizes = [2 * cell.units, cell.units]

    def advance(column: tf.Tensor, h: tf.Tensor) -> list[tf.Tensor]:
        gates, candidate = tf.split(of_inputs(column), sizes)
        gates_of_state, candidate_of_state = tf.split(of_state(h), sizes)
        update, reset = tf.split(cell.recurrent_activation(gates + gates_of_state), 2)
        candidate = cell.activation(candidate + reset * candidate_of_state)
        return [update * h + (1 - update) * candidate]

    return advance


def _affine(kernels: list[tf.Tensor], bias: tf.Tensor | None, ones: tf.Tensor) -> Call:
    """Return the function of a column for each kernel that adds up the products and the bias."""
    terms = kernels if bias is None else [*kernels, bias[None]]

    def product(*columns: tf.Tensor) -> tf.Tensor:
        if bias is not None:
            columns = (*columns, ones)
        if _narrow(ones):  # every sum is rounded: in Keras' order
            parts = zip(terms, columns, strict=True)
            return functools.reduce(
                operator.add, [tf.matmul(term, rows, transpose_a=True) for term, rows in parts]
            )
        return tf.matmul(tf.concat(terms, 0), tf.concat(columns, 0), transpose_a=True)

    return product


def _narrow(tensor: tf.Tensor) -> bool:
    """Tell whether sums are rounded so coarsely that their order matters."""
    return bool(tensor.dtype.size < 4)


def _weights(cell: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    kept = (cell.kernel, cell.recurrent_kernel, cell.bias if cell.use_bias else None)
    kernel, recurrent, bias = (
        None if weight is None else tf.cast(tf.convert_to_tensor(weight), cell.compute_dtype)
        for weight in kept
    )
    return kernel, recurrent, bias


def _attention(layer: Any, own: Call) -> Call:
    """Attend by batched products, heads in front, with a mask laid out before it chooses."""

    def attend(
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        if layer.dropout > 0 or return_attention_scores or query.shape.rank != 4:
            others = (attention_mask, training, return_attention_scores, use_causal_mask)
            return own(query, key, value, *others)
        query, key, value = (tf.transpose(each, [0, 2, 1, 3]) for each in (query, key, value))
        wide = tf.float64 if query.dtype == tf.float64 else tf.float32
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), wide)
        scores *= tf.cast(1 / math.sqrt(layer.key_dim), wide)
        shape = tf.shape(scores)
        allowed = None
        if attention_mask is not None:
            allowed = tf.cast(attention_mask, tf.bool)
            for _ in range(4 - allowed.shape.rank):
                allowed = tf.expand_dims(allowed, -3)
        if use_causal_mask:
            past = tf.linalg.band_part(tf.ones(shape[2:], tf.bool), -1, 0)
            allowed = past if allowed is None else allowed & past
        if allowed is not None:
            low = tf.fill(shape, tf.constant(_MASKED, wide))
            scores = _select(tf.broadcast_to(allowed, shape), scores, low)
        shares = tf.cast(tf.nn.softmax(scores), value.dtype)
        return tf.transpose(tf.matmul(shares, value), [0, 2, 1, 3]), None

    return attend


_MASKED = -0.7 * 3.38953e38
"""Keras' score of what is not attended to."""

_ELEMENTWISE = {
    keras.activations.elu,
    keras.activations.hard_sigmoid,
    keras.activations.linear,
    keras.activations.relu,
    keras.activations.sigmoid,
    keras.activations.tanh,
}

_LOWERINGS: dict[type, tuple[str, Callable[[Any, Call], Call]]] = {
    keras.layers.Conv1D: ("call", _convolution),
    keras.layers.Conv2D: ("call", _convolution),
    keras.layers.Dense: ("call", _one_unit),
    keras.layers.GRU: ("call", _recurrent(_gru)),
    keras.layers.LSTM: ("call", _recurrent(_lstm)),
    keras.layers.MaxPooling1D: ("call", _max_pooling),
    keras.layers.MaxPooling2D: ("call", _max_pooling),
    keras.layers.MultiHeadAttention: ("_compute_attention", _attention),
    keras.layers.RNN: ("call", _recurrent()),
    keras.layers.SimpleRNN: ("call", _recurrent()),
}
"""What of a layer is replaced, and by what."""
