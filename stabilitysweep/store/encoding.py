"""How values are written down: numbers, axis values, metrics, traces. No pickle.

Notation: K points of a trace.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from stabilitysweep.types import Kind, Trace

_TRACE_MAGIC = b"TRC1"
_TRACE_HEADER = struct.Struct("<4sI")  # magic, K
_CURVES = ("loss", "grad_norm", "weight_norm", "max_activation", "loss_scale")
_BYTES_PER_POINT = 4 * (1 + len(_CURVES))


def encode_float(value: float | None) -> float | str | None:
    """Return what a database or JSON can hold: a finite number, its kind as text, or None.

    SQLite stores NaN as NULL and JSON has neither NaN nor Inf; so `nan`, `+inf` and `-inf`
    are text, and None alone is missing. The sign and payload of a NaN are not kept.
    """
    if value is None:
        return None
    value = float(value)
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return Kind.NAN.value
    return (Kind.POSITIVE_INFINITY if value > 0 else Kind.NEGATIVE_INFINITY).value


def decode_float(stored: float | str | None) -> float | None:
    """Return the number that `encode_float` was given.

    Raises:
        ValueError: text that is no kind of number.
    """
    return None if stored is None else float(stored)


def encode_count(value: int | None) -> int | None:
    """Return a plain int for an int of any library: SQLite cannot bind NumPy's."""
    return None if value is None else int(value)


def encode_text(value: str | None) -> str | None:
    """Return text that UTF-8 can hold.

    A crash's message may quote a file name with bytes that are no text; one such message
    must not make a whole transaction fail.
    """
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


@lru_cache(maxsize=1024)
def encode_name(value: str) -> str:
    """Return what `encode_text` does, of texts of which there are few, such as outcomes."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def encode_json(value: Any) -> str:
    """Return strict, compact JSON; dicts keep their order, NumPy scalars become plain.

    Raises:
        TypeError: a value that JSON has no form for.
        ValueError: NaN or Inf.
    """
    return _JSON.encode(value)


def encode_metrics(metrics: Mapping[str, float]) -> str:
    """Return metrics as JSON, each value by `encode_float`."""
    return encode_json({name: encode_float(value) for name, value in metrics.items()})


def decode_metrics(stored: Mapping[str, float | str]) -> dict[str, float]:
    """Return the metrics that `encode_metrics` was given, from its parsed JSON."""
    return {name: float(value) for name, value in stored.items()}


def encode_trace(trace: Trace | None) -> bytes | None:
    """Return a trace as one small blob, to the bit.

    Layout, little-endian: the magic `TRC1`, K as uint32, then zlib of the differences of
    `steps` (int32) and the five curves (float32), each array with its bytes transposed: all
    first bytes, then all second ... Neighbours on a curve share their exponent, so that half
    of these bytes compress well.

    Raises:
        ValueError: the arrays differ in length.
    """
    return encode_traces([trace])[0]


def encode_traces(traces: Sequence[Trace | None]) -> list[bytes | None]:
    """Return what `encode_trace` does of each, all of a length at once.

    Raises:
        ValueError: the arrays of a trace differ in length.
    """
    found: list[bytes | None] = [None] * len(traces)
    alike: dict[int, list[tuple[int, Trace]]] = {}
    for place, trace in enumerate(traces):
        if trace is not None:
            alike.setdefault(_points(trace), []).append((place, trace))
    for points, own in alike.items():
        words = np.empty((len(own), 1 + len(_CURVES), points), "<u4")
        steps = np.array([trace.steps for _, trace in own], "<i4").view("<u4")
        # Unsigned, so that a difference beyond int32 wraps around and back.
        words[:, 0] = np.diff(steps, prepend=np.uint32(0))
        for place, name in enumerate(_CURVES, start=1):
            curves = np.array([getattr(trace, name) for _, trace in own], "<f4")
            words[:, place] = curves.view("<u4")
        octets = words.view(np.uint8).reshape(*words.shape, 4).transpose(0, 1, 3, 2)
        header = _TRACE_HEADER.pack(_TRACE_MAGIC, points)
        for (place, _), packed in zip(own, octets, strict=True):
            found[place] = header + zlib.compress(packed.tobytes())
    return found


def _points(trace: Trace) -> int:
    """K."""
    shape = np.shape(trace.steps)
    if len(shape) != 1 or any(np.shape(getattr(trace, name)) != shape for name in _CURVES):
        shapes = [np.shape(getattr(trace, name)) for name in ("steps", *_CURVES)]
        raise ValueError(f"expected a trace of arrays [K] of one length, got shapes {shapes}")
    return int(shape[0])


def require_trace(blob: bytes) -> int:
    """Check that a blob begins as `encode_trace` writes one; return its number of points.

    Raises:
        ValueError: it does not.
    """
    try:
        magic, points = _TRACE_HEADER.unpack_from(blob)
    except struct.error as error:
        raise ValueError(f"a damaged trace: {error}") from error
    if magic != _TRACE_MAGIC:
        raise ValueError(f"a damaged trace: it begins with {magic!r}")
    return int(points)


def decode_trace(blob: bytes | None) -> Trace | None:
    """Return the trace that `encode_trace` was given.

    Raises:
        ValueError: the blob is damaged.
    """
    if blob is None:
        return None
    points = require_trace(blob)
    size = points * _BYTES_PER_POINT
    try:
        # Never unpack more than the header promises, whatever the blob holds.
        packed = zlib.decompressobj().decompress(blob[_TRACE_HEADER.size :], size + 1)
    except zlib.error as error:
        raise ValueError(f"a damaged trace: {error}") from error
    if len(packed) != size:
        raise ValueError(f"a damaged trace: {len(packed)} bytes for {points} points")
    arrays = np.frombuffer(packed, np.uint8).reshape(1 + len(_CURVES), 4, points).transpose(0, 2, 1)
    words = np.ascontiguousarray(arrays).view("<u4")[:, :, 0]
    steps = np.cumsum(words[0], dtype="<u4").astype(np.uint32).view(np.int32)
    curves = {
        name: words[place].astype(np.uint32).view(np.float32)
        for place, name in enumerate(_CURVES, start=1)
    }
    return Trace(steps=steps, **curves)


def _plain(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected plain values for JSON, got {type(value).__name__}: {value!r}")


_JSON = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False, default=_plain)
